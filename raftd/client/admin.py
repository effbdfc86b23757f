"""What a program may ask a node about itself: status, health, digest.

Coroutines on the client's loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from grpc import aio

from raftd._pb import admin_pb2 as pb

ADMIN = "/raftd.admin.v1.Admin/"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""grpc.health.v1.HealthCheckResponse{status: SERVING}, so that this package needs no further
one.
"""


Answer = TypeVar("Answer")
Question = Callable[[aio.Channel, str, float], Awaitable[Answer]]


class Peer(NamedTuple):
    """How a node sees another. match: index known to be durable there, if this node leads.

    contact_age: seconds since it was last heard, or since the asked node leads if it never was;
    None: the asked node does not lead.
    """

    id: str
    peer_address: str
    client_address: str
    match: int
    mode: str
    contact_age: float | None
    voter: bool


class NodeStatus(NamedTuple):
    """One node's own view.

    Indexes are log positions; role: follower, pre-candidate, candidate, leader.
    """

    endpoint: str
    node_id: str
    cluster_id: str
    version: str
    role: str
    term: int
    leader_id: str
    leader_address: str
    first_index: int
    last_index: int
    durable_index: int
    commit_index: int
    applied_index: int
    snapshot_index: int
    admitted: bool
    waiting_for: tuple[str, ...]
    peers: tuple[Peer, ...]
    healthy: bool
    problems: tuple[str, ...]


class Digest(NamedTuple):
    """Hash of the applied state at an index: equal on all nodes that have applied just as much."""

    applied_index: int
    digest: bytes


class Event(NamedTuple):
    """number: counts up by one; a gap means that this reader was too slow. seconds: the node's
    clock.
    """

    number: int
    seconds: float
    kind: str
    term: int
    role: str
    leader_id: str
    peer: str
    detail: str


def event_from(reply: pb.EventReply) -> Event:
    """The message as a plain value."""
    return Event(
        reply.number, reply.monotonic_seconds, reply.kind, reply.term, reply.role,
        reply.leader_id, reply.peer, reply.detail,
    )  # fmt: skip


def status_from(endpoint: str, reply: pb.StatusReply) -> NodeStatus:
    """The message as a plain value."""
    peers = tuple(
        Peer(
            peer.id, peer.peer_address, peer.client_address, peer.match, peer.mode,
            peer.contact_age_seconds if peer.contact_age_seconds >= 0 else None, peer.voter,
        )
        for peer in reply.peers
    )  # fmt: skip
    return NodeStatus(
        endpoint, reply.node_id, reply.cluster_id, reply.version, reply.role, reply.term,
        reply.leader_id, reply.leader_address, reply.first_index, reply.last_index,
        reply.durable_index, reply.commit_index, reply.applied_index, reply.snapshot_index,
        reply.admitted, tuple(reply.waiting_for), peers, reply.healthy, tuple(reply.problems),
    )  # fmt: skip


def advertised(nodes: Sequence[NodeStatus]) -> list[str]:
    """Client addresses of the members that these tell of and that are not among them, sorted."""
    known = {node.node_id for node in nodes}
    found = {peer.client_address for node in nodes for peer in node.peers if peer.id not in known}
    return sorted(found - {""})


def is_serving(answer: bytes) -> bool:
    """The answer of grpc.health.v1, undecoded."""
    return answer[:2] == _SERVING


async def status_at(channel: aio.Channel, endpoint: str, timeout: float) -> NodeStatus:
    """This and the next three: one call, `timeout` seconds at most; raise aio.AioRpcError."""
    call = channel.unary_unary(
        ADMIN + "Status",
        request_serializer=pb.StatusRequest.SerializeToString,
        response_deserializer=pb.StatusReply.FromString,
    )
    return status_from(endpoint, await call(pb.StatusRequest(), timeout=timeout))


async def node_id_at(channel: aio.Channel, endpoint: str, timeout: float) -> str:
    return (await status_at(channel, endpoint, timeout)).node_id


async def digest_at(channel: aio.Channel, endpoint: str, timeout: float) -> Digest:
    call = channel.unary_unary(
        ADMIN + "Digest",
        request_serializer=pb.DigestRequest.SerializeToString,
        response_deserializer=pb.DigestReply.FromString,
    )
    reply = await call(pb.DigestRequest(), timeout=timeout)
    return Digest(reply.applied_index, reply.digest)


async def health_at(channel: aio.Channel, endpoint: str, timeout: float) -> bool:
    call: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK)
    return is_serving(await call(b"", timeout=timeout))
