"""What a program may ask of one node: status, health, digest, events, a snapshot, a transfer.

A question is a coroutine on the client's loop: one call, `timeout` seconds at most. It raises
aio.AioRpcError.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from raftd._pb import admin_pb2 as pb
from raftd._pb import client_pb2 as client_pb
from raftd._pb.client_pb2 import SubmitReply

if TYPE_CHECKING:
    from grpc import aio

    from raftd.client.delivery.transport import NodeChannel

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""grpc.health.v1.HealthCheckResponse{status: SERVING}, by hand: one stub is no reason for a
dependency."""

Answer = TypeVar("Answer")
Question = Callable[["NodeChannel", str, float], Awaitable[Answer]]
"""(node, the address that the user knows it by, seconds) -> its answer."""


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
    lag: int = 0


class NodeStatus(NamedTuple):
    """One node's own view.

    Indexes are log positions; role: follower, pre-candidate, candidate, leader. clock_ahead:
    seconds by which its wall clock is ahead of this machine's; None: it did not say.
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
    peer_address: str = ""
    client_address: str = ""
    voter: bool = True
    clock_ahead: float | None = None


class Places(NamedTuple):
    """Who a node is, and where clients reach the members that it knows, itself first."""

    node_id: str
    cluster_id: str
    client_addresses: list[str]


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


class Transferred(NamedTuple):
    """Who leads after a transfer of leadership, and in which term."""

    leader_id: str
    term: int


def advertised(nodes: Iterable[NodeStatus]) -> list[str]:
    """Client addresses of the members that these tell of and that are not among them, sorted."""
    nodes = list(nodes)
    known = {node.node_id for node in nodes}
    found = {peer.client_address for node in nodes for peer in node.peers if peer.id not in known}
    return sorted(found - {""})


async def status_at(node: NodeChannel, endpoint: str, timeout: float) -> NodeStatus:
    """The node's own view of itself and its peers."""
    reply = await node.admin.Status(pb.StatusRequest(), timeout=timeout)
    peers = tuple(
        Peer(
            peer.id, peer.peer_address, peer.client_address, peer.match, peer.mode,
            peer.contact_age_seconds if peer.contact_age_seconds >= 0 else None, peer.voter,
            peer.lag,
        )
        for peer in reply.peers
    )  # fmt: skip
    return NodeStatus(
        endpoint, reply.node_id, reply.cluster_id, reply.version, reply.role, reply.term,
        reply.leader_id, reply.leader_address, reply.first_index, reply.last_index,
        reply.durable_index, reply.commit_index, reply.applied_index, reply.snapshot_index,
        reply.admitted, tuple(reply.waiting_for), peers, reply.healthy, tuple(reply.problems),
        reply.peer_address, reply.client_address, not reply.learner,
        reply.epoch_seconds - time.time_ns() / 1e9 if reply.epoch_seconds else None,
    )  # fmt: skip


async def places_at(node: NodeChannel, endpoint: str, timeout: float) -> Places:
    """For anybody to ask, also where only operators may ask for more."""
    reply = await node.admin.Status(pb.StatusRequest(places=True), timeout=timeout)
    addresses = [reply.client_address, *(peer.client_address for peer in reply.peers)]
    return Places(reply.node_id, reply.cluster_id, addresses)


async def digest_at(node: NodeChannel, endpoint: str, timeout: float) -> Digest:
    """The hash of the node's applied state; takes time in proportion to it."""
    reply = await node.admin.Digest(pb.DigestRequest(), timeout=timeout)
    return Digest(reply.applied_index, reply.digest)


async def health_at(node: NodeChannel, endpoint: str, timeout: float) -> bool:
    """grpc.health.v1: does the node serve?"""
    call: aio.UnaryUnaryMultiCallable[bytes, bytes] = node.channel.unary_unary(HEALTH_CHECK)
    answer = await call(b"", timeout=timeout)
    return answer[: len(_SERVING)] == _SERVING


async def snapshot_at(node: NodeChannel, endpoint: str, timeout: float) -> int:
    """Take a snapshot now; its index, once it is durable."""
    reply = await node.admin.SnapshotNow(pb.SnapshotNowRequest(), timeout=timeout)
    return reply.index


def log_level_at(logger: str, level: str) -> Question[str]:
    """Have `logger` write from `level` on ("default": as configured; empty: only ask).

    The level that is in force.
    """

    async def ask(node: NodeChannel, endpoint: str, timeout: float) -> str:
        request = pb.LogLevelRequest(logger=logger, level=level)
        return (await node.admin.LogLevel(request, timeout=timeout)).level

    return ask


def command_once(command: bytes) -> Question[SubmitReply]:
    """One command without a session."""

    async def submit_at(node: NodeChannel, endpoint: str, timeout: float) -> SubmitReply:
        return await node.commands.Submit(client_pb.SubmitRequest(command=command), timeout=timeout)

    return submit_at


def transfer_to(target: str) -> Question[Transferred]:
    """A question for the leader: hand over to the node `target` ("": the best follower)."""

    async def transfer_at(node: NodeChannel, endpoint: str, timeout: float) -> Transferred:
        reply = await node.admin.Transfer(pb.TransferRequest(target=target), timeout=timeout)
        return Transferred(reply.leader_id, reply.term)

    return transfer_at


class MemberChanged(NamedTuple):
    """Where the change is in the log, or where its members were so already."""

    log_index: int
    term: int


def change_member_to(
    action: str, node_id: str, peer_address: str, client_address: str, by: str, force: bool
) -> Question[MemberChanged]:
    """A question for the leader: change the members; answered when that is committed."""
    request = pb.MemberRequest(
        action=action,
        id=node_id,
        peer_address=peer_address,
        client_address=client_address,
        by=by,
        force=force,
    )

    async def change_at(node: NodeChannel, endpoint: str, timeout: float) -> MemberChanged:
        reply = await node.admin.ChangeMember(request, timeout=timeout)
        return MemberChanged(reply.index, reply.term)

    return change_at


async def events_at(node: NodeChannel, *, from_start: bool) -> AsyncIterator[Event]:
    """The node's events as they happen, until it ends the stream."""
    async for reply in node.admin.Events(pb.EventsRequest(from_start=from_start)):
        yield Event(
            reply.number, reply.monotonic_seconds, reply.kind, reply.term, reply.role,
            reply.leader_id, reply.peer, reply.detail,
        )  # fmt: skip
