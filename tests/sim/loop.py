"""As much of an event loop as raftd/node uses, on simulated time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.sim.world import World

Run = Callable[..., None]


class Timer:
    __slots__ = ("call", "cancelled")

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Stands for the asyncio loop of one process.

    What is called soon runs in the order in which it was asked for, in turns: what a turn asks for
    is for the next one. Between two turns whatever has arrived in the meantime comes in.
    """

    def __init__(
        self,
        world: World,
        rng: random.Random,
        turn_delay: float,
        run: Run,
        guard: Run,
        true_in: Callable[[float], float],
        elapsed: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        """run: call something on the process's network thread, if it lives, when it is free.
        guard: call it, and take what it may raise as a loop does, one callback at a time.
        true_in: in so many seconds of the process's own clock, as true time.
        elapsed: seconds since whatever runs now began.
        now: the process's own clock.
        """
        self._world = world
        self._rng = rng
        self._turn_delay = turn_delay
        self._run = run
        self._guard = guard
        self._true_in = true_in
        self._elapsed = elapsed
        self._now = now
        self._ready: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._scheduled = False

    def time(self) -> float:
        return self._now()

    def call_soon(self, call: Callable[..., None], *args: Any) -> None:
        self._ready.append((call, args))
        if not self._scheduled:
            self._scheduled = True
            delay = self._rng.random() * self._turn_delay if self._turn_delay else 0.0
            self._world.after(delay, self._run, self._turn)

    def call_soon_threadsafe(self, call: Callable[..., None], *args: Any) -> None:
        """From a thread that may have paused in the middle of what it does now."""
        paused = self._elapsed()
        if paused > 0:
            self._world.after(paused, self.call_soon, call, *args)
        else:
            self.call_soon(call, *args)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        self._world.at(self._true_in(seconds), self._due, timer)
        return timer

    def settle(self) -> None:
        """Run what is ready now: its thread got ahead of who is calling, in the middle of work."""
        if self._ready:
            self._turn()

    def is_closed(self) -> bool:
        return False

    def _due(self, timer: Timer) -> None:
        if not timer.cancelled:
            self._run(self._fire, timer)

    def _fire(self, timer: Timer) -> None:
        if not timer.cancelled:
            timer.call()

    def _turn(self) -> None:
        self._scheduled = False
        ready, self._ready = self._ready, deque()
        while ready:
            call, args = ready.popleft()
            self._guard(call, *args)
