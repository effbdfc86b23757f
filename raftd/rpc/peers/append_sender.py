"""AppendEntries to one peer: a long-lived stream, filled by pulling, emptied by replies."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import grpc.aio

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.h2.calls import AioCall
from raftd.rpc.peers import codec, codec_replies
from raftd.rpc.peers.checks import Rejected
from raftd.rpc.peers.lines import Line
from raftd.rpc.peers.link import ENVELOPE_KEY, Link, readable

Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.AppendRequest, pb.AppendReply]"


class AppendSender:
    """One task sends, one reads. However the stream ends, what is in flight is then unreachable.

    Network thread only.
    """

    def __init__(self, link: Link, line: Line) -> None:
        self._link = link
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._inflight: dict[int, tuple[m.Request, float]] = {}
        self._wanted = False
        self._waiting: asyncio.Future[None] | None = None
        self._pausing: asyncio.Future[None] | None = None
        self._call: Call | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._heard = self._loop.time()
        self._backoff = link.settings.backoff_min
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._task_ended)

    @property
    def inflight(self) -> int:
        return len(self._inflight)

    def wake(self) -> None:
        self._wanted = True
        self._stir()

    def contact(self) -> None:
        """The peer answers elsewhere: have a stream ready, the peer may also use it to watch us."""
        if self._call is None:
            self._backoff = self._link.settings.backoff_min
            self._wanted = True
            if self._pausing is not None and not self._pausing.done():
                self._pausing.set_result(None)
            self._stir()

    def doubt(self, sent_at: float) -> None:
        """The peer has been silent elsewhere since `sent_at`: if here, too, the line goes."""
        if self._heard < sent_at:
            self._line.doubt(sent_at)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _stir(self) -> None:
        waiting = self._waiting
        if waiting is not None:
            self._waiting = None
            if not waiting.done():
                waiting.set_result(None)

    async def _rest(self) -> None:
        """Until somebody stirs. Nothing may be awaited between the look that led here and this."""
        self._waiting = self._loop.create_future()
        await self._waiting

    async def _run(self) -> None:
        link = self._link
        while not link.closed:
            while not self._wanted or link.node.expected_incarnation(link.peer) is None:
                self._wanted = False  # before Hello nothing can be owed on this channel
                await self._rest()
            try:
                await self._one_stream()
            except asyncio.CancelledError:
                if link.closed:
                    raise
            except Exception as error:  # noqa: BLE001  link.report tells expected from fatal
                link.report("AppendEntries", error)
            await self._pause()

    async def _pause(self) -> None:
        pause, self._backoff = (
            self._backoff,
            min(2 * self._backoff, self._link.settings.backoff_max),
        )
        self._pausing = self._loop.create_future()
        await asyncio.wait((self._pausing,), timeout=pause)
        self._pausing = None

    async def _one_stream(self) -> None:
        link = self._link
        metadata = ((ENVELOPE_KEY, link.envelopes.request_to(link.peer).SerializeToString()),)
        call: Call = self._line.hold(self._line.stub.AppendEntries(metadata=metadata))
        reader: asyncio.Task[None] | None = None
        try:
            # Nothing is pulled before there is somebody to send it to.
            async with asyncio.timeout(link.settings.connect_timeout):
                await self._connected(call)
            self._call = call
            self._backoff = link.settings.backoff_min
            reader = self._loop.create_task(self._read(call))
            reader.add_done_callback(self._reader_ended)
            self._watch_age()
            await self._send(call, reader)
        finally:
            self._call = None
            call.cancel()
            if self._watch is not None:
                self._watch.cancel()
            if reader is not None:
                reader.cancel()
            self._give_up_inflight()

    async def _connected(self, call: Call) -> None:
        """`wait_for_connection` alone waits on when the call is cancelled with its channel."""
        over = asyncio.Event()
        call.add_done_callback(lambda _: over.set())
        waiting = self._loop.create_task(call.wait_for_connection())
        ending = self._loop.create_task(over.wait())
        try:
            await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise EOFError("the connection was replaced")
            waiting.result()
        finally:
            waiting.cancel()
            ending.cancel()

    def _reader_ended(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled() and (error := reader.exception()) is not None:
            self._link.report("AppendEntries", error)
        self._stir()

    async def _send(self, call: Call, reader: asyncio.Task[None]) -> None:
        link, inflight = self._link, self._inflight
        pull, peer, write, now = link.node.pull, link.peer, call.write, self._loop.time
        while not reader.done():
            self._wanted = False
            request = pull(peer, m.Channel.APPEND)
            if request is None:
                if not self._wanted:
                    await self._rest()
                continue
            inflight[request.number] = (request, now())
            assert isinstance(request, m.AppendRequest)
            await write(codec.encode_append(request, link.envelopes.request_to(peer)))

    async def _read(self, call: Call) -> None:
        if isinstance(call, AioCall):
            await self._listen(call)
        while True:
            message = await call.read()
            if message is grpc.aio.EOF or not self._replied(readable(message)):
                return  # the stream ends; what else is in flight on it is called unreachable

    async def _listen(self, call: AioCall) -> None:
        """Replies straight from the socket, until the stream ends or should."""
        over: asyncio.Future[None] = self._loop.create_future()

        def on_message(message: Any) -> None:
            if over.done():
                return
            try:
                if not self._replied(readable(message)):
                    call.cancel()
            except Exception as error:  # noqa: BLE001  awaited below
                over.set_exception(error)

        def on_done(_: object) -> None:
            if not over.done():
                over.set_result(None)

        call.add_done_callback(on_done)
        call.deliver(on_message)
        await over

    def _replied(self, message: pb.AppendReply) -> bool:
        """False: no correct peer says this. Raises Mismatch, Rejected."""
        link = self._link
        self._heard = self._loop.time()
        link.envelopes.check_reply(message.envelope, link.peer)
        reply = codec_replies.decode_append_reply(message)
        sent = self._inflight.pop(message.number, None)
        if sent is None:
            raise Rejected(f"a reply to request {message.number}, which is not in flight")
        return link.replied(sent[0], reply)

    def _watch_age(self) -> None:
        """A request stream has no deadline: a wedged peer would pin the window for ever."""
        call, limit = self._call, self._link.settings.append_age_max
        if call is None:
            return
        oldest = next(iter(self._inflight.values()), None)
        if oldest is not None and self._loop.time() - oldest[1] > limit:
            link = self._link
            link.log.warning(
                (link.peer, "age"),
                f"AppendEntries to {link.peer}: no answer for {limit:g} s (append_age_max), "
                f"{len(self._inflight)} in flight: the stream is cut",
            )
            call.cancel()
        self._watch = self._loop.call_later(limit / 4, self._watch_age)

    def _give_up_inflight(self) -> None:
        lost = list(self._inflight.values())
        self._inflight.clear()
        for request, _ in lost:
            self._link.failed(request, None)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._link.fatal.fatal(f"the append sender to {self._link.peer} ended", error)
