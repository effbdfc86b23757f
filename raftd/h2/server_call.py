"""A call on the server, as bytes: what callbacks answer, and what `context` is built on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import grpc

from raftd.h2.connection import Connection
from raftd.h2.engine import Header, Headers, StreamGone
from raftd.h2.headers import (
    CONTENT_TYPE,
    Metadata,
    MetadataLike,
    status_headers,
    timeout_of,
    to_headers,
    to_metadata,
)
from raftd.h2.messages import ACCEPTED, GZIP, IDENTITY, Unframer
from raftd.h2.stream import Stream

OPENING: list[Header] = [(b":status", b"200"), CONTENT_TYPE]
FINE: list[Header] = [(b"grpc-status", b"0")]


class Handler(Protocol):
    """A method: told of each call that begins. It raises nothing."""

    def begin(self, call: ServerCall) -> None: ...


class ServerCall(Stream):
    """One call. `reply` and `finish` may be called at any time and do nothing once it is over."""

    def __init__(self, connection: Connection, stream_id: int, headers: Headers) -> None:
        super().__init__(connection.loop)
        self.attach(connection, stream_id)
        self.request_headers = headers
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.deadline: float | None = None
        """On the loop's clock, seconds."""
        self.on_whole: Callable[[], None] | None = None
        """The caller has sent everything; it waits in the inbox: for a method with one request."""
        self.on_request_end: Callable[[], None] | None = None
        """The caller has sent everything, and it was taken: for a stream."""
        self.on_over: Callable[[], None] | None = None
        """Called once when the call ends otherwise than by `finish`: cancelled, late, or lost."""
        self.on_leave: Callable[[], None] | None = None
        """Called once when the call has its end, however: for the server's count."""
        self.on_gone: Callable[[], None] | None = None
        """Called once when nothing of the call waits here any more: read by the caller, or lost."""
        self._opened = False
        self._timer: asyncio.TimerHandle | None = None
        self._initial: list[Header] = []
        self.trailing: MetadataLike = None

    def begin(self, fields: dict[bytes, bytes]) -> None:
        """Limits that the caller set. Raises ValueError for what is not gRPC's."""
        encoding = fields.get(b"grpc-encoding", IDENTITY)
        if encoding not in (IDENTITY, GZIP):
            self._initial.append((b"grpc-accept-encoding", ACCEPTED))
            text = f"grpc-encoding {encoding[:32]!r} is not known: identity or gzip"
            self.finish(grpc.StatusCode.UNIMPLEMENTED, text)
            return
        self.unframer = Unframer(self.connection.settings.message_max, encoding)
        timeout = fields.get(b"grpc-timeout")
        if timeout is not None:
            seconds = timeout_of(timeout)
            self.deadline = self.loop.time() + seconds
            self._timer = self.loop.call_later(seconds, self._expired)

    @property
    def metadata(self) -> Metadata:
        return to_metadata(self.request_headers)

    # --- answers ----------------------------------------------------------------------------

    def send_headers(self, metadata: MetadataLike = None) -> None:
        """The response's header fields, which otherwise leave with the first message."""
        if self.over or self._opened:
            return
        self._opened = True
        headers = [*OPENING, *self._initial, *to_headers(metadata)]
        try:
            self.engine.respond(self.id, headers)
        except StreamGone:
            self._gone()
        self.connection.flush_soon()

    def set_trailing(self, metadata: MetadataLike) -> None:
        """Application's fields for the end of the call."""
        self.trailing = metadata

    def reply(self, message: bytes) -> None:
        """Send one message. A unary method calls `answer` in its place."""
        if self.over:
            return
        most = self.connection.settings.message_send_max
        if len(message) > most:
            text = f"Sent message larger than max ({len(message)} vs. {most})"
            self.finish(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            return
        if not self._opened:
            self.send_headers()
        try:
            self.send(message)
        except StreamGone:
            self._gone()

    def answer(self, message: bytes) -> None:
        """The only message of a unary answer, and the end."""
        self.reply(message)
        self.finish()

    def finish(self, code: grpc.StatusCode = grpc.StatusCode.OK, details: str = "") -> None:
        """The call's status. Nothing can be sent after it."""
        if self.over:
            return
        self.code, self.details = code, details
        fine = code is grpc.StatusCode.OK and not details and not self.trailing
        ending = FINE if fine else status_headers(code, details, self.trailing)
        try:
            if self._opened:
                self.engine.trailers(self.id, ending)
            else:
                self.engine.respond(self.id, [*OPENING, *self._initial, *ending], True)
        except StreamGone:
            self._gone()
            return
        half_open = not self.ended
        self._leave()
        if half_open:
            self.connection.end_when_sent(self)
        else:
            self.connection.flush_soon()

    # --- ends -------------------------------------------------------------------------------

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.drop()
        leave, self.on_leave = self.on_leave, None
        if leave is not None:
            leave()

    def _expired(self) -> None:
        self._end_early(grpc.StatusCode.DEADLINE_EXCEEDED, "the call's deadline has passed")

    def _end_early(self, code: grpc.StatusCode, details: str) -> None:
        """By this side, before the handler has answered."""
        if not self.over:
            self.finish(code, details)
            self._tell_over()

    def _gone(self) -> None:
        """Nobody is there any more."""
        if not self.over:
            self.code = grpc.StatusCode.CANCELLED
            self._leave()
            self._tell_over()

    def _tell_over(self) -> None:
        over, self.on_over = self.on_over, None
        if over is not None:
            over()

    def broken(self, code: grpc.StatusCode, text: str) -> None:
        self._end_early(code, text)

    def stop(self, code: grpc.StatusCode, text: str) -> None:
        """The server ends: this call, too."""
        self._end_early(code, text)

    def whole(self) -> None:
        if self.on_whole is not None and not self.over:
            self.on_whole()

    def half_closed(self) -> None:
        if self.on_request_end is not None and not self.over:
            self.on_request_end()

    def trailers(self, headers: Headers) -> None:
        """A request may have trailers; they end it and say nothing to us."""
        self._end_of_body()

    def reset_by_peer(self, code: int) -> None:
        self._gone()

    def lost(self, text: str) -> None:
        self.closed(0)

    def closed(self, code: int) -> None:
        self._gone()
        gone, self.on_gone = self.on_gone, None
        if gone is not None:
            gone()
        self.on_whole = self.on_request_end = self.on_over = self.on_room = None
        self.on_message = None
