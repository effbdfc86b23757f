"""The node's recent history: a bounded ring of core events, and readers that may be slow."""

from __future__ import annotations

import asyncio
from collections import deque

from raftd.core.effects import Event
from raftd.node.ports import Clock
from raftd.node.repeats import Repeats

EVENTS_MAX = 4096
"""Events kept for readers. A reader that falls behind further sees a gap in the numbers."""

Numbered = tuple[int, float, Event]


class EventRing:
    """Network thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: deque[Numbered] = deque(maxlen=EVENTS_MAX)
        self._next = 1
        self._repeats = Repeats()
        self._readers: set[EventFeed] = set()

    def add(self, event: Event) -> None:
        """Keep it, unless its like was kept lately: the ring is for what differs."""
        now = self._clock.now()
        if self._repeats.news(now, event) is None:
            return
        self._ring.append((self._next, now, event))
        self._next += 1
        for reader in self._readers:
            reader.ready.set()

    def subscribe(self, from_start: bool) -> EventFeed:
        feed = EventFeed(self, 1 if from_start else self._next)
        self._readers.add(feed)
        return feed

    def unsubscribe(self, feed: EventFeed) -> None:
        self._readers.discard(feed)

    def at_least(self, number: int) -> Numbered | None:
        """The oldest kept event whose number is `number` or more."""
        if not self._ring or number >= self._next:
            return None
        first = self._ring[0][0]
        return self._ring[max(0, number - first)]


class EventFeed:
    """One reader's place in the ring. Network thread only."""

    def __init__(self, ring: EventRing, position: int) -> None:
        self._ring = ring
        self._position = position
        self.ready = asyncio.Event()

    async def next(self) -> Numbered:
        """(number, monotonic seconds, event); waits for one."""
        while (found := self._ring.at_least(self._position)) is None:
            self.ready.clear()
            await self.ready.wait()
        self._position = found[0] + 1
        return found

    def close(self) -> None:
        self._ring.unsubscribe(self)
