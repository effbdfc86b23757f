"""A call on the client, as bytes.

One that is begun before the connection stands waits for it, and so does what is sent on it
meanwhile. However a call ends, it has a status: the server's, or one of this side's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from raftd.h2.connection import Connection
from raftd.h2.engine import Header, Headers, StreamGone
from raftd.h2.headers import (
    Metadata,
    status_from,
    status_of_http,
    status_of_reset,
    to_metadata,
)
from raftd.h2.messages import GZIP, IDENTITY, Unframer, framed
from raftd.h2.stream import STREAM_HIGH_BYTES, Stream

Code = grpc.StatusCode


class ClientCall(Stream):
    """Its channel's loop only.

    `on_message` takes messages as they come; else they wait for `read`. `on_done` is called once,
    when the call has its status and every message was taken.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, headers: list[Header], wait_for_ready: bool = False
    ) -> None:
        super().__init__(loop)
        self.request_headers = headers
        self.wait_for_ready = wait_for_ready
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.initial: Metadata | None = None
        self.trailing: Metadata = ()
        self.cancelled = False
        """By this side."""
        self.sent_all = False
        self.deadline: float | None = None
        self.on_started: Callable[[], None] | None = None
        self.on_initial: Callable[[], None] | None = None
        self.on_status: Callable[[], None] | None = None
        """Called once, when the call has its status; messages may wait to be read."""
        self.on_done: Callable[[], None] | None = None
        self.on_leave: Callable[[], None] | None = None
        """For whoever keeps this call in a list."""
        self._early: list[tuple[bytes, bool]] = []
        self._early_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    # --- beginning --------------------------------------------------------------------------

    def limit(self, seconds: float) -> None:
        """The call's deadline."""
        self.deadline = self.loop.time() + seconds
        self._timer = self.loop.call_later(max(0.0, seconds), self._expired)

    def start(self, connection: Connection) -> None:
        """There is a connection. Raises NoNewStreams, and then nothing has happened."""
        stream_id = connection.engine.request(self.request_headers)
        self.attach(connection, stream_id)
        early, self._early, self._early_bytes = self._early, [], 0
        for data, last in early:
            self.engine.data(stream_id, data, last)
        connection.flush_soon()
        if self.on_started is not None:
            self.on_started()
        self.writable()

    # --- sending ----------------------------------------------------------------------------

    def put(self, message: bytes, *, last: bool = False) -> None:
        """Send a message, now or once there is a connection. Does nothing when the call is over."""
        if self.code is not None or self.sent_all:
            return
        self.sent_all = last
        if not self.id:
            self._early.append((framed(message), last))
            self._early_bytes += len(message)
            return
        most = self.connection.settings.message_send_max
        if len(message) > most:
            text = f"Sent message larger than max ({len(message)} vs. {most})"
            self.give_up(Code.RESOURCE_EXHAUSTED, text)
            return
        try:
            self.send(message, last=last)
        except StreamGone:
            return  # its end is on the way

    def put_end(self) -> None:
        """Nothing more will be sent."""
        if self.code is not None or self.sent_all:
            return
        self.sent_all = True
        if not self.id:
            self._early.append((b"", True))
            return
        try:
            self.engine.data(self.id, b"", True)
        except StreamGone:
            return
        self.connection.flush_soon()

    def flush(self) -> None:
        """Have what was sent leave now, not at the end of the turn."""
        if self.id:
            self.connection.flush()

    async def room_to_send(self) -> None:
        """Until little of what was sent waits, or the call is over."""
        if self.id:
            await self.room()
        elif self._early_bytes > STREAM_HIGH_BYTES and self.code is None:
            self._writer = self.loop.create_future()
            await self._writer

    # --- ends -------------------------------------------------------------------------------

    def cancel(self) -> bool:
        """False: it had its end already."""
        if self.code is not None:
            return False
        self.cancelled = True
        self.give_up(Code.CANCELLED, "Locally cancelled by application!")
        return True

    def give_up(self, code: grpc.StatusCode, details: str) -> None:
        """End the call from this side; the server is told."""
        if self.code is not None:
            return
        self.cancel_stream()
        self.drop()
        self.end(code, details)

    def _expired(self) -> None:
        self.give_up(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def end(self, code: grpc.StatusCode, details: str) -> None:
        """The call has its status. Messages that came before may still be read."""
        if self.code is not None:
            return
        self.code, self.details = code, details
        self.ended = True
        self._early.clear()
        self.stop_counting()
        if self._timer is not None:
            self._timer.cancel()
        leave, self.on_leave = self.on_leave, None
        if leave is not None:
            leave()
        if self.initial is None:
            self._opened(())
        self._wake_reader()
        self.writable()
        if self.on_status is not None:
            self.on_status()
        if not self.inbox:
            self.half_closed()

    def half_closed(self) -> None:
        """Everything was taken: with the status it is the end."""
        if self.code is not None:
            done, self.on_done = self.on_done, None
            if done is not None:
                done()
            self.on_initial = self.on_started = self.on_status = self.on_room = None
            self.on_message = None

    def broken(self, code: grpc.StatusCode, text: str) -> None:
        """What was whole before it may still be read."""
        self.unframer = None
        self.cancel_stream()
        self.end(code, text)

    # --- the connection's side --------------------------------------------------------------

    def _opened(self, metadata: Metadata) -> None:
        self.initial = metadata
        if self.on_initial is not None:
            self.on_initial()

    def headers(self, headers: Headers, end: bool) -> None:
        fields = dict(headers)
        if end or b"grpc-status" in fields:  # the status came alone
            self._finish(fields, headers)
            return
        status = fields.get(b":status", b"")
        content = fields.get(b"content-type", b"")
        if status != b"200" or not content.startswith(b"application/grpc"):
            self._not_grpc(status, content)
            return
        encoding = fields.get(b"grpc-encoding", IDENTITY)
        if encoding not in (IDENTITY, GZIP):
            self.give_up(Code.INTERNAL, f"grpc-encoding {encoding[:32]!r} was never offered")
            return
        self.unframer = Unframer(self.connection.settings.message_max, encoding)
        self._opened(to_metadata(headers))

    def trailers(self, headers: Headers) -> None:
        if self.unframer is not None and self.unframer.pending and b"grpc-status" in dict(headers):
            fields = dict(headers)
            if fields[b"grpc-status"] == b"0":
                self.give_up(Code.INTERNAL, "the stream ended in the middle of a message")
                return
        self._finish(dict(headers), headers)

    def _finish(self, fields: dict[bytes, bytes], headers: Headers) -> None:
        status = status_from(fields)
        if status is None:
            http = fields.get(b":status", b"")
            if http:
                self._not_grpc(http, fields.get(b"content-type", b""))
            else:
                self.end(Code.UNKNOWN, "the response ended without a grpc-status")
            return
        self.trailing = to_metadata(headers)
        self.end(*status)

    def _not_grpc(self, status: bytes, content: bytes) -> None:
        number = int(status) if status.isdigit() else 0
        code = Code.UNKNOWN if number == 200 else status_of_http(number)
        text = f"no answer in gRPC: HTTP status {number}, content-type {content[:60]!r}"
        self.give_up(code, text)

    def _end_of_body(self) -> None:
        self.end(Code.UNKNOWN, "the response ended without a grpc-status")

    def reset_by_peer(self, code: int) -> None:
        self.end(status_of_reset(code), f"Received RST_STREAM with error code {code}")

    def refused(self, text: str) -> None:
        self.end(Code.UNAVAILABLE, f"the server did not take the call: {text}")

    def lost(self, text: str) -> None:
        self.end(Code.UNAVAILABLE, text)

    def closed(self, code: int) -> None:
        self.end(status_of_reset(code), f"the stream was closed with error code {code}")
