"""Every scenario takes a seed. By default each runs on one; RAFTD_MIT_SEEDS=20 runs more.

Those that take seconds of a core run in `make test-long`, all others in `make test`.

Odd and even seeds have other timers (lab.timers_of): half of the scenarios run with each.
"""

from __future__ import annotations

import os

import pytest

from tests.mit.catalogue import HEAVY
from tests.mit.records import RUNS

SEEDS = int(os.environ.get("RAFTD_MIT_SEEDS", "1"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        name = metafunc.function.__name__
        seeds = max(1, SEEDS // 2) if name in HEAVY else SEEDS
        first = 1 + len(name) % 2 if seeds == 1 else 1
        marks = [pytest.mark.long] if name in HEAVY else []
        chosen = [pytest.param(seed, marks=marks) for seed in range(first, first + seeds)]
        metafunc.parametrize("seed", chosen)


@pytest.fixture(autouse=True)
def forget_runs() -> None:
    """The campaign's list is not kept under pytest."""
    RUNS.clear()
