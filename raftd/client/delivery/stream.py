"""One long-lived Pipeline stream to a node, and the retries of what waits for it.

A stream of small commands has at most one frame in flight, and what arrives meanwhile becomes the
next frame: with 64 callers that is worth a factor of eight over a stream that sends at once. The
bulk stream keeps several large frames in flight instead.

A gRPC stream that ends, for whatever reason, leaves what was in flight as an *unknown* attempt. It
goes back to the front of the queue and to the next leader, in the same session under the same
numbers. Everything here runs on the client's loop.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import NamedTuple

from grpc import aio

from raftd._pb import client_pb2 as pb
from raftd.client.delivery.calls import PendingCall
from raftd.client.delivery.context import Context
from raftd.client.delivery.policy import AttemptFailed, Next, Verdict, judge, judge_rpc
from raftd.client.delivery.send_queue import SendQueue
from raftd.client.delivery.transport import task_is_cancelled

FRAME_BYTES_MAX = 1 << 20
"""A frame ends before it grows beyond this (one command alone may be bigger): the nodes take 2
MiB.
"""
PATIENCE_GROWTH_MAX = 8
"""A slow cluster is asked again after 1, 2, 4 ... times the attempt limit, not in a steady hail."""

Stream = aio.StreamStreamCall[pb.PipelineRequest, pb.PipelineReply]


class Flight(NamedTuple):
    """A frame on its way."""

    calls: list[PendingCall]
    sent_at: float


class PipelineStream(ABC):
    """The common part: queue, stream, retries. Subclasses know what is in a frame."""

    sessions = False
    """True: its frames are numbered in the client's session, and only a leader answers them."""

    def __init__(self, context: Context, *, depth: int, count_max: int) -> None:
        self.queue = SendQueue(context.loop)
        self.flights: dict[int, Flight] = {}
        self.address = ""
        self._context = context
        self._depth = depth
        self._count_max = count_max
        self._stream: Stream | None = None
        self._number = 0
        self._stalls = 0
        self._stalled = False
        self._refusals = 0
        self._replies = 0
        self._verdict: Verdict | None = None

    # -- the stream's own task ----------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Nothing a node does ends it."""
        while True:
            await self.queue.work()
            try:
                await self._go(self._target())
            except asyncio.CancelledError:
                if task_is_cancelled():
                    raise

    async def _go(self, address: str) -> None:
        try:
            await self._visit(address)
        except AttemptFailed as failed:
            self._verdict = failed.verdict
        verdict, self._verdict = self._verdict, None
        if verdict is not None:
            await self._react(address, verdict)

    def check(self, now: float) -> bool:
        """The watch: give up on a stream whose oldest frame is too old.

        True: something is in flight.
        """
        if not self.flights:
            return False
        limit = self._context.attempt_timeout * min(2**self._stalls, PATIENCE_GROWTH_MAX)
        if now - next(iter(self.flights.values())).sent_at > limit and self._stream is not None:
            self._stalls += 1
            self._stalled = True
            self._stream.cancel()
            self._context.transport.doubt()
        return True

    def drain(self) -> list[PendingCall]:
        """Everything that is not settled, for the end of the client."""
        calls = [call for flight in self.flights.values() for call in flight.calls]
        return [call for call in calls if not call.settled] + self.queue.empty()

    def _target(self) -> str:
        return self._context.router.target()

    async def _visit(self, address: str) -> None:
        """One stream to one node, from connecting to its end. Leaves nothing in flight."""
        context = self._context
        node = await context.transport.reach(address, context.connect_timeout)
        if self.sessions:
            await context.session_ready(address)
        self.address = address
        stream = self._stream = node.commands.Pipeline()
        ending: Verdict | None = None
        self._replies = 0
        try:
            if self._depth == 1:
                await self._drive(stream)
            else:
                await self._drive_deep(stream)
        except aio.AioRpcError as error:
            ending = judge_rpc(error)
        except asyncio.InvalidStateError:
            ending = Verdict(Next.ROTATE, False, "the stream has ended")
        except asyncio.CancelledError:
            if task_is_cancelled():
                raise
            text = "no answer in time" if self._stalled else "the stream was cancelled"
            ending = Verdict(Next.ROTATE, False, text)
        finally:
            self._verdict = self._verdict or ending
            self._stalled = False
            self._stream = None
            stream.cancel()
            self._lost(ending)

    async def _drive(self, stream: Stream) -> None:
        """Write one frame, read its answer, and so on. Returns when the stream should be left."""
        while not stream.done() and not self._leaving():
            frame = self._frame()
            if frame is None:
                await self._nothing()
                continue
            asked = len(self.flights[self._number].calls)
            await stream.write(frame)
            if not self._read(await stream.read()):
                return
            await self.queue.gather(asked)

    async def _drive_deep(self, stream: Stream) -> None:
        """Several frames in flight: the answers are read by a task of their own."""
        reader = asyncio.ensure_future(self._read_all(stream))
        try:
            while not reader.done() and not self._leaving():
                frame = self._frame() if len(self.flights) < self._depth else None
                if frame is not None:
                    await stream.write(frame)
                elif self.flights:
                    room = len(self.flights) < self._depth and not self.queue.blocked
                    await self.queue.change(wanted=room)
                else:
                    await self._nothing()
            if self.flights:
                await reader  # what was sent before the refusal may still be answered
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read_all(self, stream: Stream) -> None:
        try:
            while self._read(await stream.read()) and (self.flights or not self._leaving()):
                self.queue.rouse()
        finally:
            self.queue.rouse()

    def _read(self, reply: pb.PipelineReply | object) -> bool:
        """False: the node has ended the stream."""
        if not isinstance(reply, pb.PipelineReply):
            self._verdict = self._verdict or Verdict(
                Next.ROTATE, False, "the node ended the stream"
            )
            return False
        self._replies += 1
        flight = self.flights.pop(reply.number, None)
        if flight is None:
            return True
        for call in flight.calls:
            call.in_flight = False
        self._stalls = 0
        if reply.HasField("failure"):
            self._refused(flight.calls, judge(reply.failure))
        else:
            self._refusals = 0
            self._context.served(self.address, leads=self.sessions)
            self._answered(flight.calls, reply)
        return True

    def _frame(self) -> pb.PipelineRequest | None:
        """The next frame, or None: nothing to send, or no room in the session's window."""
        calls = self.queue.take(self._count_max, FRAME_BYTES_MAX, self._admit)
        if not calls:
            return None
        self._number += 1
        request = self._encode(self._number, calls)
        for call in calls:
            call.in_flight = True
        self.flights[self._number] = Flight(calls, self._context.clock())
        self._context.watch()
        return request

    def _refused(self, calls: list[PendingCall], verdict: Verdict) -> None:
        """The whole frame failed."""
        for call in calls:
            call.reason, call.code = f"{self.address}: {verdict.message}", verdict.code
            if not verdict.certain:
                call.unknown = True
        if verdict.next is not Next.GIVE_UP:
            self._verdict = verdict
        elif len(calls) == 1:
            self._context.hopeless(calls[0], verdict, self.address)
            return
        else:  # one of them is to blame: each on its own then, so that the others are not
            for call in calls:
                call.alone = True
        self.queue.back(calls)

    def _lost(self, ending: Verdict | None) -> None:
        """The stream is gone: nobody knows about what was in flight, unless its own end tells.

        `_verdict` may be of another frame, refused before: that says nothing about these.
        """
        flights, self.flights = self.flights, {}
        calls = [call for flight in flights.values() for call in flight.calls]
        if not calls:
            return
        told = ending or self._verdict
        text = told.message if told else "the stream was closed"
        # A status that is certain for a call (a proxy's, say) is not for a stream: what was written
        # before it may have been taken, answered or not. Only a stream that got no connection is.
        unsent = ending is not None and ending.certain and ending.next is Next.ROTATE
        certain = unsent and not self._replies
        for call in calls:
            call.in_flight = False
            call.unknown = call.unknown or not certain
            call.reason, call.code = f"{self.address}: {text}", 0
            if "RESOURCE_EXHAUSTED" in text:  # too much for one message: in smaller ones then
                call.alone = True
        self.queue.back(calls)

    async def _react(self, address: str, verdict: Verdict) -> None:
        """Learn from a failure where to go next, and wait as long as is polite."""
        self.queue.prune(f"{address}: {verdict.message}", verdict.code)
        if verdict.next is Next.GIVE_UP:
            self._hopeless(address, verdict)
        pause = await self._context.after_failure(address, verdict, self._refusals)
        if verdict.next is Next.PAUSE:
            self._refusals += 1
        if pause:
            await asyncio.sleep(pause)

    def _hopeless(self, address: str, verdict: Verdict) -> None:
        """Not even a session or a stream can be had, for a reason that will stay."""
        for call in self.queue.waiting():
            self._context.hopeless(call, verdict, address)

    def _leaving(self) -> bool:
        """True: nothing more is to be written to this stream."""
        return self._verdict is not None or self._misplaced()

    def _misplaced(self) -> bool:
        """True: the leader is known to be elsewhere."""
        return self._context.router.leader not in (None, self.address)

    async def _nothing(self) -> None:
        """No frame can be made: wait for work, or for room above the session's floor."""
        if self.queue.blocked:
            await asyncio.sleep(0.002)  # other streams' answers make room, and they do not tell us
        else:
            await self.queue.work()

    def _admit(self, call: PendingCall) -> bool:
        return True

    @abstractmethod
    def _encode(self, number: int, calls: list[PendingCall]) -> pb.PipelineRequest: ...

    @abstractmethod
    def _answered(self, calls: list[PendingCall], reply: pb.PipelineReply) -> None: ...
