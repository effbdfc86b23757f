"""etcdserverpb.Cluster on a node that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd._pb.raft_pb2 import MemberChange
from raftd.core.changes import ChangeKind
from raftd.node.outcomes import Applied, Done, Outcome, Refusal, Refused, Unknown
from raftd.rpc.clients.gate import ClientLimits, Gate
from raftd.rpc.directory import Directory, PeerAddress
from raftd.rpc.etcd import members
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import ANYBODY, Caller
from raftd.rpc.etcd.faults import Code, Fault
from raftd.rpc.etcd.header import Headers, member_number
from raftd.rpc.etcd.members import ClusterService
from raftd.rpc.etcd.translate import refused
from raftd.rpc.peers.forwarding import NOT_KNOWN
from raftd.rpc.plumbing.connections import Connections, UnreadLimits
from raftd.wire.refusals import PERMISSION_DENIED as DENIED
from tests.etcd.test_backend import Leader
from tests.rpc.fakes import CLUSTER, FakeNode, until

N2 = member_number(CLUSTER, "n2")


def run(
    test: Callable[[ClusterService, FakeNode], Awaitable[None]], leader: Leader | None = None
) -> None:
    """leader: what answers for the leader where that is another node."""

    async def main() -> None:
        node, directory = FakeNode("n1"), Directory({"n2": PeerAddress("p:1", "c:2", "g:3")})
        node.leader = "n1"
        connections = Connections(UnreadLimits(), asyncio.get_running_loop().time)
        gate = Gate(node, directory, ClientLimits(), connections)
        backend = Backend(gate, leader or Leader(), refused)
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
    ("number", "outcome", "text"),
    [
        (5, Applied(7, 3, b""), "member not found"),
        (N2, Refused(Refusal.NOT_ALLOWED, "a majority is not up"), "a majority is not up"),
    ],
)
def test_what_cannot_be_done_is_said(number: int, outcome: Applied | Refused, text: str) -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        node.control = outcome
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
        node.leader = None
        with pytest.raises(Fault, match="no leader"):
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


# --- at a member that does not lead -------------------------------------------------------------

NOT_LEADER = Refused(Refusal.NOT_LEADER, "not the leader")
REMOVE_N2 = pb.MemberRemoveRequest(ID=N2)
ROOT = Caller(principal=b"root, as the door found out")


def at_follower(
    test: Callable[[ClusterService, FakeNode], Awaitable[None]], *outcomes: Outcome
) -> Leader:
    """outcomes: what n2 says, which leads. Returns what it was asked."""
    leader = Leader()
    leader.outcomes = list(outcomes)

    async def asked(cluster: ClusterService, node: FakeNode) -> None:
        node.leader = "n2"
        await test(cluster, node)
        assert not node.changes

    run(asked, leader)
    return leader


def test_a_follower_has_the_leader_change_the_members() -> None:
    """The story without it: `etcdctl member remove` is refused at two of three endpoints."""

    async def test(cluster: ClusterService, node: FakeNode) -> None:
        seen: list[tuple[Sequence[bytes], bool, Done]] = []
        answer_at_once, node.on_query = node.on_query, lambda *asked: seen.append(asked)
        asking = asyncio.ensure_future(cluster.MemberRemove(REMOVE_N2, ROOT))
        await until(lambda: seen, "the follower to catch up with what it is about to answer")
        node.on_query = answer_at_once
        _, stale, _ = seen[0]
        assert not stale
        answer_at_once(*seen[0])
        answer = await asking
        assert [member.name for member in answer.members] == ["n1", "n3"]
        moved = pb.MemberUpdateRequest(ID=N2, peerURLs=["https://q:9"])
        await cluster.MemberUpdate(moved, ROOT)

    asked = at_follower(test).got
    assert [(to, what.principal) for to, what in asked] == [("n2", ROOT.principal)] * 2
    first, second = (what.change for _, what in asked)
    assert first == MemberChange(action="remove", member="n2")
    assert second == MemberChange(action="update", member="n2", peer_address="q:9")


@pytest.mark.parametrize(
    ("outcome", "code", "text"),
    [
        (Refused(Refusal.NOT_ALLOWED, NOT_KNOWN), Code.FAILED_PRECONDITION, "not leader"),
        (Refused(Refusal.NOT_ALLOWED, "nobody is up"), Code.FAILED_PRECONDITION, "nobody is up"),
        (Refused(Refusal.NOT_ALLOWED, DENIED), Code.PERMISSION_DENIED, DENIED),
        (Refused(Refusal.UNAVAILABLE, "another is under way"), Code.UNAVAILABLE, "another is"),
        (Unknown("n2 was lost"), Code.UNAVAILABLE, "possibly due to previous leader failure"),
    ],
)
def test_what_the_leader_says_is_passed_on_and_not_asked_again(
    outcome: Outcome, code: Code, text: str
) -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        with pytest.raises(Fault, match=f"^etcdserver: .*{text}") as caught:
            await cluster.MemberRemove(REMOVE_N2, ANYBODY)
        assert caught.value.code is code

    assert len(at_follower(test, outcome).got) == 1


def test_it_is_asked_again_only_while_nobody_leads() -> None:
    async def test(cluster: ClusterService, node: FakeNode) -> None:
        await cluster.MemberRemove(REMOVE_N2, ANYBODY)

    assert len(at_follower(test, NOT_LEADER, NOT_LEADER).got) == 3


def test_a_follower_passes_on_so_many_changes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "CHANGES_MAX", 2)

    async def test(cluster: ClusterService, node: FakeNode) -> None:
        node.leader = None  # so they wait
        calls = [asyncio.ensure_future(cluster.MemberRemove(REMOVE_N2, ANYBODY)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Fault, match="too many requests"):
            await cluster.MemberRemove(REMOVE_N2, ANYBODY)
        node.leader = "n2"
        await asyncio.gather(*calls)
        await cluster.MemberRemove(REMOVE_N2, ANYBODY)

    at_follower(test)
