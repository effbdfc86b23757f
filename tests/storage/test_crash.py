"""The power goes at every operation, in every mood; then again while the log recovers."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.conftest import Count
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation, PowerCut
from tests.storage.model import Session, run_until_cut, still_works, story

FULL = bool(os.environ.get("RAFTD_SOAK"))
SECTORS = (16, 64, 512)


def cut_at(fs: MemoryFileSystem, number: int) -> Callable[[Operation], None]:
    """A hook: the power goes before changing operation `number` from now."""
    left = number

    def hook(operation: Operation) -> None:
        nonlocal left
        if operation.name in CHANGING:
            if left == 0:
                fs.cut_power()
            left -= 1

    return hook


def operations_of_story() -> int:
    fs = MemoryFileSystem()
    count = 0

    def hook(operation: Operation) -> None:
        nonlocal count
        count += operation.name in CHANGING

    fs.before = hook
    session = Session(fs)
    assert not run_until_cut(session, story())
    return count


def crashed_at(number: int, sector_bytes: int) -> Session:
    fs = MemoryFileSystem(sector_bytes=sector_bytes)
    fs.before = cut_at(fs, number)
    session = Session(fs)
    assert run_until_cut(session, story())
    return session


def test_power_cut_at_every_operation(count: Count) -> None:
    total = operations_of_story()
    cases = 0
    for number in range(total):
        for seed in range(40 if FULL else 4):
            rng = random.Random(number * 1000 + seed)
            session = crashed_at(number, SECTORS[seed % 3])
            session.power_cut(rng, (0.0, None, None, 1.0)[seed % 4])
            session.open()
            session.power_cut(rng)  # what was recovered once must be found again
            session.open()
            still_works(session)
            cases += 1
    count("crashes: operations", total)
    count("crashes: power cuts at them", cases)


def test_process_killed_at_every_operation_then_power_cut(count: Count) -> None:
    total = operations_of_story()
    for number in range(total):
        session = crashed_at(number, 512)
        session.kill()
        session.open()
        session.power_cut(random.Random(number), keep=0.0)
        session.open()
        still_works(session)
    count("crashes: kills at them", total)


def test_power_cut_at_every_step_of_recovery(count: Count) -> None:
    """After a crash at every operation."""
    total = operations_of_story()
    cases = 0
    for number in range(total):
        rng = random.Random(number)
        session = crashed_at(number, SECTORS[number % 3])
        session.power_cut(rng, 0.6)
        for again in range(40):
            session.fs.before = cut_at(session.fs, again)
            try:
                session.open()
            except PowerCut:
                session.power_cut(rng)
                cases += 1
            else:
                session.power_cut(rng)
                break
        else:
            pytest.fail("recovery takes more than 40 changing operations")
        session.open()
        still_works(session)
    count("crashes: power cuts in the recovery from one", cases)
