"""The node's recent history of events, for any thread to read. The network thread adds."""

from __future__ import annotations

import asyncio
import contextlib

from raftd.core.effects import Event
from raftd.node.ports import Clock
from raftd.node.repeats import Repeats
from raftd.node.ring import Reader, Ring

EVENTS_MAX = 4096
"""Events kept for readers. A reader that falls behind further sees a gap in the numbers."""

Numbered = tuple[int, float, Event]
"""(number from 1 on, monotonic seconds, event)"""

EventReader = Reader[Event]


class EventRing(Ring[Event]):
    """Any thread, but `add`: one thread."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(EVENTS_MAX)
        self._clock = clock
        self._repeats = Repeats()

    def add(self, event: Event) -> None:
        """Keep it, unless its like was kept lately: the ring is for what differs."""
        now = self._clock.now()
        if self._repeats.news(now, event) is not None:
            self.put(now, event)

    def subscribe(self, from_start: bool) -> EventFeed:
        """For the event loop that runs in this thread."""
        return EventFeed(self, from_start)


class EventFeed:
    """A reader for a coroutine, in the loop that ran when it was made."""

    def __init__(self, ring: EventRing, from_start: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._reader = ring.read(0 if from_start else None, self._wake)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # that loop has ended before its reader
            self._loop.call_soon_threadsafe(self._ready.set)

    async def next(self) -> Numbered:
        """(number, monotonic seconds, event); waits for one."""
        while (found := self._reader.take()) is None:
            self._ready.clear()
            # What came between the look and the clearing woke nobody: look again.
            if (found := self._reader.take()) is not None:
                break
            await self._ready.wait()
        return found

    def close(self) -> None:
        self._reader.close()
