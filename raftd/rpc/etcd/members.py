"""etcdserverpb.Cluster: who the members are. Network thread only."""

from __future__ import annotations

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.api import Node
from raftd.rpc.directory import Directory
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.faults import Code, Fault, fault
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.identity import member_named, member_number
from raftd.wire import leases

NOT_HERE = "etcdserver: raftd changes its members by `raftctl member`"


class ClusterService:
    def __init__(
        self,
        node: Node,
        directory: Directory,
        backend: Backend,
        headers: Headers,
        scheme: str,
    ) -> None:
        """scheme: of the URLs that clients use, http or https."""
        self._node = node
        self._directory = directory
        self._backend = backend
        self._headers = headers
        self._scheme = scheme

    async def MemberList(
        self, request: pb.MemberListRequest, caller: Caller
    ) -> pb.MemberListResponse:
        if request.linearizable:
            await self._backend.read(leases.encode_status(), False)
        return pb.MemberListResponse(header=self._headers.make(0), members=self.members(caller))

    def members(self, caller: Caller) -> list[pb.Member]:
        """As this member knows them, with the ports that a caller of this kind can speak to."""
        configuration = self._node.state().configuration
        made = []
        for node in configuration.members():
            known = self._directory.get(node)
            at = known.gateway_address if caller.by_gateway else known.client_address
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
        raise Fault(Code.UNIMPLEMENTED, NOT_HERE)

    async def MemberRemove(
        self, request: pb.MemberRemoveRequest, caller: Caller
    ) -> pb.MemberRemoveResponse:
        self.named(request.ID)
        raise Fault(Code.UNIMPLEMENTED, NOT_HERE)

    async def MemberUpdate(
        self, request: pb.MemberUpdateRequest, caller: Caller
    ) -> pb.MemberUpdateResponse:
        self.named(request.ID)
        raise Fault(Code.UNIMPLEMENTED, NOT_HERE)

    async def MemberPromote(
        self, request: pb.MemberPromoteRequest, caller: Caller
    ) -> pb.MemberPromoteResponse:
        self.named(request.ID)
        raise Fault(Code.UNIMPLEMENTED, NOT_HERE)
