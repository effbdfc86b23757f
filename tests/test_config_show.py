"""`raftd config show` prints a file that means the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftd.config import load
from raftd.config.kinds import parse_duration, parse_size, render_duration, render_size
from raftd.config.render import show
from tests.test_config import GOOD, read


@pytest.mark.parametrize(
    "token",
    ["null", "Null", "~", "-", "- a", "a\nb", "\x7f", "\x85", "é \U0001f600", "a:", " ", '\\"'],
)
def test_show_quotes_what_yaml_would_take_for_something_else(token: str, tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(GOOD)
    text = show(load(path, {"RAFTD_CLUSTER_TOKEN": token}, {}, tmp_path))
    path.write_text(text)
    assert read(path).config.cluster_token == token


@pytest.mark.parametrize("text", ["999.9999ms", "0.3333333s", "1.05h", "0.0005ms", "123456.789us"])
def test_durations_are_shown_exactly(text: str) -> None:
    assert parse_duration(render_duration(parse_duration(text))) == parse_duration(text)


def test_large_sizes_are_shown_without_an_exponent() -> None:
    assert parse_size(render_size(12_345_678 << 30)) == 12_345_678 << 30
