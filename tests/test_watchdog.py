"""The watchdog tells a stalled network thread from a process that stood still."""

from __future__ import annotations

import logging
import threading

import pytest

from raftd.admin.vitals import Vitals
from raftd.daemon.watchdog import Watchdog


class Clock:
    time = 10.0

    def now(self) -> float:
        return self.time


class Case:
    def __init__(self) -> None:
        self.clock = Clock()
        self.vitals = Vitals(now=self.clock.now, beat=10.0)
        self.dog = Watchdog(self.vitals, threading.get_ident(), limit=0.2)
        self.dog.step()

    def turn(self, seconds: float, beats: bool) -> None:
        """Time passes in the watchdog's own steps of 0.1 s."""
        for _ in range(round(seconds / 0.1)):
            self.clock.time += 0.1
            if beats:
                self.vitals.beat = self.clock.time
            self.dog.step()


@pytest.fixture
def case(caplog: pytest.LogCaptureFixture) -> Case:
    caplog.set_level(logging.WARNING)
    return Case()


def test_all_well(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.turn(2.0, beats=True)
    assert caplog.messages == []


def test_stall_is_told_once_with_its_place_and_its_end(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    case.turn(1.0, beats=False)
    case.turn(0.1, beats=True)
    first, second = caplog.messages
    assert "the network thread has not turned for 0.30 s" in first
    assert "test_watchdog.py" in first
    assert second == "the network thread goes on after 1.10 s"
    assert case.dog.stalls == 1


def test_stopped_process_is_no_stall(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.clock.time += 5.0
    case.dog.step()
    assert caplog.messages == ["the whole process stood still for 4.90 s"]
    case.turn(0.5, beats=True)
    assert len(caplog.messages) == 1
