"""Queries of many callers: which are asked together, and who is told what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from raftd.node.outcomes import Answered, Done, Outcome, Refusal, Refused
from raftd.rpc.etcd.reads import PATIENCE_SECONDS, Reads

SOON = 5.0


class Store:
    """Notes what it is asked, and answers when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[bytes], bytes]] = []
        self.dones: list[Done] = []

    def query(self, queries: Sequence[bytes], *, done: Done, principal: bytes) -> None:
        self.asked.append((list(queries), principal))
        self.dones.append(done)

    def answer(self, at: int, most: int | None = None) -> None:
        """most: as many as had room together."""
        queries = self.asked[at][0][:most]
        self.dones[at](Answered(7, [(0, b"to " + query) for query in queries]))


def run(work: Callable[[Store, Callable[..., asyncio.Future[Outcome]]], Awaitable[None]]) -> None:
    async def made() -> None:
        store = Store()
        reads = Reads(store.query, 3)
        deadline = asyncio.get_running_loop().time() + SOON

        def add(query: bytes, principal: bytes = b"", after: float = 0) -> asyncio.Future[Outcome]:
            until = asyncio.get_running_loop().time() + after if after else deadline
            return reads.add(query, principal, until)

        async with asyncio.timeout(SOON):
            await work(store, add)

    asyncio.run(made())


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_those_of_one_turn_are_asked_together_and_each_gets_its_own_answer() -> None:
    async def work(store: Store, add: Callable[..., asyncio.Future[Outcome]]) -> None:
        answers = [add(b"a"), add(b"b")]
        await turn()
        assert store.asked == [([b"a", b"b"], b"")]
        store.answer(0)
        assert [await one for one in answers] == [
            Answered(7, [(0, b"to a")]),
            Answered(7, [(0, b"to b")]),
        ]

    run(work)


def test_what_comes_meanwhile_is_the_next_batch() -> None:
    async def work(store: Store, add: Callable[..., asyncio.Future[Outcome]]) -> None:
        add(b"a")
        await turn()
        later = [add(b"b"), add(b"c")]
        await turn()
        assert len(store.asked) == 1
        store.answer(0)
        assert store.asked[1:] == [([b"b", b"c"], b"")]
        store.answer(1)
        assert await later[1] == Answered(7, [(0, b"to c")])

    run(work)


def test_a_batch_that_takes_long_holds_up_nobody() -> None:
    async def work(store: Store, add: Callable[..., asyncio.Future[Outcome]]) -> None:
        add(b"a")
        await turn()
        waiting = add(b"b")
        while len(store.asked) < 2:
            await asyncio.sleep(PATIENCE_SECONDS)
        store.answer(1)
        assert await waiting == Answered(7, [(0, b"to b")])

    run(work)


def test_queries_of_two_principals_are_never_asked_together() -> None:
    async def work(store: Store, add: Callable[..., asyncio.Future[Outcome]]) -> None:
        for query, principal in ((b"a", b"x"), (b"b", b"y"), (b"c", b"x"), (b"d", b"")):
            add(query, principal)
        await turn()
        assert store.asked == [([b"a", b"c"], b"x"), ([b"b"], b"y"), ([b"d"], b"")]

    run(work)


def test_no_batch_is_larger_than_the_gate_takes() -> None:
    async def work(store: Store, add: Callable[..., asyncio.Future[Outcome]]) -> None:
        for number in range(7):
            add(b"%d" % number)
        await turn()
        assert [len(queries) for queries, _ in store.asked] == [3, 3, 1]

    run(work)


def test_a_refusal_is_told_to_all_and_a_deadline_to_the_one_that_has_it() -> None:
    async def work(store: Store, add: Callable[..., asyncio.Future[Outcome]]) -> None:
        short, long = add(b"a", after=0.02), add(b"b")
        with pytest.raises(TimeoutError):
            await short
        assert not long.done()
        refused = Refused(Refusal.NOT_LEADER, "no")
        store.dones[0](refused)
        assert await long == refused

    run(work)


def test_who_has_gone_is_not_asked_for() -> None:
    async def work(store: Store, add: Callable[..., asyncio.Future[Outcome]]) -> None:
        gone, there = add(b"a"), add(b"b")
        gone.cancel()
        await turn()
        assert store.asked == [([b"b"], b"")]
        store.answer(0)
        assert await there == Answered(7, [(0, b"to b")])

    run(work)


def test_whose_answer_had_no_room_beside_the_others_is_asked_for_again() -> None:
    async def work(store: Store, add: Callable[..., asyncio.Future[Outcome]]) -> None:
        answers = [add(b"a"), add(b"b"), add(b"c")]
        await turn()
        store.answer(0, most=1)
        assert await answers[0] == Answered(7, [(0, b"to a")])
        await turn()
        assert store.asked[1:] == [([b"b", b"c"], b"")]
        store.answer(1)
        assert await answers[2] == Answered(7, [(0, b"to c")])

    run(work)
