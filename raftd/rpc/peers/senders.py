"""Control and bulk to one peer: unary calls, and heartbeats on their stream (heartbeats.py).

Every pulled request ends in a reply or a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc.aio

from raftd.core import messages as m
from raftd.rpc.peers import codec, codec_replies
from raftd.rpc.peers.heartbeats import Heartbeats
from raftd.rpc.peers.lines import Line
from raftd.rpc.peers.link import Link, readable
from raftd.rpc.plumbing.ports import H2
from raftd.rpc.plumbing.unary_calls import settle

CONTROL_INFLIGHT_MAX = 64
CHUNK_BYTES_MIN = 32 << 10
CHUNK_BYTES_MAX = 16 << 20
"""Bounds of what is made of a chunk here; how much is read is the node's setting."""


class ControlSender:
    """Votes, heartbeats, read indexes, hand-overs and Hello: each on its own, with a deadline.

    Network thread only.
    """

    def __init__(
        self,
        link: Link,
        line: Line,
        on_contact: Callable[[], None],
        on_silence: Callable[[float], None],
    ) -> None:
        """on_contact: called when this node's heartbeat was answered. on_silence: called with the
        time of a call since which nothing has been heard, when its deadline has passed.
        """
        self._link = link
        self._on_contact = on_contact
        self._on_silence = on_silence
        self._loop = asyncio.get_running_loop()
        self._open: set[Any] = set()
        self._scheduled = False
        self._line = line
        self._heard = self._loop.time()
        self._heartbeats: Heartbeats | None = None
        if link.settings.transport == H2:
            self._heartbeats = Heartbeats(link, line, self._beat, self._call)
        short, long = link.settings.control_timeout, link.settings.read_index_timeout
        self._calls: dict[type[Any], tuple[str, Any, Any, float]] = {
            m.VoteRequest: (
                "RequestVote",
                codec.encode_vote,
                codec_replies.decode_vote_reply,
                short,
            ),
            m.AppendRequest: (
                "Heartbeat",
                codec.encode_append,
                codec_replies.decode_append_reply,
                short,
            ),
            m.ReadIndexRequest: (
                "ReadIndex",
                codec.encode_read_index,
                codec_replies.decode_read_index_reply,
                long,
            ),
            m.TimeoutNowRequest: (
                "TimeoutNow",
                codec.encode_timeout_now,
                codec_replies.decode_timeout_now_reply,
                short,
            ),
        }

    def wake(self) -> None:
        # Later in this turn of the loop: the node is still handing over effects, and several wakes
        # of one turn become one pull.
        if not self._scheduled and not self._link.closed:
            self._scheduled = True
            self._loop.call_soon(self._pull)

    def _pull(self) -> None:
        self._scheduled = False
        link = self._link
        while not link.closed and self._inflight() < CONTROL_INFLIGHT_MAX:
            request = link.node.pull(link.peer, m.Channel.CONTROL)
            if request is None:
                return
            self._begin(request)

    def _inflight(self) -> int:
        return len(self._open) + (self._heartbeats.inflight if self._heartbeats else 0)

    def _begin(self, request: m.Request) -> None:
        beats = self._heartbeats
        if beats is None or not isinstance(request, m.AppendRequest) or not beats.known:
            self._call(request)
            return
        try:
            beats.send(request)
        except Exception as error:  # noqa: BLE001  as below
            self._loop.call_soon(self._settled, request, self._loop.time(), error, None)

    def _call(self, request: m.Request) -> None:
        sent_at = self._loop.time()
        try:
            call = self._line.hold(self._called(request))
        except Exception as error:  # noqa: BLE001  `Link.failed` stops the node if none of it may be
            self._loop.call_soon(self._settled, request, sent_at, error, None)
            return
        self._open.add(call)

        def told(message: Any, error: BaseException | None) -> None:
            full = self._inflight() >= CONTROL_INFLIGHT_MAX
            self._open.discard(call)
            self._told(request, sent_at, error, message)
            if full:
                self.wake()

        settle(call, told)

    def _beat(
        self, request: m.Request, sent_at: float, error: BaseException | None, message: Any
    ) -> None:
        """A heartbeat on the stream has its end; it is not in flight any more."""
        self._told(request, sent_at, error, message)
        if self._inflight() == CONTROL_INFLIGHT_MAX - 1:
            self.wake()

    def _told(
        self, request: m.Request, sent_at: float, error: BaseException | None, message: Any
    ) -> None:
        reply = None
        if error is None:
            try:
                reply = self._understood(request, message)
            except Exception as refused:  # noqa: BLE001  `Link.failed`, as above
                error = refused
        self._settled(request, sent_at, error, reply)

    def _called(self, request: m.Request) -> Any:
        """The call that carries the request. Raises Mismatch."""
        link, stub = self._link, self._line.stub
        if isinstance(request, m.HelloRequest):
            message = codec.encode_hello(request, link.envelopes.hello_to(link.peer), link.about)
            return stub.Hello(message, timeout=link.settings.control_timeout)
        name, encode, _, timeout = self._calls[type(request)]
        message = encode(request, link.envelopes.request_to(link.peer))
        return getattr(stub, name)(message, timeout=timeout)

    def _understood(self, request: m.Request, answer: Any) -> m.Reply:
        """Raises Mismatch, Rejected."""
        link, message = self._link, readable(answer)
        if isinstance(request, m.HelloRequest):
            link.envelopes.check_hello_reply(message.envelope, link.peer)
            hello = codec_replies.decode_hello_reply(message)
            link.learn(hello, message.about)
            return hello
        link.envelopes.check_reply(message.envelope, link.peer)
        reply: m.Reply = self._calls[type(request)][2](message)
        return reply

    def _settled(
        self, request: m.Request, sent_at: float, error: BaseException | None, reply: m.Reply | None
    ) -> None:
        link = self._link
        if reply is None:
            given_up = isinstance(error, asyncio.CancelledError)
            link.failed(request, None if given_up else error)
            self._judge_silence(sent_at, None if given_up else error)
            return
        self._heard = self._loop.time()
        believed = link.replied(request, reply)
        if believed and isinstance(request, m.AppendRequest) and isinstance(reply, m.AppendReply):
            self._on_contact()

    def _judge_silence(self, sent_at: float, error: BaseException | None) -> None:
        """A deadline that passed with nothing heard meanwhile: perhaps it is the connection."""
        code = error.code() if isinstance(error, grpc.aio.AioRpcError) else None
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            if self._heard < sent_at and not self._link.closed and self._line.doubt(sent_at):
                self._on_silence(sent_at)
        elif error is not None and code is not grpc.StatusCode.UNAVAILABLE:
            self._heard = self._loop.time()  # a refusal is a sign of life

    async def close(self) -> None:
        if self._heartbeats is not None:
            self._heartbeats.close()
        for call in list(self._open):
            call.cancel()
        while self._open:  # on grpcio they are told a turn later
            await asyncio.sleep(0.001)


class ChunkSize:
    """How much of a snapshot goes into one call: less after each failure, more after each success.

    A chunk that a slow line cannot carry before its deadline would be sent again and again, and
    never arrive; and a broken connection loses the chunk in flight, so small chunks lose less.
    """

    def __init__(self) -> None:
        self._most = CHUNK_BYTES_MAX
        self._sent = 0

    def cut(self, request: m.SnapshotRequest) -> m.SnapshotRequest:
        """`request` with no more data than may be sent now."""
        self._sent = min(self._most, len(request.data))
        if self._sent == len(request.data):
            return request
        return replace(request, data=request.data[: self._sent])

    def failed(self) -> None:
        self._most = max(CHUNK_BYTES_MIN, self._sent // 2)

    def arrived(self) -> None:
        self._most = min(CHUNK_BYTES_MAX, max(self._most, 2 * self._sent))


class BulkSender:
    """Chunks of snapshots, one call in flight. Network thread only; the file is read elsewhere."""

    def __init__(self, link: Link, line: Line) -> None:
        self._link = link
        self._line = line
        self._wanted = asyncio.Event()
        self._size = ChunkSize()
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._task_ended)

    def wake(self) -> None:
        self._wanted.set()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._link.fatal.fatal(f"the bulk sender to {self._link.peer} ended", error)

    async def _run(self) -> None:
        link = self._link
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while not link.closed:
                request = link.node.pull(link.peer, m.Channel.BULK)
                if request is None:
                    break
                if not await self._send(request):
                    await asyncio.sleep(link.settings.backoff_min)

    async def _send(self, request: m.Request) -> bool:
        """No await between the pull and this try: the request cannot get lost."""
        link = self._link
        reply: m.Reply | None = None
        failure: BaseException | None = None
        try:
            assert isinstance(request, m.SnapshotRequest)
            async with asyncio.timeout(link.settings.bulk_timeout):
                filled = self._size.cut(await link.node.read_chunk(request))
            call = self._line.hold(
                self._line.stub.InstallSnapshot(
                    codec.encode_snapshot(filled, link.envelopes.request_to(link.peer)),
                    timeout=link.settings.bulk_timeout,
                )
            )
            message = readable(await call)
            link.envelopes.check_reply(message.envelope, link.peer)
            reply = codec_replies.decode_snapshot_reply(message)
        except asyncio.CancelledError:
            if link.closed:
                raise
        except Exception as error:  # noqa: BLE001  link.failed tells expected from fatal
            failure = error
        finally:
            if reply is not None:
                self._size.arrived()
                link.replied(request, reply)
            else:
                self._size.failed()
                link.failed(request, failure)
        return reply is not None

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
