"""What watches make of long changes, and of many watchers, takes many turns of the loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.machine.kv import retention
from raftd.machine.kv.store import KvStore
from raftd.machine.pieces import at_once
from raftd.rpc.etcd import one_watcher
from raftd.rpc.etcd.calls import ANYBODY, Caller
from raftd.rpc.etcd.gateway import reply
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.long_answers import TURN_SECONDS, Bench, Shares
from raftd.rpc.etcd.one_watcher import WatchLimits, WatchRights
from raftd.rpc.etcd.watch import CLOSED_AT_ONCE, LeaderLooks, WatchService
from raftd.rpc.etcd.watcher import BYTES_MAX, EVENTS_MAX, StreamWatchers
from raftd.wire import kv, leases, txn
from tests.rpc.fakes import FakeNode

KEYS = 3_000
WAIT = 30.0


class Store(KvStore):
    def __init__(self, keys: int = KEYS) -> None:
        super().__init__()
        for number in range(keys):
            self.do(kv.encode_put(b"k%05d" % number, b"v"))

    def do(self, command: bytes) -> None:
        self.apply(command)
        if (left := self.on_applied(1)) is not None:
            at_once(left)

    def delete_all(self) -> int:
        """The revision of it."""
        self.do(txn.encode_txn(txn.Txn((), (txn.DeleteOp(b"k", b"l"),))))
        return self.revision


def stream_of(store: KvStore, bench: Bench | None = None) -> StreamWatchers:
    hub = store.watches
    headers = Headers(FakeNode("n1"))
    return StreamWatchers(hub, lambda: hub.revision, headers, WatchRights(), WatchLimits(), bench)


def created(stream: StreamWatchers, **fields: Any) -> None:
    create = pb.WatchCreateRequest(**{"key": b"k", "range_end": b"l", **fields})
    stream.on_request(pb.WatchRequest(create_request=create))
    assert all(answer.created for answer in stream.answers())


def sent(answer: Any) -> pb.WatchResponse:
    return pb.WatchResponse.FromString(answer.SerializeToString())


def worth(step: Any) -> int:
    """Events in it."""
    return len(step.events) if isinstance(step, pb.WatchResponse) else 0


def test_events_of_one_revision_come_in_one_answer_that_is_made_in_many_steps() -> None:
    """The story without it: a watcher of 300,000 keys that one command deleted held the network
    thread for 1.3 s while its answer was made.
    """
    store = Store()
    stream = stream_of(store)
    created(stream, prev_kv=True)
    revision = store.delete_all()
    store.do(kv.encode_put(b"k", b""))
    steps = list(stream.steps())
    assert len(steps) > KEYS // EVENTS_MAX
    whole, last = (sent(answer) for answer in steps if answer is not None)
    keys = [event.kv.key for event in whole.events]
    assert keys == [b"k%05d" % number for number in range(KEYS)]
    assert {event.kv.mod_revision for event in whole.events} == {revision}
    assert {event.prev_kv.value for event in whole.events} == {b"v"}
    assert (whole.header.revision, whole.fragment) == (revision, False)
    assert ([event.kv.key for event in last.events], last.watch_id) == ([b"k"], 0)


def test_who_takes_fragments_gets_each_at_once() -> None:
    store = Store()
    stream = stream_of(store)
    created(stream, fragment=True)
    revision = store.delete_all()
    answers = list(stream.answers())
    assert all(worth(answer) <= EVENTS_MAX for answer in answers)
    assert [answer.fragment for answer in answers] == [True] * (len(answers) - 1) + [False]
    assert sum(map(worth, answers)) == KEYS
    assert {answer.header.revision for answer in answers} == {revision}


def test_large_values_come_some_at_a_time() -> None:
    store, value = Store(0), bytes(20_000)
    for number in range(100):
        store.do(kv.encode_put(b"k%05d" % number, value))
    stream = stream_of(store)
    create = pb.WatchCreateRequest(key=b"k", range_end=b"l", start_revision=2)
    stream.on_request(pb.WatchRequest(create_request=create))
    answers = list(stream.answers())
    assert sum(map(worth, answers)) == 100
    assert max(answer.ByteSize() for answer in answers) <= BYTES_MAX + 2 * len(value) <= 200_000


def test_the_gateway_writes_it_as_any_other_answer() -> None:
    store = Store()
    stream = stream_of(store)
    created(stream)
    store.delete_all()
    (answer,) = stream.answers()
    written = json.loads(b"".join(reply.result_of(answer)))
    assert written == json.loads(b"".join(reply.result_of(sent(answer))))
    assert len(written["result"]["events"]) == KEYS


def test_one_long_answer_is_made_at_a_time_and_its_end_lets_the_next_begin() -> None:
    """However many streams wait for one: each may have as many bytes as all that waits unread."""
    store, bench = Store(), Bench()
    streams = [stream_of(store, bench) for _ in range(3)]
    for stream in streams:
        created(stream)
    store.delete_all()
    first, second, third = (cast(Generator[Any, None, None], stream.steps()) for stream in streams)
    assert next(first) is None
    assert [next(second) for _ in range(20)] == [None] * 20
    streams[0].on_request(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=0)))
    assert [answer.canceled for answer in first if answer is not None] == [True]
    assert [len(sent(answer).events) for answer in second if answer is not None] == [KEYS]
    next(third)
    third.close()
    assert bench.take(object()), "whose stream ends holds up nobody"


@pytest.mark.parametrize("held", [0, 1 << 20])
@pytest.mark.parametrize("fragment", [False, True])
def test_a_compaction_in_the_middle_ends_the_watcher_only_if_too_much_is_held(
    fragment: bool, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "HELD_BYTES_MAX", held)
    store = Store()
    stream = stream_of(store)
    created(stream, fragment=fragment)
    store.delete_all()
    steps = stream.steps()
    heard = [next(steps)]
    for _ in range(600):
        store.do(kv.encode_put(b"m", b""))
    store.do(leases.encode_compact(store.revision))
    heard += steps
    told = [answer for answer in heard if answer is not None]
    if held:
        assert sum(len(sent(answer).events) for answer in told) == KEYS
        assert not any(answer.canceled for answer in map(sent, told))
        return
    assert (told[-1].canceled, told[-1].compact_revision) == (True, store.revision)
    assert all(answer.fragment for answer in told[:-1])
    assert bool(told[:-1]) is fragment


def test_what_no_answer_can_hold_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_watcher, "LONG_BYTES_MAX", 20_000)
    monkeypatch.setattr("raftd.rpc.etcd.watcher.LONG_BYTES_MAX", 20_000)
    store = Store()
    stream = stream_of(store)
    created(stream)
    store.delete_all()
    (ended,) = stream.answers()
    assert ended.canceled
    assert "watch with `fragment`" in ended.cancel_reason
    assert not len(store.watches)


IN_A_TURN = 20


class Cpu:
    """Each look at it is so many seconds after the last one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


class Talk:
    """A caller who says what is in `requests`, then nothing, and reads all at once."""

    def __init__(self, *requests: pb.WatchRequest) -> None:
        self.caller: Caller = ANYBODY
        self.requests = list(requests)
        self.got: list[Any] = []
        self.told = asyncio.Event()

    async def receive(self) -> Any:
        if self.requests:
            return self.requests.pop(0)
        return await asyncio.get_running_loop().create_future()

    async def send(self, answer: Any) -> None:
        self.got.append(answer)
        self.told.set()

    async def wait(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not done():
                self.told.clear()
                await self.told.wait()


def watch(**fields: Any) -> pb.WatchRequest:
    return pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k00001", **fields))


def with_streams(count: int, watchers: int, work: Callable[..., Awaitable[None]]) -> None:
    """`work` with a store of ten keys, and streams that have all been told `created`."""

    async def main() -> None:
        store = Store(10)
        hub = store.watches
        service = WatchService(
            hub,
            lambda: hub.revision,
            Headers(FakeNode("n1")),
            LeaderLooks(lambda: True, 1.0),
            shares=Shares(Cpu(TURN_SECONDS / IN_A_TURN)),
        )
        talks = [Talk(*[watch() for _ in range(watchers)]) for _ in range(count)]
        tasks = [asyncio.ensure_future(service.Watch(talk)) for talk in talks]
        for talk in talks:
            await talk.wait(lambda talk=talk: len(talk.got) == watchers)  # type: ignore[misc]
        await work(store, talks, tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize(("streams", "watchers"), [(1, 2_000), (200, 10)])
def test_many_watchers_of_one_key_are_told_some_in_a_turn(streams: int, watchers: int) -> None:
    """The story without it: a put under a key that ten thousand watch made ten thousand answers in
    one turn of the loop, whether on one stream or on many.
    """

    async def work(store: Store, talks: list[Talk], _: object) -> None:
        def told() -> int:
            return sum(len(talk.got) for talk in talks) - streams * watchers

        store.do(kv.encode_put(b"k00001", b"x"))
        most = before = 0
        async with asyncio.timeout(WAIT):
            while told() < streams * watchers:
                await asyncio.sleep(0)
                most, before = max(most, told() - before), told()
        assert most <= IN_A_TURN + 1

    with_streams(streams, watchers, work)


def test_the_watchers_of_streams_that_end_go_some_in_a_turn() -> None:
    async def work(store: Store, _: object, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        most, before = 0, len(store.watches)
        async with asyncio.timeout(WAIT):
            while len(store.watches):
                await asyncio.sleep(0)
                most, before = max(most, before - len(store.watches)), len(store.watches)
        assert most <= 2 * CLOSED_AT_ONCE

    with_streams(4, 1_500, work)


@pytest.mark.parametrize("step_seconds", [TURN_SECONDS / 4, 3 * TURN_SECONDS])
def test_what_streams_do_in_a_turn_is_measured(step_seconds: float) -> None:
    """The story without it: events were counted, so that each of two thousand watchers that read
    ten kilobytes an event made a turn of the loop last 20 ms. A put passes through many turns.
    """

    async def main() -> None:
        worked, done = 0.0, 0

        async def stream() -> None:
            nonlocal done, worked
            while True:
                await shares.turn()
                done += 1
                worked += step_seconds

        shares = Shares(lambda: worked)
        tasks = [asyncio.ensure_future(stream()) for _ in range(50)]
        for _ in range(100):
            before = worked
            await asyncio.sleep(0)
            assert worked - before <= TURN_SECONDS + step_seconds
        tasks[7].cancel()
        await asyncio.sleep(0)
        before = done
        for _ in range(100):
            await asyncio.sleep(0)
        assert done - before >= 50, "who has gone holds up nobody"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
