"""What a follower passes on to its leader, and what it makes of each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from raftd._pb import raft_pb2 as pb
from raftd.core.changes import ChangeKind
from raftd.core.types import Configuration
from raftd.node.outcomes import Answered, Applied, Done, Outcome, Refusal, Refused, Unknown
from raftd.rpc.directory import PeerAddress
from raftd.rpc.peers import forwarding, raft_service
from raftd.rpc.peers.forwarding import Forward
from raftd.wire.batch import decode_results, encode_batch
from tests.rpc.fakes import Side, introduce, one_side, until

BATCH = encode_batch(b"", 0, [(0, b"one"), (0, b"two")])


def between(test: Callable[[Side, Side], Awaitable[None]]) -> None:
    """Run `test` with a follower, n1, that has a connection to its leader, n2."""

    async def main() -> None:
        async with one_side("n1") as one, one_side("n2") as two:
            introduce(one, two)
            one.node.leader = "n2"

            async def connected() -> bool:
                outcome = await one.peers.forward("n2", Forward(queries=(b"x",)))
                return isinstance(outcome, Answered)

            async with asyncio.timeout(15):
                while not await connected():
                    await asyncio.sleep(0.01)
            await test(one, two)

    asyncio.run(main())


def test_a_batch_is_done_by_the_leader_and_its_answers_come_back() -> None:
    async def test(one: Side, two: Side) -> None:
        outcome = await one.peers.forward("n2", Forward(BATCH))
        assert isinstance(outcome, Applied)
        assert (outcome.index, outcome.term) == (5, 3)
        assert decode_results(outcome.results) == [(0, b"did one"), (0, b"did two")]
        assert [batch for batch, _ in two.node.submitted] == [BATCH]

    between(test)


def test_queries_are_answered_by_the_leaders_machine() -> None:
    async def test(one: Side, two: Side) -> None:
        asked: list[bool] = []

        def on_query(queries: object, stale: bool, done: Done) -> None:
            asked.append(stale)
            done(Answered(6, [(0, b"7"), (1, b"no")]))

        two.node.on_query = on_query
        outcome = await one.peers.forward("n2", Forward(queries=(b"a", b"b")))
        assert outcome == Answered(6, [(0, b"7"), (1, b"no")])
        assert asked == [False]

    between(test)


def test_a_refusal_is_certain_and_an_unknown_outcome_stays_unknown() -> None:
    async def test(one: Side, two: Side) -> None:
        for said in (
            Refused(Refusal.NOT_LEADER, "not the leader", "n3"),
            Refused(Refusal.OVERLOADED, "too much"),
            Refused(Refusal.UNAVAILABLE, "stopping"),
            Unknown("leadership was lost"),
        ):

            def on_submit(batch: bytes, done: Done, said: Outcome = said) -> None:
                done(said)

            two.node.on_submit = on_submit
            assert await one.peers.forward("n2", Forward(BATCH)) == said

    between(test)


def test_who_does_not_lead_any_more_is_not_waited_for() -> None:
    async def test(one: Side, two: Side) -> None:
        two.node.on_submit = lambda batch, done: None
        sent = asyncio.ensure_future(one.peers.forward("n2", Forward(BATCH)))
        await until(lambda: two.node.submitted, "the batch at n2")
        one.node.leader = "n3"
        assert isinstance(await sent, Unknown)

    between(test)


REMOVE_N3 = Forward(change=pb.MemberChange(action="remove", member="n3"))


def test_the_leader_changes_the_members_for_a_follower() -> None:
    async def test(one: Side, two: Side) -> None:
        two.node.leads = True
        assert await one.peers.forward("n2", REMOVE_N3) == Applied(7, 3, b"n2")
        (change,) = two.node.changes
        assert (change.kind, change.member.node) == (ChangeKind.REMOVE, "n3")
        refused = Refused(Refusal.NOT_ALLOWED, "then two voters would need more than are up")
        two.node.control = refused
        assert await one.peers.forward("n2", REMOVE_N3) == refused
        for asked, why in (
            (pb.MemberChange(action="explode", member="n3"), "action 'explode': use add"),
            (pb.MemberChange(action="add", member="n9", peer_address="q:9"), "n9 is no member"),
            (pb.MemberChange(action="update", member="n3", peer_address="x"), "expected host:port"),
        ):
            outcome = await one.peers.forward("n2", Forward(change=asked))
            assert isinstance(outcome, Refused)
            assert outcome.refusal is Refusal.NOT_ALLOWED
            assert why in outcome.message
        two.node.leads = False
        outcome = await one.peers.forward("n2", REMOVE_N3)
        assert isinstance(outcome, Refused)
        assert outcome.refusal is Refusal.NOT_LEADER
        assert len(two.node.changes) == 2

    between(test)


def test_an_older_leader_is_not_said_to_have_changed_the_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reads a request without anything in it."""

    async def older(to: forwarding.Forwarded, request: pb.ForwardRequest) -> Outcome:
        request.ClearField("change")
        return await forwarding.forwarded(to, request)

    monkeypatch.setattr(raft_service, "forwarded", older)

    async def test(one: Side, two: Side) -> None:
        two.node.leads = True
        outcome = await one.peers.forward("n2", REMOVE_N3)
        assert outcome == Refused(Refusal.NOT_ALLOWED, forwarding.NOT_KNOWN)
        assert two.node.changes == []

    between(test)


@pytest.mark.parametrize("moves", [False, True])
def test_what_was_forwarded_is_heard_out_when_its_leader_goes_or_moves(moves: bool) -> None:
    """A leader that is asked to remove itself does so: who asked shut the line to it meanwhile."""

    async def test(one: Side, two: Side) -> None:
        held: list[Done] = []
        two.node.on_submit = lambda batch, done: held.append(done)
        sent = asyncio.ensure_future(one.peers.forward("n2", Forward(BATCH)))
        await until(lambda: held, "the batch at n2")
        if moves:
            one.directory.advertise("n2", PeerAddress("127.0.0.1:1", two.client_address))
        else:
            one.peers.members(Configuration(("n1", "n3")))
            assert "n2" not in one.peers._outlets
        await asyncio.sleep(0.05)
        held.pop()(Refused(Refusal.OVERLOADED, "too much"))
        assert await sent == Refused(Refusal.OVERLOADED, "too much")

    between(test)


def test_bytes_that_are_no_batch_reach_no_node() -> None:
    async def test(one: Side, two: Side) -> None:
        assert isinstance(await one.peers.forward("n2", Forward(b"nonsense")), Unknown)
        assert two.node.submitted == []

    between(test)


def test_without_a_connection_nothing_is_sent() -> None:
    async def main() -> None:
        async with one_side("n1") as one:
            one.node.leader = "n2"
            outcome = await one.peers.forward("n2", Forward(BATCH))
            assert isinstance(outcome, Refused)
            assert outcome.refusal is Refusal.NOT_LEADER

    asyncio.run(main())
