"""Writes and reads of the etcd services on a node that does what the test says."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence

import pytest

from raftd.node.outcomes import Answered, Applied, Done, Outcome, Refusal, Refused, Unknown
from raftd.rpc.clients.gate import ClientLimits, Gate
from raftd.rpc.directory import Directory
from raftd.rpc.etcd import backend as module
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.faults import Code, Fault
from raftd.rpc.etcd.translate import refused
from raftd.rpc.peers.forwarding import Forward
from raftd.rpc.plumbing.connections import Connections, UnreadLimits
from raftd.wire import refusals
from raftd.wire.batch import ANSWER_TOO_LONG, SESSION_FULL, decode_batch, encode_results
from tests.rpc.fakes import FakeNode

NOT_LEADER = Refused(Refusal.NOT_LEADER, "not the leader", "n2")


class Leader:
    """The other end of the way to the leader."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Forward]] = []
        self.outcomes: list[Outcome] = []

    async def forward(self, leader: str, what: Forward) -> Outcome:
        self.got.append((leader, what))
        if self.outcomes:
            return self.outcomes.pop(0)
        if what.change is not None:
            return Applied(7, 3, b"")
        if what.queries:
            return Answered(3, [(0, b"answer")])
        return applied(what.batch)


def applied(batch: bytes) -> Applied:
    commands = decode_batch(batch).commands
    return Applied(4, 2, encode_results([(0, b"did " + command) for _, command in commands]))


Test = Callable[[Backend, FakeNode, Leader], Awaitable[None]]


def run(test: Test) -> None:
    async def main() -> None:
        node, leader = FakeNode("n1"), Leader()
        unseen: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unseen.append(what))
        connections = Connections(UnreadLimits(), asyncio.get_running_loop().time)
        gate = Gate(node, Directory({}), ClientLimits(), connections)
        async with asyncio.timeout(20):
            await test(Backend(gate, leader, refused), node, leader)
        gc.collect()
        assert not unseen, "in the daemon this ends the process"

    asyncio.run(main())


async def text_of(call: Awaitable[bytes]) -> str:
    with pytest.raises(Fault) as caught:
        await call
    return caught.value.text


def test_the_writes_of_one_turn_are_one_batch_and_later_ones_the_next() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        held: list[tuple[bytes, Done]] = []
        node.on_submit = lambda batch, done: held.append((batch, done))
        calls = [asyncio.ensure_future(backend.write(b"%d" % n)) for n in range(3)]
        await asyncio.sleep(0.01)
        calls += [asyncio.ensure_future(backend.write(b"%d" % n)) for n in (3, 4)]
        await asyncio.sleep(0.01)
        assert len(held) == 1
        for _ in range(2):
            batch, done = held.pop()
            done(applied(batch))
            await asyncio.sleep(0.01)
        assert await asyncio.gather(*calls) == [b"did %d" % n for n in range(5)]
        sizes = [len(decode_batch(batch).commands) for batch, _ in node.submitted]
        assert sizes == [3, 2]

    run(test)


def test_a_member_that_does_not_lead_forwards() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        node.on_submit = lambda batch, done: done(NOT_LEADER)
        assert await backend.write(b"x") == b"did x"
        assert [name for name, _ in leader.got] == ["n2"]

    run(test)


def test_what_had_no_room_for_its_answer_comes_again_and_what_was_done_is_not_called_refused() -> (
    None
):
    """The story without it: five callers whose transactions read a megabyte each met in a batch,
    and the last one heard that its request of 100 bytes is too large. So did, the other way round,
    whoever deleted keys and asked for their values back, 2 MiB of them: they were gone.
    """

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        batches: list[list[bytes]] = []

        def apply(batch: bytes, done: Done) -> None:
            commands = [command for _, command in decode_batch(batch).commands]
            batches.append(commands)
            results = [(0, b"did " + command) for command in commands[:2]]
            results += [(SESSION_FULL, b"no room")] * len(commands[2:])
            if commands[0] == b"4":
                results[0] = (ANSWER_TOO_LONG, b"done, but its answer has 3000000 bytes")
            done(Applied(4, 2, encode_results(results)))

        node.on_submit = apply
        calls = [asyncio.ensure_future(backend.write(b"%d" % n)) for n in range(5)]
        assert await asyncio.gather(*calls[:4]) == [b"did %d" % n for n in range(4)]
        with pytest.raises(Fault, match="done, but its answer has 3000000 bytes") as caught:
            await calls[4]
        assert caught.value.code is Code.DATA_LOSS
        assert batches == [[b"0", b"1", b"2", b"3", b"4"], [b"2", b"3", b"4"], [b"4"]]

    run(test)


@pytest.mark.parametrize("forwards", [False, True])
def test_a_write_waits_while_a_leader_hands_over(forwards: bool) -> None:
    """The story without it: for each caller a move of the leader was a failed put, as Go's clients
    repeat no write. And it is not sent to who is to lead before that one leads.
    """
    handing = Refused(Refusal.UNAVAILABLE, "leadership is being handed to n2", "n2")

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        said = [NOT_LEADER] if forwards else [handing, handing, NOT_LEADER]
        leader.outcomes = [handing, handing] if forwards else []
        node.on_submit = lambda batch, done: done(said.pop(0) if said[1:] else said[0])
        assert await backend.write(b"x") == b"did x"
        assert len(node.submitted) == 3
        assert len(leader.got) == (3 if forwards else 1)
        full = Refused(Refusal.UNAVAILABLE, "the leader's disk is full")
        node.on_submit = lambda batch, done: done(full)
        assert await text_of(backend.write(b"x")) == "etcdserver: the leader's disk is full"

    run(test)


def test_what_was_certainly_not_done_is_tried_again_until_somebody_leads() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        node.on_submit = lambda batch, done: done(NOT_LEADER)
        leader.outcomes = [Refused(Refusal.NOT_LEADER, "neither am I", None)] * 2
        assert await backend.write(b"x") == b"did x"
        assert len(leader.got) == 3

    run(test)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Unknown("lost"), "request timed out, possibly due to previous leader failure"),
        (Refused(Refusal.OVERLOADED, "full"), "too many requests"),
        (Refused(Refusal.UNAVAILABLE, "the disk is full"), "the disk is full"),
    ],
)
def test_what_may_be_done_is_never_done_again(outcome: Outcome, text: str) -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        node.on_submit = lambda batch, done: done(outcome)
        assert await text_of(backend.write(b"x")) == f"etcdserver: {text}"
        assert len(node.submitted) == 1

    run(test)


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.05)

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        nobody = Refused(Refusal.NOT_LEADER, "no leader", None)
        node.on_submit = lambda batch, done: done(nobody)
        node.on_query = lambda queries, stale, done: done(nobody)
        timeout = "etcdserver: request timed out"
        assert await text_of(backend.write(b"x")) == timeout
        assert await text_of(backend.read(b"x", False)) == timeout
        assert await text_of(backend.ask_leader(b"x")) == timeout
        node.on_query = lambda queries, stale, done: None
        assert await text_of(backend.read(b"x", False)) == timeout

    run(test)


def test_each_write_has_its_own_refusal() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        answers = [(1, refusals.LEASE_NOT_FOUND.encode()), (0, b"fine"), (6, b"")]
        node.on_submit = lambda batch, done: done(Applied(1, 1, encode_results(answers)))
        calls = [asyncio.ensure_future(backend.write(b"x")) for _ in answers]
        assert await text_of(calls[0]) == "etcdserver: requested lease not found"
        assert await calls[1] == b"fine"
        assert await text_of(calls[2]) == "etcdserver: request is too large"

    run(test)


def test_when_all_callers_have_gone_nothing_is_written() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        for _ in range(3):
            calls = [asyncio.ensure_future(backend.write(b"x")) for _ in range(3)]
            await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await asyncio.sleep(0.01)
        assert node.submitted == []
        assert await backend.write(b"y") == b"did y"

    run(test)


def test_reads_say_how_fresh_they_must_be() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        asked: list[tuple[Sequence[bytes], bool]] = []

        def on_query(queries: Sequence[bytes], stale: bool, done: Done) -> None:
            asked.append((queries, stale))
            done(Answered(1, [(0, b"here")]))

        node.on_query = on_query
        for serializable in (False, True):
            assert await backend.read(b"x", serializable) == b"here"
        assert [stale for _, stale in asked] == [False, True]

    run(test)


def test_what_only_the_leader_knows_is_asked_of_it() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        node.leader = "n2"
        not_primary = Answered(3, [(1, refusals.NOT_PRIMARY.encode())])
        leader.outcomes = [Unknown("cut"), not_primary]
        assert await backend.ask_leader(b"renew") == b"answer"
        assert [what.queries for _, what in leader.got] == [(b"renew",)] * 3
        node.leader = "n1"
        assert await backend.ask_leader(b"renew") == b"saw renew"

    run(test)


def test_what_waits_is_bounded_and_who_goes_is_not_written_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 2)

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        held: list[Done] = []
        node.on_submit = lambda batch, done: held.append(done)
        first = asyncio.ensure_future(backend.write(b"first"))
        await asyncio.sleep(0.01)
        gone, stays = (asyncio.ensure_future(backend.write(name)) for name in (b"gone", b"stays"))
        await asyncio.sleep(0.01)
        assert await text_of(backend.write(b"more")) == "etcdserver: too many requests"
        gone.cancel()
        held.pop()(applied(node.submitted[0][0]))
        await first
        await asyncio.sleep(0.01)
        assert [c for _, c in decode_batch(node.submitted[1][0]).commands] == [b"stays"]
        backend.close()
        held.pop()(applied(node.submitted[1][0]))
        assert await stays == b"did stays"
        assert await text_of(backend.write(b"late")) == "etcdserver: server stopped"

    run(test)


def test_a_batch_is_of_one_principal_and_each_ones_writes_keep_their_order() -> None:
    async def test(backend: Backend, node: FakeNode, _leader: Leader) -> None:
        sent: list[tuple[bytes, list[bytes]]] = []

        def submit(batch: bytes, done: Done, principal: bytes = b"") -> None:
            sent.append((principal, [command for _, command in decode_batch(batch).commands]))
            done(applied(batch))

        node.submit = submit  # type: ignore[method-assign]
        asked = [(b"1", b"ann"), (b"2", b"bob"), (b"3", b"ann"), (b"4", b""), (b"5", b"bob")]
        answers = await asyncio.gather(*(backend.write(*each) for each in asked))
        assert list(answers) == [b"did " + command for command, _ in asked]
        assert sent == [(b"ann", [b"1", b"3"]), (b"bob", [b"2", b"5"]), (b"", [b"4"])]

    run(test)


def test_the_leader_is_told_whose_a_write_is() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        node.on_submit = lambda _, done: done(NOT_LEADER)
        node.leads, node.leader = False, "n2"
        assert await backend.write(b"1", b"ann") == b"did 1"
        assert await backend.ask_leader(b"q", b"bob") == b"answer"
        assert [what.principal for _, what in leader.got] == [b"ann", b"bob"]

    run(test)
