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
from raftd.rpc.etcd import members
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import ANYBODY, Caller
from raftd.rpc.etcd.faults import Fault
from raftd.rpc.etcd.header import Headers, member_number
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


@pytest.mark.parametrize(
    "urls",
    [[], ["http://a:1", "http://b:2"], ["a:1"], ["ftp://a:1"], ["http://a"], ["http://a:1/x"]],
)
def test_a_member_has_one_url(urls: list[str]) -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        with pytest.raises(Fault, match="given member URLs are invalid"):
            await cluster.MemberAdd(pb.MemberAddRequest(peerURLs=urls), ANYBODY)
        with pytest.raises(Fault, match="given member URLs are invalid"):
            await cluster.MemberUpdate(pb.MemberUpdateRequest(ID=N2, peerURLs=urls), ANYBODY)
        assert not node.changes

    run(test)


def test_another_members_url_is_refused() -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        with pytest.raises(Fault, match="Peer URLs already exists"):
            await cluster.MemberAdd(pb.MemberAddRequest(peerURLs=["http://p:1"]), ANYBODY)
        n3 = pb.MemberUpdateRequest(ID=member_number(CLUSTER, "n3"), peerURLs=["http://p:1"])
        with pytest.raises(Fault, match="Peer URLs already exists"):
            await cluster.MemberUpdate(n3, ANYBODY)
        assert not node.changes

    run(test)


def test_who_does_not_join_is_not_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "JOIN_SECONDS", 0.0)

    async def test(cluster: ClusterService, node: FakeNode) -> None:
        with pytest.raises(Fault, match="no member is at q:9: start it with `join`"):
            await cluster.MemberAdd(pb.MemberAddRequest(peerURLs=["http://q:9"]), ANYBODY)
        node.leader = "n3"
        with pytest.raises(Fault, match="not leader"):
            await cluster.MemberAdd(pb.MemberAddRequest(peerURLs=["http://q:9"]), ANYBODY)

    run(test)


def test_a_member_moves() -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        node.control = Applied(7, 3, b"")
        moved = pb.MemberUpdateRequest(ID=N2, peerURLs=["https://q:9"])
        await cluster.MemberUpdate(moved, ANYBODY)
        (change,) = node.changes
        assert (change.kind, change.member.peer_address) == (ChangeKind.UPDATE, "q:9")

    run(test)
