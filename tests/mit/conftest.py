"""Every scenario takes a seed. By default each runs on few; RAFTD_MIT_SEEDS=20 asks for more."""

from __future__ import annotations

import os

import pytest

from tests.mit.lab import RUNS

SEEDS = int(os.environ.get("RAFTD_MIT_SEEDS", "2"))
SEEDS_HEAVY = max(1, SEEDS // 2)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        heavy = metafunc.definition.get_closest_marker("heavy") is not None
        metafunc.parametrize("seed", range(1, 1 + (SEEDS_HEAVY if heavy else SEEDS)))


@pytest.fixture(autouse=True)
def forget_runs() -> None:
    """The campaign's list is not kept under pytest."""
    RUNS.clear()
