"""When the core is asked next what is due: in time, and hardly for anything else.

The core says what is due next (`wake_at`), and any call may change that. Among many calls it is not
asked after each: the timer fires every 20 ms. Among few it is, and the timer rests until something
is due: three idle nodes spent a third of their time on ticks that had nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from raftd.node.ports import Clock

TICK_SECONDS_MIN = 0.001
"""A due timer stays due until its message is pulled: this floor keeps a stuck sender from making
the loop spin."""

TICK_SECONDS_MAX = 0.02
"""A timer that fires so soon need not be brought forward: the upper bound among many calls."""

REST_SECONDS_MAX = 0.5
"""The same among few."""

FEW_CALLS = 16
"""So many between two ticks are few: those of some heartbeats."""

MANY_CALLS = 4
"""More than these within 20 ms are still many: to go to and fro between both ways costs more."""

ROUNDING_SECONDS = 0.001
"""An event loop counts in milliseconds, and calls up to one too early: a tick for nothing."""


class TickTimer:
    """Network thread only."""

    def __init__(
        self,
        wake_at: Callable[[float], float],
        tick: Callable[[], object],
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """wake_at: as the core's. tick: enters the core; what it raises goes to the loop."""
        self._wake_at = wake_at
        self._tick = tick
        self._clock = clock
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        self._resting = False
        """It may be later than what a call has just made due."""
        self._calls = 0
        """Since it fired last."""
        self._busy = False
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def arm(self, longest: float = TICK_SECONDS_MAX) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._resting = longest > TICK_SECONDS_MAX
        now = self._clock.now()
        self._fires_at = min(self._due(now), now + longest)
        self._timer = self._loop.call_later(self._fires_at - now, self._on_timer)

    def called(self, now: float) -> None:
        """After each call of the core: something may be due before the timer fires."""
        self._calls += 1
        if not self._resting or self._fires_at - now <= TICK_SECONDS_MAX:
            return  # it is soon enough as it is
        if self._calls > FEW_CALLS:
            self._busy = True
            self.arm()
        elif self._due(now) < self._fires_at:
            self.arm(REST_SECONDS_MAX)

    def _due(self, now: float) -> float:
        return max(self._wake_at(now) + ROUNDING_SECONDS, now + TICK_SECONDS_MIN)

    def _on_timer(self) -> None:
        if self._stopped:
            return
        self._resting = False
        self._tick()
        # Those whom the tick has woken pull first, in this turn of the loop: then it is known when
        # the next heartbeat is due.
        self._loop.call_soon(self._rest)

    def _rest(self) -> None:
        if not self._stopped:
            self._busy = self._calls > (MANY_CALLS if self._busy else FEW_CALLS)
            self._calls = 0
            self.arm(TICK_SECONDS_MAX if self._busy else REST_SECONDS_MAX)
