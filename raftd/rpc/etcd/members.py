"""etcdserverpb.Cluster: who the members are. Network thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from raftd._pb import etcd_pb2 as pb
from raftd._pb.raft_pb2 import MemberChange
from raftd.node.outcomes import Answered, Applied, Outcome, Refusal, Refused
from raftd.rpc.api import Node
from raftd.rpc.directory import Directory, is_address
from raftd.rpc.etcd.backend import REQUEST_SECONDS, Backend
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.faults import Code, Fault, comes_back, fault, of_outcome
from raftd.rpc.etcd.header import Headers, member_named, member_number
from raftd.rpc.etcd.translate import refused
from raftd.rpc.peers.forwarding import NOT_KNOWN
from raftd.wire import leases
from raftd.wire.principal import OWN
from raftd.wire.refusals import DENIALS

JOIN_FIRST = (
    "etcdserver: no member is at {}: start it with `join`, which brings it in as a learner, and add"
    " it then; or use `raftctl member add`"
)
CHANGES_MAX = 16
"""Changes that wait for the leader, which makes one at a time."""
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
        self._changes = 0

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
        """A node of raftd has an id of its own, and joins by itself, as a learner: so this waits
        until one is there at that address, and has it vote unless a learner is wanted.

        Raises Fault. One that does not catch up in time is answered as the learner that it is.
        """
        address = _address(request.peerURLs)
        if self._at(address) in self._node.state().configuration.voters:
            raise fault("peer_urls_exist")
        deadline = asyncio.get_running_loop().time() + JOIN_SECONDS
        node = await self._joined(address, deadline)
        if not request.isLearner:
            await self._promoted(node, deadline, caller)
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
                if self._node.state().leader is None:
                    raise fault("no_leader")
                raise Fault(Code.FAILED_PRECONDITION, JOIN_FIRST.format(address))
            await asyncio.sleep(LOOK_SECONDS)
        return node

    async def _promoted(self, node: str, deadline: float, caller: Caller) -> None:
        """As soon as the leader lets it vote; a learner may need longer than anybody waits."""
        while asyncio.get_running_loop().time() < deadline:
            try:
                await self._change(caller, "promote", node)
            except Fault as error:
                if error.code is not Code.FAILED_PRECONDITION or error.name == "not_leader":
                    raise
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return

    async def MemberRemove(
        self, request: pb.MemberRemoveRequest, caller: Caller
    ) -> pb.MemberRemoveResponse:
        """Raises Fault, also where a majority would not be left."""
        await self._change(caller, "remove", self.named(request.ID))
        left = [member for member in self.members(caller) if request.ID != member.ID]
        return pb.MemberRemoveResponse(header=self._headers.make(0), members=left)

    async def MemberUpdate(
        self, request: pb.MemberUpdateRequest, caller: Caller
    ) -> pb.MemberUpdateResponse:
        """Another peer address. Raises Fault."""
        node, address = self.named(request.ID), _address(request.peerURLs)
        if self._at(address) not in ("", node):
            raise fault("peer_urls_exist")
        await self._change(caller, "update", node, address)
        return pb.MemberUpdateResponse(header=self._headers.make(0), members=self.members(caller))

    async def MemberPromote(
        self, request: pb.MemberPromoteRequest, caller: Caller
    ) -> pb.MemberPromoteResponse:
        """Raises Fault, also where the learner lacks too much."""
        node = self.named(request.ID)
        if node in self._node.state().configuration.voters:
            raise fault("not_a_learner")
        await self._change(caller, "promote", node)
        return pb.MemberPromoteResponse(header=self._headers.make(0), members=self.members(caller))

    async def _change(
        self, caller: Caller, action: str, member: str, peer_address: str = ""
    ) -> None:
        """By the leader, whoever that is. Raises Fault."""
        wanted = MemberChange(action=action, member=member, peer_address=peer_address)
        outcome = await self._by_leader(wanted, caller)
        if isinstance(outcome, Refused) and outcome.refusal is Refusal.NOT_ALLOWED:
            raise _not_allowed(outcome.message)
        if not isinstance(outcome, Applied | Answered):
            raise of_outcome(outcome)
        if action != "remove" or member != self._node.identity.node:  # it may hear nothing more
            await self._backend.catch_up()

    async def _by_leader(self, wanted: MemberChange, caller: Caller) -> Outcome:
        """Asked again only while no leader took it, so that it is certain that nothing was done.
        Raises Fault.
        """
        if self._changes >= CHANGES_MAX:
            raise fault("too_many_requests")
        deadline = asyncio.get_running_loop().time() + REQUEST_SECONDS
        self._changes += 1
        try:
            async with asyncio.timeout_at(deadline):
                while comes_back(outcome := await self._backend.change(wanted, caller.principal)):
                    await self._backend.pause(deadline)
                return outcome
        except TimeoutError:
            raise fault("timeout") from None
        finally:
            self._changes -= 1


def _not_allowed(why: str) -> Fault:
    if why == NOT_KNOWN:
        return fault("not_leader")
    if why in DENIALS:
        return refused(why.encode())
    return Fault(Code.FAILED_PRECONDITION, f"etcdserver: {why}")


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
