"""etcdserverpb.Cluster: who the members are. Network thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from raftd._pb import admin_pb2, client_pb2
from raftd._pb import etcd_pb2 as pb
from raftd.core.types import Member
from raftd.node.outcomes import Answered, Applied, Outcome, Refusal, Refused
from raftd.rpc.api import Node
from raftd.rpc.clients.errors import CallFailed
from raftd.rpc.clients.members import change_of
from raftd.rpc.directory import Directory, is_address
from raftd.rpc.etcd.backend import REQUEST_SECONDS, Backend
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.faults import Code, Fault, fault, of_outcome
from raftd.rpc.etcd.header import Headers, member_named, member_number
from raftd.wire import leases
from raftd.wire.principal import OWN

JOIN_FIRST = (
    "etcdserver: no member is at {}: start it with `join`, which brings it in as a learner, and add"
    " it then; or use `raftctl member add`"
)
LOOK_SECONDS = 0.1
JOIN_SECONDS = 4.0
"""How long whoever is added may take to join and to catch up: etcdctl waits for 5 s."""


class ClusterService:
    def __init__(
        self,
        node: Node,
        directory: Directory,
        backend: Backend,
        headers: Headers,
        scheme: str,
        http_at_client_port: bool = False,
    ) -> None:
        """scheme: of the URLs that clients use, http or https. http_at_client_port: who speaks
        HTTP/1.1 is sent there, to members without a gateway of their own.
        """
        self._node = node
        self._directory = directory
        self._backend = backend
        self._headers = headers
        self._scheme = scheme
        self._http_at_client_port = http_at_client_port

    async def MemberList(
        self, request: pb.MemberListRequest, caller: Caller
    ) -> pb.MemberListResponse:
        if request.linearizable:
            await self._backend.read(leases.encode_status(), False, OWN)
        return pb.MemberListResponse(header=self._headers.make(0), members=self.members(caller))

    def members(self, caller: Caller) -> list[pb.Member]:
        """As this member knows them, with the ports that a caller of this kind can speak to."""
        configuration = self._node.state().configuration
        made = []
        for node in configuration.members():
            known = self._directory.get(node)
            at = known.client_address
            if caller.by_gateway:
                at = known.gateway_address or (at if self._http_at_client_port else "")
            member = pb.Member(
                ID=member_number(self._node.identity.cluster, node),
                name=node,
                peerURLs=[f"http://{known.peer_address}"] if known.peer_address else [],
                clientURLs=[f"{self._scheme}://{at}"] if at else [],
                isLearner=node not in configuration.voters,
            )
            made.append(member)
        return made

    def named(self, number: int) -> str:
        """Raises Fault."""
        identity = self._node.identity
        members = self._node.state().configuration.members()
        node = member_named(identity.cluster, number, members)
        if node is None:
            raise fault("member_not_found")
        return node

    async def MemberAdd(self, request: pb.MemberAddRequest, caller: Caller) -> pb.MemberAddResponse:
        """On the leader only. A node of raftd has an id of its own, and joins by itself, as a
        learner: so this waits until one is there at that address, and has it vote unless a learner
        is wanted.

        Raises Fault. One that does not catch up in time is answered as the learner that it is.
        """
        address = _address(request.peerURLs)
        if self._at(address) in self._node.state().configuration.voters:
            raise fault("peer_urls_exist")
        if self._node.state().leader != self._node.identity.node:
            raise fault("not_leader")
        deadline = asyncio.get_running_loop().time() + JOIN_SECONDS
        node = await self._joined(address, deadline)
        if not request.isLearner:
            await self._promoted(node, deadline)
        members = self.members(caller)
        number = member_number(self._node.identity.cluster, node)
        (added,) = [member for member in members if number == member.ID]
        return pb.MemberAddResponse(header=self._headers.make(0), member=added, members=members)

    def _at(self, address: str) -> str:
        """Whose peer address this is; empty: no member's."""
        members = self._node.state().configuration.members()
        return next((n for n in members if self._directory.get(n).peer_address == address), "")

    async def _joined(self, address: str, deadline: float) -> str:
        while not (node := self._at(address)):
            if asyncio.get_running_loop().time() >= deadline:
                raise Fault(Code.FAILED_PRECONDITION, JOIN_FIRST.format(address))
            await asyncio.sleep(LOOK_SECONDS)
        return node

    async def _promoted(self, node: str, deadline: float) -> None:
        """As soon as the leader lets it vote; a learner may need longer than anybody waits."""
        while asyncio.get_running_loop().time() < deadline:
            try:
                await self._change("promote", node)
            except Fault as refused:
                if refused.code is not Code.FAILED_PRECONDITION:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return

    async def MemberRemove(
        self, request: pb.MemberRemoveRequest, caller: Caller
    ) -> pb.MemberRemoveResponse:
        """On the leader only. Raises Fault, also where a majority would not be left."""
        await self._change("remove", self.named(request.ID))
        return pb.MemberRemoveResponse(header=self._headers.make(0), members=self.members(caller))

    async def MemberUpdate(
        self, request: pb.MemberUpdateRequest, caller: Caller
    ) -> pb.MemberUpdateResponse:
        """On the leader only: another peer address. Raises Fault."""
        node, address = self.named(request.ID), _address(request.peerURLs)
        if self._at(address) not in ("", node):
            raise fault("peer_urls_exist")
        await self._change("update", node, address)
        return pb.MemberUpdateResponse(header=self._headers.make(0), members=self.members(caller))

    async def MemberPromote(
        self, request: pb.MemberPromoteRequest, caller: Caller
    ) -> pb.MemberPromoteResponse:
        """On the leader only. Raises Fault, also where the learner lacks too much."""
        node = self.named(request.ID)
        if node in self._node.state().configuration.voters:
            raise fault("not_a_learner")
        await self._change("promote", node)
        return pb.MemberPromoteResponse(header=self._headers.make(0), members=self.members(caller))

    async def _change(self, action: str, member: str, peer_address: str = "") -> None:
        wanted = admin_pb2.MemberRequest(action=action, id=member, peer_address=peer_address)
        try:
            change = await change_of(wanted, self._node, self._directory, _meet_nobody)
        except CallFailed as failed:
            code = failed.failure.code
            raise fault("not_leader" if code == client_pb2.NOT_LEADER else "unhealthy") from None
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        self._node.change(change, done)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                outcome = await ended
        except TimeoutError:
            raise fault("timeout") from None
        if isinstance(outcome, Refused) and outcome.refusal is Refusal.NOT_ALLOWED:
            raise Fault(Code.FAILED_PRECONDITION, f"etcdserver: {outcome.message}")
        if not isinstance(outcome, Applied | Answered):
            raise of_outcome(outcome)


def _address(urls: Sequence[str]) -> str:
    """host:port of the one URL; raftd's nodes listen at one address each. Raises Fault."""
    if len(urls) != 1:
        raise fault("bad_member_urls")
    try:
        parts = urlsplit(urls[0])
        whole = parts.scheme in ("http", "https") and parts.path in ("", "/") and parts.port
    except ValueError:
        raise fault("bad_member_urls") from None
    if not whole or not is_address(parts.netloc):
        raise fault("bad_member_urls")
    return parts.netloc


async def _meet_nobody(node: str, peer_address: str) -> Member:
    raise AssertionError("only who is added is met")  # pragma: no cover
