"""The node's events as server-sent events: what a browser's EventSource reads.

    id: 17
    event: role
    data: {"number": 17, "age_seconds": 0.012, "kind": "role", "term": 4, "role": "leader", ...}

`GET /events` begins with new events, `/events?after=0` with the oldest that is kept, `?after=N` (or
the header Last-Event-ID, which a browser sends when it comes back) behind number N. A gap in the
numbers: the reader was too slow. A comment every few seconds shows that the connection lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from urllib.parse import parse_qs

from raftd.admin.connection import Answer, Connection, Request, Stream
from raftd.admin.vitals import Vitals
from raftd.node.events import EventReader, Numbered

STREAMS_MAX = 16
"""Readers at a time. Each may hold 64 KiB that wait for it."""
COMMENT_SECONDS = 10.0
PIECES_MAX = 64
"""Events sent in one turn of the loop: a probe does not wait behind a long history."""
NUMBER_DIGITS_MAX = 18


class EventStreams:
    """All readers of events at the HTTP port. The admin thread's loop only."""

    def __init__(self, vitals: Vitals, loop: asyncio.AbstractEventLoop) -> None:
        self._vitals = vitals
        self._loop = loop
        self._open = 0

    def answer(self, request: Request) -> Answer | Stream:
        """A stream, or why there is none."""
        if self._vitals.read_events is None:
            return Answer(503, "starting: there are no events yet\n")
        if self._open >= STREAMS_MAX:
            return Answer(503, f"{STREAMS_MAX} readers of events are here: try again later\n")
        given = parse_qs(request.query).get("after", [request.last_event_id])[-1]
        if given and not (given.isascii() and given.isdigit() and len(given) <= NUMBER_DIGITS_MAX):
            return Answer(400, "after, or Last-Event-ID: expected the number of an event\n")
        self._open += 1
        return _EventStream(self._vitals, self._loop, int(given) if given else None, self._ended)

    def _ended(self) -> None:
        self._open -= 1


class _EventStream:
    kind = "text/event-stream"
    allowed_origin = ""

    def __init__(
        self,
        vitals: Vitals,
        loop: asyncio.AbstractEventLoop,
        after: int | None,
        ended: Callable[[], None],
    ) -> None:
        self._now = vitals.now
        self._loop = loop
        self._ended = ended
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        assert vitals.read_events is not None
        self._reader: EventReader = vitals.read_events(after, self._wake)

    def begin(self, connection: Connection) -> None:
        self._connection = connection
        self._comment()
        self.resume()

    def resume(self) -> None:
        """Send what there is, as far as the reader takes it."""
        connection = self._connection
        for _ in range(PIECES_MAX):
            if connection is None or connection.full:
                return
            found = self._reader.take()
            if found is None:
                return
            connection.send(self._piece(found))
        self._loop.call_soon(self.resume)

    def end(self) -> None:
        self._connection = None
        if self._timer is not None:
            self._timer.cancel()
        self._reader.close()
        self._ended()

    def _wake(self) -> None:
        """The node's network thread."""
        with contextlib.suppress(RuntimeError):  # this port has closed
            self._loop.call_soon_threadsafe(self.resume)

    def _comment(self) -> None:
        if self._connection is not None and not self._connection.full:
            self._connection.send(b":\n\n")
        self._timer = self._loop.call_later(COMMENT_SECONDS, self._comment)

    def _piece(self, found: Numbered) -> bytes:
        number, at, event = found
        data = {
            "number": number,
            "age_seconds": round(self._now() - at, 3),
            "kind": event.kind,
            "level": event.kind.level.value,
            "term": event.term,
            "role": event.role.value,
            "leader": event.leader,
            "peer": event.peer,
            "detail": event.detail,
        }
        return f"id: {number}\nevent: {event.kind}\ndata: {json.dumps(data)}\n\n".encode()
