"""Every golden conversation in scripts/, one test a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.golden import SCRIPTS, parse, play, render


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_script(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    now = render(play(parse(text)))
    if request.config.getoption("--rewrite", default=False):
        path.write_text(now)
        return
    assert now == text, (
        f"{path.name} talks differently; look at it, then: pytest tests/core --rewrite"
    )
