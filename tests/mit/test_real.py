"""The labs' main scenarios on real processes, once each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.mit.real_scenarios import REAL

SOAK = os.environ.get("RAFTD_SOAK") == "1"
ALWAYS = ("rejoin_2b",)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in ALWAYS else pytest.mark.soak) for name in REAL],
)
def test_real(name: str, tmp_path: Path) -> None:
    if name not in ALWAYS and not SOAK:
        pytest.skip("minutes long in all: RAFTD_SOAK=1")
    REAL[name](tmp_path, 1)
