"""The watchdog tells a stalled network thread from a process that stood still."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from raftd.admin.vitals import Vitals
from raftd.daemon.watchdog import Watchdog, stack_of


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


@pytest.mark.parametrize("first", [0.0, 0.07, 0.19])
def test_it_wakes_once_a_beat_and_notices_a_stall_in_time(first: float) -> None:
    """first: after a beat. With a look every half of the limit it woke twice as often."""
    case, looks = Case(), 0
    clock, every = case.clock, case.dog._limit
    at = clock.time + first
    while at < 20.0:
        clock.time, looks = at, looks + 1
        case.vitals.beat = 10.0 + (at - 10.0) // every * every
        at += case.dog.step()
    assert looks <= 10.0 / every + 2
    while not case.dog.stalls:
        clock.time = at
        at += case.dog.step()
    assert clock.time - case.vitals.beat <= 1.5 * every + 1e-6


def test_stopped_process_is_no_stall(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.clock.time += 5.0
    case.dog.step()
    assert caplog.messages == ["the whole process stood still for 4.70 s"]
    case.turn(0.5, beats=True)
    assert len(caplog.messages) == 1


def test_the_place_is_told_without_touching_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """To walk through the frames of a thread that runs on ended the process, now and then."""
    monkeypatch.setattr(sys, "_current_frames", lambda: pytest.fail("frames of a running thread"))
    go_on, there = threading.Event(), threading.Event()

    def waits_here() -> None:
        there.set()
        go_on.wait(60)

    thread = threading.Thread(target=waits_here)
    thread.start()
    assert there.wait(60)
    found = stack_of(thread.ident or 0)
    go_on.set()
    thread.join()
    assert any("waits_here" in place and "test_watchdog.py:" in place for place in found), found
    assert "waits_here" not in " ".join(stack_of(threading.get_ident()))
    assert stack_of(1) == []
