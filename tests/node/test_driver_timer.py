"""When the driver's timer fires: for what is due, and hardly for anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from raftd.core.core import RaftCore
from raftd.core.effects import Effects
from raftd.core.messages import Channel
from raftd.node.driver import CoreDriver
from raftd.node.tick_timer import (
    FEW_CALLS,
    MANY_CALLS,
    REST_SECONDS_MAX,
    ROUNDING_SECONDS,
    TICK_SECONDS_MAX,
)
from tests.node.fakes import FakeClock, FatalNote


class Core:
    """It has one deadline, and counts the ticks."""

    def __init__(self) -> None:
        self.due = float("inf")
        self.ticks = 0

    def start(self, now: float) -> Effects:
        return Effects()

    def tick(self, now: float) -> Effects:
        self.ticks += 1
        return Effects()

    def wake_at(self, now: float) -> float:
        return self.due

    def next_request(self, peer: str, channel: Channel, now: float) -> object:
        self.due = now + 0.075
        return "a request"

    def applied(self, index: int, now: float) -> None:
        pass


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Runs by hand; it is as exact as no real one."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.armed = 0
        self.soon: list[Callable[[], None]] = []
        self.timer = Timer(0.0, lambda: None)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        self.armed += 1
        self.timer = Timer(self.clock.time + seconds, call)
        return self.timer

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def fire(self, woken: Callable[[], None] = lambda: None) -> None:
        """woken: what runs first in the turn after the tick."""
        self.clock.time = self.timer.at
        self.timer.call()
        woken()
        soon, self.soon = self.soon, []
        for call in soon:
            call()


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.loop = Loop(self.clock)
        self.core = Core()
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.driver = CoreDriver(cast(RaftCore, self.core), self.clock, FatalNote(), loop)
        nothing: Any = type("Nothing", (), {"take": lambda *_: None})()
        self.driver.start(nothing, nothing, nothing, nothing)
        self.loop.fire()

    @property
    def waits(self) -> float:
        return self.loop.timer.at - self.clock.time

    def call(self) -> None:
        self.driver.enter(lambda now: Effects())


def test_with_nothing_due_it_rests() -> None:
    bench = Bench()
    assert bench.waits == pytest.approx(REST_SECONDS_MAX)
    armed = bench.loop.armed
    for _ in range(FEW_CALLS):
        bench.call()
    assert bench.loop.armed == armed
    assert bench.core.ticks == 1


@pytest.mark.parametrize("way", ["enter", "pull", "applied"])
def test_a_call_that_makes_something_due_brings_it_forward(way: str) -> None:
    bench = Bench()

    def hasten(now: float) -> Effects:
        bench.core.due = now + 0.075
        return Effects()

    if way == "enter":
        bench.driver.enter(hasten)
    elif way == "pull":
        bench.driver.pull("n2", Channel.CONTROL)
    else:
        bench.core.due = bench.clock.time + 0.075
        bench.driver.applied(1)
    assert bench.waits == pytest.approx(0.075 + ROUNDING_SECONDS)


def test_a_heartbeat_takes_one_tick() -> None:
    """Its sender pulls in the turn of the tick: the timer is set for the next one right away."""
    bench = Bench()
    bench.driver.pull("n2", Channel.CONTROL)
    for beat in range(10):
        assert bench.core.ticks == beat + 1
        bench.loop.fire(lambda: cast(None, bench.driver.pull("n2", Channel.CONTROL)))
        assert bench.waits == pytest.approx(0.075 + ROUNDING_SECONDS)
        bench.call()  # the reply


def test_a_sender_that_is_stuck_does_not_make_the_loop_spin() -> None:
    bench = Bench()
    bench.core.due = bench.clock.time
    bench.call()
    fired = bench.clock.time
    for _ in range(5):
        bench.loop.fire()
        assert bench.clock.time - fired >= 0.001 - 1e-9
        fired = bench.clock.time
        at = bench.loop.timer.at
        bench.clock.time += 0.0002
        bench.call()
        assert bench.loop.timer.at == at  # who calls often does not put it off


def test_among_many_calls_it_ticks_in_time_without_looking_after_each() -> None:
    bench = Bench()
    for _ in range(FEW_CALLS + 1):
        bench.call()
    assert bench.waits == pytest.approx(TICK_SECONDS_MAX)
    armed = bench.loop.armed
    for _ in range(100):
        bench.call()
    assert bench.loop.armed == armed
    bench.loop.fire()
    assert bench.waits == pytest.approx(TICK_SECONDS_MAX)
    for _ in range(MANY_CALLS):
        bench.call()
    bench.loop.fire()
    assert bench.waits == pytest.approx(TICK_SECONDS_MAX)  # the tick is a call, too
    bench.loop.fire()
    assert bench.waits == pytest.approx(REST_SECONDS_MAX)


def test_a_timer_that_fires_soon_is_left_alone() -> None:
    bench = Bench()
    bench.core.due = bench.clock.time + TICK_SECONDS_MAX / 2
    bench.call()
    armed = bench.loop.armed
    bench.core.due = bench.clock.time + 0.002
    bench.call()
    assert bench.loop.armed == armed
