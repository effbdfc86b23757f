"""A server's stream on raftd/h2: frames come straight from the socket, without a task between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic

import grpc
import grpc.aio

from raftd.h2.context import Context
from raftd.h2.server_connection import ServerConnection
from raftd.h2.stream import STREAM_HIGH_BYTES
from raftd.rpc.plumbing.connections import Connection
from raftd.rpc.plumbing.malformed import MALFORMED, TEXT
from raftd.rpc.plumbing.streams import AnswerT, Ended, FrameT, ServerStream


class DirectStream(ServerStream[FrameT, AnswerT], Generic[FrameT, AnswerT]):
    """As ServerStream. An answer is written at once; one that waits for its reader is counted."""

    def __init__(
        self,
        context: Context,
        on_frame: Callable[[FrameT], None],
        frames_max: int,
        bytes_max: int,
        connection: Connection,
    ) -> None:
        ours: Any = context
        super().__init__(ours, on_frame, frames_max, bytes_max, connection)
        self._call = context.call
        self._parse, self._serialize = context.parse, context.serialize
        self._waiting: deque[tuple[int, int]] = deque()

    def answer(self, answer: AnswerT, size_bytes: int, answer_bytes: int = 0) -> None:
        if self._over.done():
            return
        self._likely = answer_bytes
        call = self._call
        call.reply(self._serialize(answer))
        if answer_bytes > STREAM_HIGH_BYTES or self._waiting or call.queued > STREAM_HIGH_BYTES:
            self._unread += answer_bytes
            self._connection.hold(answer_bytes)
            self._waiting.append((size_bytes, answer_bytes))
            call.connection.wait_to_send(call)
            return
        self.frames -= 1
        self.bytes -= size_bytes
        if call.paused:
            self._read_on()
        if self._no_more_frames:
            self._check_all_answered()

    def _start(self) -> tuple[asyncio.Task[None], ...]:
        call = self._call
        if isinstance(call.connection, ServerConnection):
            call.connection.first = True
        call.on_room = self._left
        call.on_request_end = self._no_more
        call.on_message = self._arrived
        call.paused = True
        if call.ended and not call.inbox:
            self._no_more()
        else:
            self._loop.call_soon(self._read_on)
        return ()

    def _arrived(self, data: bytes) -> None:
        frame = self._parse(data)
        self._connection.arrived()
        if self._no_more_frames or self._over.done():
            return
        try:
            if frame is MALFORMED:
                raise Ended(grpc.StatusCode.INVALID_ARGUMENT, TEXT)
            self._on_frame(frame)
        except Exception as error:  # noqa: BLE001  `run` raises it
            self._finish(error)
        if self._is_full():
            self._call.paused = True
            if self._connection.full:
                self._connection.waiting.add(self._read_on)
        elif self._connection.all.tired(self._loop):
            self._call.paused = True
            self._loop.call_soon(self._read_on)

    def _no_more(self) -> None:
        self._no_more_frames = True
        self._check_all_answered()

    def _left(self) -> None:
        """All answers but the last few have been read."""
        waiting, self._waiting = self._waiting, deque()
        for size_bytes, answer_bytes in waiting:
            self.frames -= 1
            self.bytes -= size_bytes
            self._unread -= answer_bytes
            self._connection.read(answer_bytes)
        self._read_on()
        self._check_all_answered()

    def _give_back(self) -> None:
        """The story with answers left in `_waiting`: the call, which ends after the stream, told of
        room once more, and all of them were given back twice; a caller who sent a malformed frame
        instead of reading raised the node's limit by as much as it had not read.
        """
        self._waiting.clear()
        super()._give_back()

    def _read_on(self) -> None:
        if not self._call.paused or self._over.done() or self._is_full():
            return
        if self._connection.all.tired(self._loop):
            self._loop.call_soon(self._read_on)
        else:
            self._call.resume()


def server_stream(
    context: grpc.aio.ServicerContext[FrameT, AnswerT],
    on_frame: Callable[[FrameT], None],
    frames_max: int,
    bytes_max: int,
    connection: Connection,
) -> ServerStream[FrameT, AnswerT]:
    """The kind of stream that the context's transport is quickest with. See ServerStream."""
    if isinstance(context, Context):
        return DirectStream(context, on_frame, frames_max, bytes_max, connection)
    return ServerStream(context, on_frame, frames_max, bytes_max, connection)
