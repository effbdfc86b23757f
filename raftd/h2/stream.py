"""One call's messages, both ways.

What arrives is either handed to `on_message` at once or waits in the inbox until somebody takes it.
The other side may send more only as far as messages were taken: a message that waits keeps the
window closed. A message larger than the window is gathered as it comes, and only while nothing
waits before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import grpc

from raftd.h2.connection import Connection
from raftd.h2.engine import CANCEL, Engine, Headers
from raftd.h2.messages import HEAD_BYTES, Unframer, framed

STREAM_HIGH_BYTES = 64 << 10
"""Who sends by a coroutine waits while so much of his stream's waits."""


class Stream:
    """Its connection's thread only. Subclasses are one side's call."""

    connection: Connection
    engine: Engine

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.id = 0
        """0: not on a connection yet."""
        self.inbox: deque[bytes] = deque()
        self.on_message: Callable[[bytes], None] | None = None
        """None: messages wait in the inbox until `take`."""
        self.on_room: Callable[[], None] | None = None
        """Called after `connection.wait_to_send` when little of what was sent waits here."""
        self.paused = False
        self.ended = False
        """The other side sends nothing more."""
        self.over = False
        """This call has its status; nothing that still arrives matters."""
        self.unframer: Unframer | None = None
        self._untaken = 0
        self._counted = True
        self._inbox_bytes = self._held = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    def attach(self, connection: Connection, stream_id: int) -> None:
        self.connection = connection
        self.engine = connection.engine
        self.id = stream_id
        connection.streams[stream_id] = self

    # --- receiving --------------------------------------------------------------------------

    def received(self, data: bytes, end: bool) -> None:
        """From the connection: part of the body."""
        size = len(data)
        if self.over or self.unframer is None:
            self.engine.taken(size, self.id)
            return
        if size:
            unframer = self.unframer
            self._untaken += size
            for message in unframer.feed(data):
                self._arrived(message)
            self._release()
            if unframer.bad is not None:
                self.broken(unframer.bad.code, unframer.bad.text)
                return
            if not self._hold():
                return
        if end:
            self._end_of_body()

    def _arrived(self, message: bytes) -> None:
        if self.on_message is None or self.paused or self.inbox:
            self.inbox.append(message)
            self._inbox_bytes += len(message) + HEAD_BYTES
            self._wake_reader()
        elif not self.over:
            self.on_message(message)

    def _end_of_body(self) -> None:
        self.ended = True
        if self.unframer is not None and self.unframer.pending:
            self.broken(grpc.StatusCode.INTERNAL, "the stream ended in the middle of a message")
        else:
            self._wake_reader()
            self.whole()
            if not self.inbox:
                self.half_closed()

    def _release(self) -> None:
        """Let the other side send as much again as is no longer waiting here."""
        if self._untaken and not self.inbox:
            self.engine.taken(self._untaken, self.id)
            self._untaken = 0

    def _hold(self) -> bool:
        """Count what this stream holds. False: it was too much for the owner, and was ended."""
        if not self._counted:
            return True
        held = self._inbox_bytes + (self.unframer.pending if self.unframer is not None else 0)
        more = held - self._held
        if not more:
            return True
        budget = self.connection.budget
        if more > 0 and not budget.room(more):
            self.broken(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{budget.held} bytes of messages wait here already (limit {budget.most})",
            )
            return False
        budget.held += more
        self._held = held
        return True

    def take(self) -> bytes:
        """The oldest message in the inbox, which must not be empty."""
        message = self._pop()
        self._check_half_closed()
        return message

    def _check_half_closed(self) -> None:
        if self.ended and not self.inbox:
            self.half_closed()

    def _pop(self) -> bytes:
        message = self.inbox.popleft()
        size = len(message) + HEAD_BYTES
        self._inbox_bytes -= size
        if self.inbox:
            size = min(size, self._untaken)
            self._untaken -= size
            self.engine.taken(size, self.id)
        else:
            self._release()
        self._hold()
        self.connection.flush_soon()
        return message

    def resume(self) -> None:
        """After `paused`: hand over what waits."""
        self.paused = False
        if not self.inbox:
            return
        while self.inbox and not self.paused and self.on_message is not None:
            self.on_message(self._pop())
        self._check_half_closed()

    async def read(self) -> bytes | None:
        """The next message; None after the last. One reader at a time."""
        while not self.inbox:
            if self.ended or self.over:
                return None
            self._reader = self.loop.create_future()
            await self._reader
        return self.take()

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    # --- sending ----------------------------------------------------------------------------

    def send(self, message: bytes, *, last: bool = False) -> None:
        """Queue a message; `flush` of the connection, or the end of the turn, sends it.

        Raises StreamGone.
        """
        data = framed(message)
        self.engine.data(self.id, data, last)
        self.connection.vigil.given += len(data)
        self.connection.flush_soon()

    @property
    def queued(self) -> int:
        """Bytes of this stream that have not left the engine."""
        return self.engine.queued(self.id) if self.id else 0

    async def room(self) -> None:
        """Until little of this stream waits to be read, or the call is over."""
        if self.over or self.queued <= STREAM_HIGH_BYTES:
            return
        self.connection.flush()
        if self.queued > STREAM_HIGH_BYTES:
            self._writer = self.loop.create_future()
            self.connection.wait_to_send(self)
            await self._writer

    def writable(self) -> None:
        if self.on_room is not None:
            self.on_room()
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)

    # --- ending -----------------------------------------------------------------------------

    def drop(self) -> None:
        """Nothing of what waits matters any more; whoever waits here goes on."""
        self.over = True
        self.inbox.clear()
        self.unframer = None
        self._inbox_bytes = 0
        if self.id:
            self._release()
            self._hold()
        self._wake_reader()
        self.writable()

    def stop_counting(self) -> None:
        """Nothing more will come: what waits is small, and may never be taken."""
        self._counted = False
        if self.id:
            self.connection.budget.held -= self._held
        self._held = 0

    def cancel_stream(self) -> None:
        if self.id:
            self.engine.reset(self.id, CANCEL)
            self.connection.flush_soon()

    # --- for the two sides ------------------------------------------------------------------

    def headers(self, headers: Headers, end: bool) -> None:
        """The first header fields of a response."""

    def trailers(self, headers: Headers) -> None:
        """The last header fields."""

    def whole(self) -> None:
        """The other side has sent everything; it may wait in the inbox."""

    def half_closed(self) -> None:
        """The other side has sent everything, and all of it was taken."""

    def broken(self, code: grpc.StatusCode, text: str) -> None:
        """What arrives cannot be taken: end the call with this status."""

    def reset_by_peer(self, code: int) -> None: ...

    def refused(self, text: str) -> None:
        """The other side says that it never began this call."""

    def lost(self, text: str) -> None:
        """The connection is gone."""

    def closed(self, code: int) -> None:
        """Both sides have ended the stream."""
