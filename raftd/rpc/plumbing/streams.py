"""One bidirectional stream on a server: frames are taken as they arrive, answers leave at once.

No task per message: a callback puts the answer into the stream's outbox, and one writer empties it.
What is taken and not yet answered on the wire is bounded in number and bytes; past the bound the
stream is not read, and gRPC's own flow control holds the caller.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import grpc
import grpc.aio

from raftd.rpc.plumbing.connections import Connection
from raftd.rpc.plumbing.malformed import MALFORMED, TEXT

FrameT = TypeVar("FrameT")
AnswerT = TypeVar("AnswerT")

ENDINGS = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError, EOFError)
"""What reading or writing a stream raises when the other side, or the connection, has gone."""


class Ended(Exception):
    """Why this side ends the stream: a status and one line for the caller."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ServerStream(Generic[FrameT, AnswerT]):
    """The server's end of one stream. Network thread only."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext[FrameT, AnswerT],
        on_frame: Callable[[FrameT], None],
        frames_max: int,
        bytes_max: int,
        connection: Connection,
    ) -> None:
        """`on_frame` calls `take` once for a frame that will be answered, and `answer` once later.

        Ended raised by it ends the stream with that status. connection: whose stream it is.
        """
        self._connection = connection
        self._context = context
        self._on_frame = on_frame
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[tuple[AnswerT, int, int]] = deque()
        self._writer_waits: asyncio.Future[None] | None = None
        self._reader_waits: asyncio.Future[None] | None = None
        self._no_more_frames = False
        self._ending: Ended | None = None
        self._over: asyncio.Future[BaseException | None] = self._loop.create_future()
        self._unread = 0
        self._likely = 0
        self.frames = 0
        self.bytes = 0

    def take(self, size_bytes: int) -> None:
        self.frames += 1
        self.bytes += size_bytes

    def room(self, answer_bytes: int) -> bool:
        """May an answer of this size wait to be read? Else say something shorter in its place."""
        return self._connection.room(answer_bytes)

    def answer(self, answer: AnswerT, size_bytes: int, answer_bytes: int = 0) -> None:
        """Send `answer`; `size_bytes` as given to `take`. Does nothing once the stream is over.

        answer_bytes: what waits until the caller reads it, if that is worth counting.
        """
        if self._over.done():
            return
        self._likely = answer_bytes
        if answer_bytes:
            self._unread += answer_bytes
            self._connection.hold(answer_bytes)
        self._outbox.append((answer, size_bytes, answer_bytes))
        if self._writer_waits is not None:
            _release(self._writer_waits)
            self._writer_waits = None

    def end(self, why: Ended) -> None:
        """End the stream now: what is in flight is not answered any more."""
        self._finish(why)

    def drain(self, why: Ended) -> None:
        """Take no more frames; end the stream once what was taken is answered."""
        self._no_more_frames = True
        self._ending = why
        self._check_all_answered()

    async def run(self) -> None:
        """The stream's life: until the caller closed its side and has every answer, or is gone.

        Raises Ended, and whatever `on_frame` raises.
        """
        tasks = self._start()
        try:
            error = await self._over
        finally:
            self._finish(None)
            self._connection.waiting.discard(self._read_on)
            self._give_back()
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        if error is not None:
            raise error

    def _start(self) -> tuple[asyncio.Task[None], ...]:
        reader = self._loop.create_task(self._read_all())
        writer = self._loop.create_task(self._write_all())
        for task in (reader, writer):
            task.add_done_callback(self._task_ended)
        return reader, writer

    def _give_back(self) -> None:
        """What was held for answers that have not left, at the end of the stream."""
        self._outbox.clear()
        unread, self._unread = self._unread, 0
        if unread:
            self._connection.read(unread)

    def _finish(self, error: BaseException | None) -> None:
        if not self._over.done():
            self._over.set_result(error)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # gRPC cancels reads and writes of a call that is gone
            self._finish(None)
            return
        error = task.exception()
        if error is None:
            return  # the reader met the caller's end: the writer goes on until all is answered
        self._finish(None if isinstance(error, ENDINGS) else error)

    async def _read_all(self) -> None:
        read, on_frame = self._context.read, self._on_frame
        arrived = self._connection.arrived
        while not self._no_more_frames:
            if self._is_full():
                self._reader_waits = self._loop.create_future()
                if self._connection.full:
                    self._connection.waiting.add(self._read_on)
                await self._reader_waits
                continue
            frame = await read()
            if frame is grpc.aio.EOF:
                break
            arrived()
            if frame is MALFORMED:
                raise Ended(grpc.StatusCode.INVALID_ARGUMENT, TEXT)
            on_frame(frame)
        self._no_more_frames = True
        self._check_all_answered()

    def _is_full(self) -> bool:
        """What was asked will likely be answered as the last one was."""
        waiting = self.bytes + self._unread + self.frames * self._likely
        full = self.frames >= self._frames_max or waiting >= self._bytes_max
        return self.frames > 0 and (full or self._connection.full)

    def _read_on(self) -> None:
        if self._reader_waits is not None:
            _release(self._reader_waits)
            self._reader_waits = None

    async def _write_all(self) -> None:
        write, outbox = self._context.write, self._outbox
        while True:
            while outbox:
                answer, size_bytes, answer_bytes = outbox.popleft()
                await write(answer)
                self.frames -= 1
                self.bytes -= size_bytes
                if answer_bytes:
                    self._unread -= answer_bytes
                    self._connection.read(answer_bytes)
                self._read_on()
            self._check_all_answered()
            self._writer_waits = self._loop.create_future()
            await self._writer_waits

    def _check_all_answered(self) -> None:
        if self._no_more_frames and not self.frames:
            self._finish(self._ending)


def _release(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
