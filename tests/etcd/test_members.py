"""etcdserverpb.Cluster on a node that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.core.changes import ChangeKind
from raftd.node.outcomes import Applied, Refusal, Refused
from raftd.rpc.clients.gate import ClientLimits, Gate
from raftd.rpc.directory import Directory, PeerAddress
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import ANYBODY, Caller
from raftd.rpc.etcd.faults import Fault
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.identity import member_number
from raftd.rpc.etcd.members import ClusterService
from raftd.rpc.etcd.translate import refused
from raftd.rpc.plumbing.connections import Connections, UnreadLimits
from tests.etcd.test_backend import Leader
from tests.rpc.fakes import CLUSTER, FakeNode

N2 = member_number(CLUSTER, "n2")


def run(test: Callable[[ClusterService, FakeNode], Awaitable[None]]) -> None:
    async def main() -> None:
        node, directory = FakeNode("n1"), Directory({"n2": PeerAddress("p:1", "c:2", "g:3")})
        node.leader = "n1"
        connections = Connections(UnreadLimits(), asyncio.get_running_loop().time)
        gate = Gate(node, directory, ClientLimits(), connections)
        backend = Backend(gate, Leader(), refused)
        await test(ClusterService(node, directory, backend, Headers(node), "http"), node)

    asyncio.run(main())


def test_each_caller_is_told_the_ports_that_it_can_speak_to() -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        for caller, url in ((ANYBODY, "http://c:2"), (Caller(by_gateway=True), "http://g:3")):
            listed = await cluster.MemberList(pb.MemberListRequest(), caller)
            (n2,) = [member for member in listed.members if member.name == "n2"]
            assert (n2.ID, list(n2.clientURLs), list(n2.peerURLs)) == (N2, [url], ["http://p:1"])

    run(test)


def test_a_member_is_removed_by_the_leader() -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        node.control = Applied(7, 3, b"")
        await cluster.MemberRemove(pb.MemberRemoveRequest(ID=N2), ANYBODY)
        (change,) = node.changes
        assert (change.kind, change.member.node) == (ChangeKind.REMOVE, "n2")

    run(test)


@pytest.mark.parametrize(
    ("number", "leader", "outcome", "text"),
    [
        (5, "n1", Applied(7, 3, b""), "member not found"),
        (N2, "n3", Applied(7, 3, b""), "not leader"),
        (N2, "n1", Refused(Refusal.NOT_ALLOWED, "a majority is not up"), "a majority is not up"),
    ],
)
def test_what_cannot_be_done_is_said(
    number: int, leader: str, outcome: Applied | Refused, text: str
) -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        node.control, node.leader = outcome, leader
        with pytest.raises(Fault, match=f"^etcdserver: {text}$"):
            await cluster.MemberRemove(pb.MemberRemoveRequest(ID=number), ANYBODY)
        with pytest.raises(Fault, match=r"can only promote a learner member|not found"):
            await cluster.MemberPromote(pb.MemberPromoteRequest(ID=number), ANYBODY)

    run(test)
