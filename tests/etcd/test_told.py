"""What callers were told at a member that does not lead, and it has not applied yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.machine.kv.auth import Auth
from raftd.node.outcomes import Answered, Applied, Done
from raftd.rpc.clients.callers import Callers
from raftd.rpc.clients.passwords import Passwords
from raftd.rpc.etcd import reads
from raftd.rpc.etcd.auth import AuthService
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import ANYBODY
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.watch import LeaderLooks, WatchService
from raftd.wire import kv
from raftd.wire.auth import encode_auth_answer
from raftd.wire.batch import encode_results
from tests.etcd.test_backend import NOT_LEADER, Leader, run
from tests.etcd.test_watch_in_turns import WAIT, Store, Talk, watch
from tests.rpc.fakes import FakeNode, until


def follower_that_answered(node: FakeNode, leader: Leader) -> list[bool]:
    """It has applied 7 entries, and told that the 9th is done. Returns what is asked of it then:
    whether a stale answer is enough.
    """
    node.on_submit = lambda batch, done: done(NOT_LEADER)
    leader.outcomes = [Applied(9, 2, encode_results([(0, b"did x")]))]
    asked: list[bool] = []
    answer_at_once = node.on_query

    def on_query(queries: Sequence[bytes], stale: bool, done: Done) -> None:
        asked.append(stale)
        answer_at_once(queries, stale, done)

    node.on_query = on_query
    return asked


def test_a_serializable_read_waits_for_what_was_answered_here() -> None:
    """The story without it: at a follower a put was answered, and a look at its own state right
    after that knew nothing of it, nor a watch from now on, nor who was a user.
    """

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        asked = follower_that_answered(node, leader)
        assert await backend.read(b"a", True) == b"saw a"
        await backend.write(b"x")
        assert await backend.read(b"a", True) == b"saw a"
        assert asked == [True, False, True]
        assert await backend.read(b"a", True) == b"saw a"
        assert asked[3:] == [True], "once is enough"

    run(test)


def test_without_an_answer_of_the_leader_a_serializable_read_goes_by_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reads, "TOLD_SECONDS", 0.01)

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        asked = follower_that_answered(node, leader)
        answered = node.on_query

        def on_query(queries: Sequence[bytes], stale: bool, done: Done) -> None:
            if stale:
                answered(queries, stale, done)

        node.on_query = on_query
        for _ in range(2):
            await backend.write(b"x")
            assert await backend.read(b"a", True) == b"saw a"
            leader.outcomes = [Applied(9, 2, encode_results([(0, b"did x")]))]
        assert asked == [True, True]

    run(test)


def test_all_who_look_wait_for_one_answer_and_the_next_message_may_bring_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While others write it costs nobody a message."""

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        asked = follower_that_answered(node, leader)
        monkeypatch.setattr(reads, "NEXT_SECONDS", 60.0)
        await backend.write(b"x")
        looking = [asyncio.ensure_future(backend.read(b"a", True)) for _ in range(3)]
        await asyncio.sleep(0)
        looking[0].cancel()  # one who goes takes nobody along
        looks, before = iter(range(3)), node.state()
        done = replace(before, applied_index=9)
        monkeypatch.setattr(node, "state", lambda: done if next(looks, None) is None else before)
        assert await asyncio.gather(*looking[1:]) == [b"saw a"] * 2
        assert False not in asked

    run(test)


def test_nobody_waits_at_a_member_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "NEXT_SECONDS", 60.0)

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        asked = follower_that_answered(node, leader)
        await backend.write(b"x")
        looking = asyncio.ensure_future(backend.read(b"a", True))
        await asyncio.sleep(0)
        backend.close()
        await looking
        assert asked == [True]

    run(test)


def test_what_is_applied_here_by_then_is_not_waited_for() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        asked = follower_that_answered(node, leader)
        leader.outcomes = [Applied(7, 2, encode_results([(0, b"did x")]))]
        await backend.write(b"x")
        await backend.read(b"a", True)
        assert asked == [True]

    run(test)


def test_from_now_on_is_after_what_was_answered_here() -> None:
    """The story without it: at a member that does not lead somebody put a key, watched it from now
    on, and was told of their own put.
    """

    async def main() -> None:
        store = Store(10)
        hub, headers = store.watches, Headers(FakeNode("n1"))

        asked, applied = asyncio.Event(), asyncio.Event()

        async def seen() -> None:
            asked.set()
            await applied.wait()

        service = WatchService(
            hub, lambda: hub.revision, headers, LeaderLooks(lambda: True, 1.0), seen=seen
        )
        talk = Talk(watch())
        watching = asyncio.ensure_future(service.Watch(talk))
        async with asyncio.timeout(WAIT):
            await asked.wait()
        store.do(kv.encode_put(b"k00001", b"answered before"))
        applied.set()
        await talk.wait(lambda: len(talk.got) == 1)
        store.do(kv.encode_put(b"k00001", b"x"))
        await talk.wait(lambda: len(talk.got) == 2)
        assert [event.kv.value for event in talk.got[1].events] == [b"x"]
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(main())


def test_a_change_of_users_is_answered_once_the_door_here_goes_by_it() -> None:
    """The story without it: a follower answered `auth enable`, and went on serving those without a
    name until it heard of it itself.
    """

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        seen: list[tuple[bool, Done]] = []
        node.on_submit = lambda batch, done: done(NOT_LEADER)
        leader.outcomes = [Applied(9, 3, encode_results([(0, encode_auth_answer(5, 6))]))]
        node.on_query = lambda queries, stale, done: seen.append((stale, done))
        headers, auth = Headers(node), Auth()
        callers, passwords = Callers(auth), Passwords()
        service = AuthService(backend, headers, auth, callers, passwords, lambda: True)
        asked = asyncio.ensure_future(service.RoleAdd(pb.AuthRoleAddRequest(name="r"), ANYBODY))
        await until(lambda: seen, "the look at what is committed")
        assert not asked.done()
        ((stale, answer),) = seen
        assert not stale
        answer(Answered(9, [(0, b"")]))
        assert (await asked).header.revision == 5

    run(test)
