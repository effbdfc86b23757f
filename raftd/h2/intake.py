"""What has arrived on a server's connection and is not looked at yet, and who is looked at next.

A connection that is held is read no further; what the system had handed over already waits here.
Those that are let go again take turns, and a turn of the loop spends a fraction of a millisecond on
them. So whoever sends calls by the hundred costs others no more than that at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from raftd.h2.budget import Budget
from raftd.h2.connection import Connection
from raftd.h2.settings import ConnectionSettings

TURN_SECONDS = 0.00015
"""Of this thread's time, for all connections that take turns."""

SLICE_BYTES_MIN = 2048
"""Some twenty calls. Who sends few and large messages is given more at a time."""

SLICE_BYTES_MAX = 256 << 10
WAITING_BYTES_MAX = 64 << 20
"""A connection has one reading's worth of it at most."""


class Reader(Protocol):
    """What is asked of a connection."""

    def look(self) -> bool:
        """Take a slice of what waits. False: nothing waits any more, or the connection is held."""
        ...


def no_crowd() -> bool:
    return False


class Intake:
    """One server's. Its loop's thread only."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        """cpu: seconds that this thread has worked."""
        self.budget = Budget(WAITING_BYTES_MAX)
        """What has arrived and is not looked at, of all connections together."""
        self._loop = loop
        self._cpu = cpu
        self._ready: deque[Reader] = deque()
        self._scheduled = False
        self.crowded: Callable[[], bool] = no_crowd
        """So many calls wait that connections which carry only calls take turns to be read."""

    def ready(self, reader: Reader) -> None:
        """Something of it waits to be looked at. Not again before `look` was False."""
        self._ready.append(reader)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        began = self._cpu()
        for _ in range(len(self._ready)):
            reader = self._ready.popleft()
            if reader.look():
                self._ready.append(reader)
            if self._cpu() - began > TURN_SECONDS:
                break
        self._scheduled = bool(self._ready)
        if self._scheduled:
            self._loop.call_soon(self._turn)


class TakenInTurns(Connection):
    """A connection that can be held, and that takes turns with others where much has arrived."""

    def __init__(
        self,
        settings: ConnectionSettings,
        budget: Budget,
        loop: asyncio.AbstractEventLoop,
        intake: Intake,
    ) -> None:
        super().__init__(settings, budget, loop)
        self.first = False
        """It carries a stream of commands: a crowd of calls on other connections is no reason to
        let it wait."""
        self.row: Any = None
        """For whoever decides when this connection's calls begin (see `Server.begin`)."""
        self._intake = intake
        self._held = self._queued = self._within = self._reading_paused = False
        self._chunks: deque[memoryview] = deque()
        self._slice = SLICE_BYTES_MIN
        self._calls = 0

    def hold(self) -> None:
        """Look at nothing more that arrives until `release`."""
        self._held = True
        self._pause()

    def release(self) -> None:
        self._held = False
        if self._chunks:
            self._queue()
        else:
            self._read_on()

    def data_received(self, data: bytes) -> None:
        waits = self._held or bool(self._chunks) or (not self.first and self._intake.crowded())
        if self._transport is None or (len(data) <= self._slice and not waits):
            calls = self._calls
            super().data_received(data)
            if self._calls > calls:
                self._slice = SLICE_BYTES_MIN
            return
        self.vigil.heard = self.loop.time()
        waiting = self._intake.budget
        if not waiting.room(len(data)):
            self.abort(f"{waiting.held} bytes wait to be looked at (limit {waiting.most})")
            return
        waiting.held += len(data)
        self._chunks.append(memoryview(data))
        self._pause()
        if not self._held and (waits or self._look()):
            self._queue()

    def look(self) -> bool:
        """See Reader."""
        self._queued = self._look()
        return self._queued

    def _look(self) -> bool:
        if self._held or self.closed or not self._chunks:
            return False
        piece, calls = self._next_piece(), self._calls
        if not self._receive(piece):
            self._forget()
            return False
        if self._within:
            self.flush_soon()
        else:
            self._end_chunk()
        most = SLICE_BYTES_MIN if self._calls > calls else self._slice * 2
        self._slice = min(SLICE_BYTES_MAX, most)
        if self._still_held():
            return False
        if not self._chunks:
            self._read_on()
        return bool(self._chunks)

    def _still_held(self) -> bool:
        """Or held again, by the calls that came: what was just read changes it."""
        return self._held or self.closed

    def _next_piece(self) -> bytes:
        chunk = self._chunks[0]
        if not self._within:
            self._control, self._body = 0, -len(chunk)
        self._within = len(chunk) > self._slice
        if self._within:
            self._chunks[0] = chunk[self._slice :]
        else:
            self._chunks.popleft()
        piece = bytes(chunk[: self._slice])
        self._intake.budget.held -= len(piece)
        return piece

    def _queue(self) -> None:
        if not self._queued:
            self._queued = True
            self._intake.ready(self)

    def _pause(self) -> None:
        if not self._reading_paused and self._open():
            self._reading_paused = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._reading_paused and self._open():
            self._reading_paused = False
            self._transport.resume_reading()

    def _open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _forget(self) -> None:
        self._intake.budget.held -= sum(map(len, self._chunks))
        self._chunks.clear()

    def connection_lost(self, error: Exception | None) -> None:
        self._forget()
        super().connection_lost(error)
