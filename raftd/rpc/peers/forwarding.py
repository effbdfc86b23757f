"""A follower passes on what its clients ask and only the leader can do; both ends of that call.

Network thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import grpc

from raftd._pb import raft_pb2 as pb
from raftd.core.types import NodeId
from raftd.node.outcomes import Answered, Applied, Outcome, Refusal, Refused, Unknown
from raftd.rpc.peers.checks import Rejected
from raftd.rpc.peers.envelope import Envelopes, Mismatch
from raftd.rpc.peers.lines import Line
from raftd.rpc.peers.link import readable
from raftd.wire.batch import PRINCIPAL_BYTES_MAX
from raftd.wire.errors import WireError
from raftd.wire.principal import NOBODY
from raftd.wire.results import decode_results, encode_results

FORWARD_SECONDS = 7.0
"""A batch that is not answered by then has an unknown outcome."""
LEADER_SECONDS = 0.1
"""How often the sender looks whether there is another leader meanwhile."""
NOT_KNOWN = "not leader"
"""Of a change that an older leader knows no way to be forwarded: it has to be asked of the leader
itself. Etcd's word for that.
"""

_REFUSALS = {
    Refusal.NOT_LEADER: pb.ForwardReply.NOT_LEADER,
    Refusal.OVERLOADED: pb.ForwardReply.OVERLOADED,
    Refusal.UNAVAILABLE: pb.ForwardReply.UNAVAILABLE,
    Refusal.NOT_ALLOWED: pb.ForwardReply.NOT_ALLOWED,
}
_BACK = {number: refusal for refusal, number in _REFUSALS.items()}

Done = Callable[[Outcome], None]


class Forwarded(Protocol):
    """What takes forwarded calls here: the clients' gate. Raises WireError for malformed ones."""

    def submit(self, batch: bytes, done: Done, principal: bytes) -> None: ...

    def query(
        self, queries: Sequence[bytes], stale: bool, done: Done, principal: bytes
    ) -> None: ...

    async def change(self, wanted: pb.MemberChange, principal: bytes) -> Outcome: ...


class Forward(NamedTuple):
    """What is forwarded: a batch of commands, queries, or a change of the members. principal:
    whose, as in wire.principal; who may call on the peer port is trusted to have found out.
    """

    batch: bytes = b""
    queries: Sequence[bytes] = ()
    principal: bytes = NOBODY
    change: pb.MemberChange | None = None


class Forwarder(Protocol):
    """The way to the leader."""

    async def forward(self, leader: str, what: Forward) -> Outcome:
        """What `leader` says of it."""
        ...


def encode_outcome(outcome: Outcome, envelope: pb.Envelope) -> pb.ForwardReply:
    """The leader's answer."""
    if isinstance(outcome, Applied):
        return pb.ForwardReply(
            envelope=envelope, results=outcome.results, index=outcome.index, term=outcome.term
        )
    if isinstance(outcome, Answered):
        results = encode_results(outcome.results)
        return pb.ForwardReply(envelope=envelope, results=results, index=outcome.applied_index)
    if isinstance(outcome, Refused):
        return pb.ForwardReply(
            envelope=envelope,
            refusal=_REFUSALS.get(outcome.refusal, pb.ForwardReply.UNAVAILABLE),
            message=outcome.message,
            leader=outcome.leader or "",
        )
    unknown = pb.ForwardReply.UNKNOWN
    return pb.ForwardReply(envelope=envelope, refusal=unknown, message=outcome.message)


def decode_outcome(reply: pb.ForwardReply) -> Outcome:
    """The inverse of `encode_outcome`. Raises WireError if the answers cannot be read."""
    if reply.refusal == pb.ForwardReply.DONE:
        if reply.term:
            return Applied(reply.index, reply.term, reply.results)
        return Answered(reply.index, decode_results(reply.results))
    refusal = _BACK.get(reply.refusal)
    if refusal is None:
        return Unknown(reply.message, reply.leader or None)
    return Refused(refusal, reply.message, reply.leader or None)


async def forwarded(to: Forwarded, request: pb.ForwardRequest) -> Outcome:
    """What the node here makes of a forwarded call. Raises Rejected if it is malformed."""
    waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def done(outcome: Outcome) -> None:
        if not waiting.done():  # the follower may have given up meanwhile
            waiting.set_result(outcome)

    principal = request.principal
    if len(principal) > PRINCIPAL_BYTES_MAX:
        limit = PRINCIPAL_BYTES_MAX
        raise Rejected(f"a principal of {len(principal)} bytes, the limit is {limit}")
    if request.HasField("change"):
        return await to.change(request.change, principal)
    try:
        if request.batch:
            to.submit(request.batch, done, principal)
        else:
            to.query(list(request.queries), False, done, principal)
    except WireError as error:
        raise Rejected(str(error)) from None
    return await waiting


async def forward(
    line: Line,
    envelopes: Envelopes,
    leader: NodeId,
    what: Forward,
    still_leads: Callable[[], bool],
) -> Outcome:
    """Send a call to `leader` and say what became of it. still_leads: as far as is known here."""
    if not line.ready:
        return Refused(Refusal.NOT_LEADER, f"{leader} cannot be reached now", None)
    try:
        envelope = envelopes.request_to(leader)
    except Mismatch as error:
        return Refused(Refusal.NOT_LEADER, str(error), None)
    request = pb.ForwardRequest(
        envelope=envelope,
        batch=what.batch,
        queries=what.queries,
        principal=what.principal,
        change=what.change,
    )
    call = asyncio.ensure_future(line.hold(line.stub.Forward(request, timeout=FORWARD_SECONDS)))
    try:
        while not call.done():
            await asyncio.wait((call,), timeout=LEADER_SECONDS)
            if not call.done() and not still_leads():
                return Unknown(f"{leader} does not lead any more")
        reply = readable(call.result())
        envelopes.check_reply(reply.envelope, leader)
        return decode_outcome(reply)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            return Refused(Refusal.NOT_LEADER, error.details() or "refused", None)
        if what.change is not None and error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            return Refused(Refusal.NOT_ALLOWED, NOT_KNOWN)
        return Unknown(f"{leader}: {error.code().name}")
    except (Mismatch, Rejected, WireError, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and not call.cancelled():
            raise
        return Unknown(f"{leader}: {error}")
    finally:
        call.cancel()
