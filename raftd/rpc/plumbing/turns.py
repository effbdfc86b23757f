"""Whose unary call begins next, and how many of them in one turn of the loop.

One thread serves everybody. Without this, whoever sends a thousand calls at once has a thousand
begun in one turn, and a heartbeat, or the single put of another client, comes after all of them.
So calls that cannot begin at once wait here, those of each connection in a row of their own; the
rows take turns, and a turn of the loop begins so many calls that it lasts about a millisecond.
While others send commands on streams it begins fewer, and then none for a millisecond: what a
stream brings passes through several turns, and each would be as long.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import grpc

from raftd.h2.intake import TakenInTurns
from raftd.h2.server import Server
from raftd.h2.server_call import ServerCall

TURN_SECONDS = 0.001
"""Of this thread's time: what a turn of the loop should take while calls wait."""

SHARE_MIN, SHARE_FIRST, SHARE_MAX = 4, 16, 64
"""Calls begun in one turn. However long turns are some begin, or streams would starve the calls."""

AT_ONCE = 4
"""Calls of one connection in a row: their answers leave in one write."""

BESIDE_STREAMS = 6
REST_SECONDS = 0.002
"""Calls begun at a time while streams bring commands, and the pause after them."""

STREAMS_SECONDS = 0.05
"""Streams count for so long after their last command."""

HOLD_AT, GO_ON_AT = 8, 2
"""A connection with so many calls waiting is not read until only so few do."""

CROWD = 64
"""With so many waiting in all, connections that carry calls only are read in turn as well."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Calls that may wait: of one connection, and of a node. Named as the settings are."""

    connection_calls_waiting_max: int = 1024
    calls_waiting_max: int = 4096


class Valve(Protocol):
    """What can be told to read no further."""

    def hold(self) -> None: ...

    def release(self) -> None: ...


class TooMany(Exception):
    """The limit that is reached, in one line: nothing was begun."""


@dataclass(slots=True, eq=False)
class Row:
    """The calls of one connection that wait. valve: where that connection can be held."""

    valve: Valve | None = None
    waiting: deque[Callable[[], None]] = field(default_factory=deque)
    held: bool = False


class Turns:
    """Network thread only; made inside the running loop."""

    def __init__(
        self,
        cpu: Callable[[], float] = time.thread_time,
        limits: TurnLimits | None = None,
    ) -> None:
        """cpu: seconds that this thread has worked; other processes' time is nobody's turn."""
        self._limits = limits or TurnLimits()
        self._loop = asyncio.get_running_loop()
        self._cpu = cpu
        self._streamed = -STREAMS_SECONDS
        self._rows: deque[Row] = deque()
        self._share = SHARE_FIRST
        self._begun = 0
        self._at = 0.0
        self._scheduled = False
        self.said: dict[str, str] = {}
        """By service: what is said in the place of our own line, where clients know another one."""
        self.waiting = 0
        self.refused = 0
        """Calls since the start that found no room to wait."""

    @property
    def crowded(self) -> bool:
        return self.waiting >= CROWD

    def streamed(self) -> None:
        """A stream has brought commands."""
        self._streamed = self._loop.time()

    def refusal(self, service: str, why: str) -> str:
        """The line for a caller of `service` (a name with its package)."""
        return self.said.get(service, f"{why}: try again later")

    def begin(self, row: Row, call: Callable[[], None]) -> None:
        """Call `call` now, or when its turn has come. It must not raise. Raises TooMany."""
        if not self._rows and self._begun < self._share:
            self._schedule()
            self._begun += 1
            call()
            return
        self._wait(row, call)
        self._schedule()

    async def turn(self, row: Row) -> None:
        """Return when the caller may begin. Raises TooMany."""
        if not self._rows and self._begun < self._share:
            self._schedule()
            self._begun += 1
            return
        mine: asyncio.Future[None] = self._loop.create_future()
        self._wait(row, lambda: _settle(mine))
        self._schedule()
        await mine

    def _wait(self, row: Row, call: Callable[[], None]) -> None:
        limits = self._limits
        if len(row.waiting) >= (most := limits.connection_calls_waiting_max):
            self.refused += 1
            raise TooMany(f"connection_calls_waiting_max ({most}) is reached")
        if self.waiting >= (most := limits.calls_waiting_max):
            self.refused += 1
            raise TooMany(f"calls_waiting_max ({most}) is reached")
        if not row.waiting:
            self._rows.append(row)
        row.waiting.append(call)
        self.waiting += 1
        if row.valve is not None and not row.held and len(row.waiting) >= HOLD_AT:
            row.held = True
            row.valve.hold()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._at = self._cpu()
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """A turn of the loop is over; the next one begins here."""
        now = self._cpu()
        self._measure(now - self._at)
        self._at = now
        self._begun = 0
        beside = self._loop.time() - self._streamed < STREAMS_SECONDS
        share = min(self._share, BESIDE_STREAMS) if beside else self._share
        while self._rows and self._begun < share:
            self._begin_some(min(AT_ONCE, share - self._begun))
        if beside and self._rows:
            self._loop.call_later(REST_SECONDS, self._rested)
        elif self._rows or self._begun:
            self._loop.call_soon(self._next)
        else:
            self._scheduled = False

    def _rested(self) -> None:
        self._at = self._cpu()  # what was done meanwhile was no turn of these calls
        self._next()

    def _begin_some(self, most: int) -> None:
        row = self._rows.popleft()
        calls = [row.waiting.popleft() for _ in range(min(most, len(row.waiting)))]
        self.waiting -= len(calls)
        self._begun += len(calls)
        if row.waiting:
            self._rows.append(row)
        if row.held and len(row.waiting) <= GO_ON_AT:
            row.held = False
            assert row.valve is not None
            row.valve.release()
        for call in calls:
            call()

    def _measure(self, seconds: float) -> None:
        """Fewer at once where a turn was too long, more where it was short and calls waited."""
        if seconds > TURN_SECONDS:
            self._share = max(
                SHARE_MIN, min(self._share - 1, int(self._share * TURN_SECONDS / seconds))
            )
        elif self._rows:
            self._share = min(SHARE_MAX, self._share + 1)


def _settle(mine: asyncio.Future[None]) -> None:
    if not mine.done():  # its caller may have gone
        mine.set_result(None)


def begin_in_turn(server: Server, turns: Turns) -> None:
    """Calls with one request begin on `server` when `turns` says so."""

    def begin(call: ServerCall, go: Callable[[], None]) -> None:
        connection = call.connection
        assert isinstance(connection, TakenInTurns)
        if connection.row is None:
            connection.row = Row(connection)
        try:
            turns.begin(connection.row, go)
        except TooMany as error:
            service = _service_of(call)
            call.finish(grpc.StatusCode.RESOURCE_EXHAUSTED, turns.refusal(service, str(error)))

    server.begin = begin
    server.intake.crowded = lambda: turns.crowded


def _service_of(call: ServerCall) -> str:
    path = dict(call.request_headers).get(b":path", b"")
    return path.decode("latin-1").strip("/").partition("/")[0]
