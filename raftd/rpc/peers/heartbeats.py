"""Heartbeats to one peer, on a stream that is kept while the peer answers.

A cluster at rest does little else, and a call of its own for each heartbeat costs three times what
a message on a stream does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.h2.calls import AioCall
from raftd.rpc.peers import codec
from raftd.rpc.peers.lines import Line
from raftd.rpc.peers.link import ENVELOPE_KEY, Link, readable

UNKNOWN_SECONDS = 10.0
"""For so long a peer that does not know the stream is sent calls: it may be upgraded meanwhile."""

Settled: TypeAlias = "Callable[[m.Request, float, BaseException | None, Any], None]"


class Heartbeats:
    """Each heartbeat ends in a reply or a failure, as a call with a deadline would.

    Network thread only, and for links on raftd/h2.
    """

    def __init__(
        self, link: Link, line: Line, settled: Settled, call_for: Callable[[m.Request], None]
    ) -> None:
        """settled: told of each end (the request, when it was sent, its failure, its reply as it
        came). call_for: sends one by a call, since the peer does not know this stream.
        """
        self._link = link
        self._line = line
        self._settled = settled
        self._call_for = call_for
        self._loop = asyncio.get_running_loop()
        self._inflight: dict[int, tuple[m.Request, float]] = {}
        self._call: AioCall | None = None
        self._heard = self._loop.time()
        self._unknown_until = float("-inf")
        self._watch: asyncio.TimerHandle | None = None

    @property
    def inflight(self) -> int:
        return len(self._inflight)

    @property
    def known(self) -> bool:
        """False: the peer has lately said that it knows no such stream."""
        return self._loop.time() >= self._unknown_until

    def send(self, request: m.AppendRequest) -> None:
        """Raises Mismatch while nobody knows which incarnation the peer has."""
        link = self._link
        message = codec.encode_append(request, link.envelopes.request_to(link.peer))
        if self._call is not None and self._call.done():
            self._ended(self._call)  # it would be told a turn later, and this one lost with it
        call = self._call or self._open()
        now = self._loop.time()
        self._inflight[request.number] = (request, now)
        call.send(message)
        if self._watch is None:
            self._watch = self._loop.call_later(link.settings.control_timeout, self._look)

    def _open(self) -> AioCall:
        link = self._link
        metadata = ((ENVELOPE_KEY, link.envelopes.request_to(link.peer).SerializeToString()),)
        stub: Any = self._line.stub
        call: AioCall = self._line.hold(stub.Heartbeats(metadata=metadata))
        call.deliver(lambda message: self._arrived(call, message))
        call.add_done_callback(self._ended)
        self._call = call
        return call

    def _arrived(self, call: AioCall, message: pb.AppendReply | None) -> None:
        if call is not self._call:
            return
        try:
            number = readable(message).number
        except Exception as error:  # noqa: BLE001  `Link.failed` stops the node if it should
            self._give_up(error)
            return
        self._heard = self._loop.time()
        if number in self._inflight:  # else its deadline has passed
            request, sent_at = self._inflight.pop(number)
            self._settled(request, sent_at, None, message)

    def _ended(self, call: AioCall) -> None:
        """The stream has its end, by whatever cause: so has each heartbeat on it."""
        if call is not self._call:
            return
        error = call.error()
        unknown = isinstance(error, grpc.aio.AioRpcError) and (
            error.code() is grpc.StatusCode.UNIMPLEMENTED
        )
        if not unknown:
            self._give_up(error)
            return
        self._unknown_until = self._loop.time() + UNKNOWN_SECONDS
        for request, _ in self._left():
            self._call_for(request)

    def _give_up(self, error: BaseException) -> None:
        """Leave the stream; the next heartbeat opens another one."""
        for request, sent_at in self._left():
            self._settled(request, sent_at, error, None)

    def _left(self) -> list[tuple[m.Request, float]]:
        """What was in flight on the stream, which is no longer ours."""
        call, self._call = self._call, None
        left = list(self._inflight.values())
        self._inflight.clear()
        if call is not None:
            call.cancel()
        return left

    def _look(self) -> None:
        """The deadline of the oldest in flight, or nothing is."""
        self._watch = None
        limit, now = self._link.settings.control_timeout, self._loop.time()
        late = [one for one in self._inflight.values() if now - one[1] >= limit]
        if late and self._heard < late[0][1]:
            # Nobody reads it, as it seems: what waits on it must not grow.
            late = self._left()
        for request, sent_at in late:
            self._inflight.pop(request.number, None)
            self._settled(request, sent_at, _too_late(), None)
        if self._inflight:
            oldest = next(iter(self._inflight.values()))[1]
            self._watch = self._loop.call_at(oldest + limit, self._look)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._give_up(asyncio.CancelledError())


def _too_late() -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(
        grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing, "Deadline Exceeded"
    )
