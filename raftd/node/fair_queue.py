"""Who enters the log next: one heavy client does not make the light ones wait.

Entries are committed in the order of the log. So 64 MiB of one client's bulk in it would be seconds
for everybody behind. A source (a session) with little unanswered goes into the log at once. What
is more than that is bulk, and while other sources are light there is only little of it in the log
at a time: the rest waits here, and the sources take turns by bytes (self-clocked fair queueing:
Golestani, INFOCOM 1994). Where nobody else is there, bulk enters the log at once, too.

Nothing waits here unless something of it, or something light, is in the log unanswered: each answer
lets the next in, and no timer is needed.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

from raftd.node.outcomes import Done, Outcome
from raftd.node.settings import NodeSettings
from raftd.wire.batch import SESSION_AT
from raftd.wire.session_id import ID_BYTES, NO_SESSION

LIGHT_SECONDS = 1.0
"""A light source counts as there for so long after its last batch."""

REST_SECONDS = 0.05
"""Bulk waits until no light batch is unanswered, but not for longer than this: light ones may never
pause."""

Go = Callable[[bytes, Done, bytes], None]
"""(batch, who waits for its answer, who asked): on its way into the log."""


class _Source:
    __slots__ = ("tag", "unanswered", "waiting")

    def __init__(self) -> None:
        self.unanswered = 0
        """Bytes, those that wait here included."""
        self.tag = 0
        self.waiting: deque[tuple[bytes, Done, bytes]] = deque()


class FairQueue:
    """Network thread only. Batches of one source enter the log in the order in which they came."""

    def __init__(self, settings: NodeSettings, now: Callable[[], float], go: Go) -> None:
        """now: a monotonic clock, seconds."""
        self._light_bytes = settings.light_bytes
        self._bulk_bytes = settings.bulk_bytes_max
        self._now, self._go = now, go
        self._sources: dict[bytes, _Source] = {}
        self._turns: list[tuple[int, int, bytes]] = []
        """A heap of (tag, number, source): a turn for each batch that waits."""
        self._number = self._tag = 0
        self._lights = 0
        """Light batches, unanswered."""
        self._bulk = 0
        """Bytes of bulk in the log, unanswered."""
        self._rested_at = 0.0
        """When bulk last entered, or began to wait."""
        self._light_source, self._light_at = b"", -LIGHT_SECONDS
        self._other_at = -LIGHT_SECONDS
        """Of the latest light batch of any other source: bulk may begin with a light one itself."""
        self.bytes = 0
        """Of what waits here."""

    def __len__(self) -> int:
        return len(self._turns)

    def put(self, batch: bytes, done: Done, principal: bytes) -> None:
        """Into the log now, or when it is its turn."""
        name = batch[SESSION_AT : SESSION_AT + ID_BYTES]
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source()
        size = len(batch)
        source.unanswered += size
        now = self._now()
        plain = name == NO_SESSION  # callers of all kinds, each with one command at a time
        light = size if plain else source.unanswered
        if light <= self._light_bytes and not source.waiting:
            if name != self._light_source:
                self._light_source, self._other_at = name, self._light_at
            self._light_at = now
            self._lights += 1
            self._go(batch, self._light_done(name, source, size, done), principal)
        elif plain:  # it is not the bulk whose end others wait for: it may never pause
            self._go(batch, self._gone(name, source, size, done), principal)
        elif not self._turns and self._alone(name, now):
            self._enter(name, source, batch, done, principal, now)
        else:
            if not self._turns:
                self._rested_at = now
            self._wait(name, source, batch, done, principal)
            self._let_in()

    def everybody(self) -> list[Done]:
        """Take everything that waits here, to refuse it."""
        dones: list[Done] = []
        for name, source in self._sources.items():
            dones += [self._gone(name, source, len(each[0]), each[1]) for each in source.waiting]
            source.waiting.clear()
        self._turns.clear()
        self.bytes = 0
        return dones

    def _alone(self, name: bytes, now: float) -> bool:
        """Is no other source light?"""
        at = self._other_at if name == self._light_source else self._light_at
        return now - at >= LIGHT_SECONDS

    def _wait(
        self, name: bytes, source: _Source, batch: bytes, done: Done, principal: bytes
    ) -> None:
        source.tag = max(source.tag, self._tag) + len(batch)
        self._number += 1
        heapq.heappush(self._turns, (source.tag, self._number, name))
        source.waiting.append((batch, done, principal))
        self.bytes += len(batch)

    def _let_in(self) -> None:
        while self._turns:
            tag, _, name = self._turns[0]
            source, now = self._sources[name], self._now()
            batch, done, principal = source.waiting[0]
            if not self._may_enter(name, len(batch), now):
                return
            heapq.heappop(self._turns)
            source.waiting.popleft()
            self._tag = tag
            self.bytes -= len(batch)
            self._enter(name, source, batch, done, principal, now)

    def _may_enter(self, name: bytes, size: int, now: float) -> bool:
        if self._alone(name, now):
            return True
        if self._bulk and self._bulk + size > self._bulk_bytes:
            return False
        return not self._lights or now - self._rested_at >= REST_SECONDS

    def _enter(
        self, name: bytes, source: _Source, batch: bytes, done: Done, principal: bytes, now: float
    ) -> None:
        size = len(batch)
        self._bulk += size
        self._rested_at = now

        def answered(outcome: Outcome) -> None:
            self._bulk -= size
            self._leave(name, source, size)
            done(outcome)
            self._let_in()

        self._go(batch, answered, principal)

    def _light_done(self, name: bytes, source: _Source, size: int, done: Done) -> Done:
        def answered(outcome: Outcome) -> None:
            self._lights -= 1
            self._leave(name, source, size)
            done(outcome)
            if self._turns:
                self._let_in()

        return answered

    def _gone(self, name: bytes, source: _Source, size: int, done: Done) -> Done:
        def answered(outcome: Outcome) -> None:
            self._leave(name, source, size)
            done(outcome)

        return answered

    def _leave(self, name: bytes, source: _Source, size: int) -> None:
        source.unanswered -= size
        if not source.unanswered and not source.waiting:
            self._sources.pop(name, None)
