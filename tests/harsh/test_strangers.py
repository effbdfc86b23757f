"""A small form of `python -m scripts.strangers`: nobody at the ports of a secured cluster harms it.

How long the good client's calls take is printed, and judged by the script, which has the machine
alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.strangers import run

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.alone]


@pytest.mark.parametrize("transport", ["h2"])
def test_strangers_cost_no_call_and_no_election(tmp_path: Path, transport: str) -> None:
    found = run(tmp_path, garbage=400, idle=100, watches=1_200, transport=transport)
    print(f"\n{transport}: {found.told()}")
    assert found.broken(judge_times=False) == []
