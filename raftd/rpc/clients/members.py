"""What an operator asks for, as a change of the members that the core judges.

Network thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from raftd._pb import admin_pb2 as pb
from raftd._pb import client_pb2, raft_pb2
from raftd.core.changes import Change, ChangeKind
from raftd.core.types import Configuration, Member, NodeId
from raftd.node.outcomes import Outcome, Refusal, Refused
from raftd.rpc.api import CannotMeet, ClientNode
from raftd.rpc.clients import errors
from raftd.rpc.clients.callers import Callers, NotAllowed
from raftd.rpc.clients.errors import CallFailed
from raftd.rpc.directory import Directory, is_address
from raftd.wire.refusals import BEHIND, RESTORING

ID_MAX = 64


class Meet(Protocol):
    """Says hello to a node that is no member yet; see `Peers.meet`."""

    def __call__(self, node: NodeId, peer_address: str) -> Awaitable[Member]: ...


async def change_of(
    request: pb.MemberRequest, node: ClientNode, directory: Directory, meet: Meet
) -> Change:
    """Raises CallFailed: the request makes no sense, or the node to be added does not answer."""
    try:
        kind = ChangeKind(request.action)
    except ValueError:
        known = ", ".join(each.value for each in ChangeKind)
        raise CallFailed(errors.invalid(f"action {request.action[:64]!r}: use {known}")) from None
    for name in ("peer_address", "client_address"):
        if (given := getattr(request, name)) and not is_address(given):
            raise CallFailed(errors.invalid(f"{name} {given[:80]!r}: expected host:port"))
    state = node.state()
    member = Member(request.id[:ID_MAX], request.peer_address, request.client_address)
    if state.leader != node.identity.node:
        refused = Refused(Refusal.NOT_LEADER, "not the leader", state.leader)
        raise CallFailed(errors.of_outcome(refused, directory))
    configuration = state.configuration
    if (
        kind is ChangeKind.ADD
        and member.node not in configuration.members() + configuration.retired
    ):
        member = await _met(member, meet)
    elif kind is ChangeKind.ADD:
        member = _as_known(member, configuration)
    present = _known(configuration.members(), directory)
    return Change(kind, member, request.by[:ID_MAX], request.force, present)


async def changed(
    wanted: raft_pb2.MemberChange,
    principal: bytes,
    callers: Callers,
    node: ClientNode,
    directory: Directory,
) -> Outcome:
    """What became of a change that etcd's clients asked of this node, or of one that forwards it.

    Whoever asked has to be an operator by what this node knows, too. The story without it: at a
    member that lags somebody whose role was taken away a moment ago still removes another member.
    """
    if callers.behind or callers.restoring:
        return Refused(Refusal.UNAVAILABLE, BEHIND if callers.behind else RESTORING)
    try:
        callers.demand_root(principal)
        request = pb.MemberRequest(
            action=wanted.action, id=wanted.member, peer_address=wanted.peer_address
        )
        change = await change_of(request, node, directory, _meet_nobody)
    except NotAllowed as error:
        return Refused(Refusal.NOT_ALLOWED, str(error))
    except CallFailed as failed:
        failure = failed.failure
        not_leader = failure.code == client_pb2.NOT_LEADER
        refusal = Refusal.NOT_LEADER if not_leader else Refusal.NOT_ALLOWED
        return Refused(refusal, failure.message, failure.leader_id or None)
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def done(outcome: Outcome) -> None:
        if not ended.done():  # whoever asked may have gone
            ended.set_result(outcome)

    node.change(change, done)
    return await ended


async def _meet_nobody(node: NodeId, peer_address: str) -> Member:
    raise CannotMeet(f"{node} is no member: start it with `join`")


async def _met(member: Member, meet: Meet) -> Member:
    """With the incarnation that it has now, and the addresses that it gives where none are."""
    if not member.peer_address:
        raise CallFailed(errors.invalid(f"{member.node!r}: say where it is: its peer address"))
    try:
        found = await meet(member.node, member.peer_address)
    except CannotMeet as error:
        raise CallFailed(errors.invalid(str(error))) from None
    return Member(
        member.node,
        member.peer_address,
        member.client_address or found.client_address,
        found.incarnation,
    )


def _as_known(member: Member, configuration: Configuration) -> Member:
    """Asked again, what is a member already is the same member, unless its addresses differ."""
    known = configuration.member(member.node)
    same = member.peer_address in ("", known.peer_address)
    same = same and member.client_address in ("", known.client_address)
    return known if same else member


def _known(nodes: tuple[NodeId, ...], directory: Directory) -> tuple[Member, ...]:
    places = [(node, directory.get(node)) for node in nodes]
    return tuple(Member(node, at.peer_address, at.client_address) for node, at in places)
