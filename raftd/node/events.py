"""The node's recent history: a bounded ring of events that any thread can read, at its own pace.

The network thread adds. A reader has a place in the ring and takes what is there; who falls behind
further than the ring is long sees a gap in the numbers. Readers are counted by whoever lets them
in: streams at the ports have limits of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable

from raftd.core.effects import Event
from raftd.node.ports import Clock
from raftd.node.repeats import Repeats

EVENTS_MAX = 4096
"""Events kept for readers. A reader that falls behind further sees a gap in the numbers."""

Numbered = tuple[int, float, Event]
"""(number from 1 on, monotonic seconds, event)"""


class EventRing:
    """Any thread, but `add`: one thread. The lock is held for a few steps only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ring: deque[Numbered] = deque(maxlen=EVENTS_MAX)
        self._next = 1
        self._repeats = Repeats()
        self._readers: dict[EventReader, Callable[[], None]] = {}

    def add(self, event: Event) -> None:
        """Keep it, unless its like was kept lately: the ring is for what differs."""
        now = self._clock.now()
        if self._repeats.news(now, event) is None:
            return
        with self._lock:
            self._ring.append((self._next, now, event))
            self._next += 1
            wakes = list(self._readers.values())
        for wake in wakes:
            wake()

    def read(self, after: int | None, wake: Callable[[], None]) -> EventReader:
        """A reader of the events after this number (0: all that are kept); None: of new ones.

        A number that this node has not come to is of an earlier life: then all are read. wake:
        called after each further event, on the network thread; quick, and never raises.
        """
        with self._lock:
            if after is None:
                position = self._next
            else:
                position = after + 1 if after < self._next else 1
            reader = EventReader(self, position)
            self._readers[reader] = wake
        return reader

    def subscribe(self, from_start: bool) -> EventFeed:
        """For the event loop that runs in this thread."""
        return EventFeed(self, from_start)

    def leave(self, reader: EventReader) -> None:
        with self._lock:
            self._readers.pop(reader, None)

    def at_least(self, number: int) -> Numbered | None:
        """The oldest kept event whose number is `number` or more."""
        with self._lock:
            if not self._ring or number >= self._next:
                return None
            first = self._ring[0][0]
            return self._ring[max(0, number - first)]


class EventReader:
    """One place in the ring. One thread at a time."""

    def __init__(self, ring: EventRing, position: int) -> None:
        self._ring = ring
        self._position = position

    def take(self) -> Numbered | None:
        """The next event, or None: wait to be woken."""
        found = self._ring.at_least(self._position)
        if found is not None:
            self._position = found[0] + 1
        return found

    def close(self) -> None:
        """Wake nobody any more. Harmless again."""
        self._ring.leave(self)


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
