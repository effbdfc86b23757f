"""Streams that are left half-way: cancelled, forgotten, forked, closed, never begun."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from raftd.client import AsyncClient, Client, Invalid, Unavailable
from raftd.client import operations as ops
from raftd.client.delivery.engine import Engine
from raftd.client.recipes.feed import EngineEnded, ReadingFeed
from raftd.client.recipes.locks import Leader
from raftd.wire import batch
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster
from tests.client.test_watch import begun, some, told

Connect = Callable[..., Client]
SECONDS = 30.0
CANDIDATE = "e/abcdefabcdef"


def engine_of(client: Client | AsyncClient) -> Engine:
    engine = client._callers._engine
    assert engine is not None
    return engine


def nothing_lives_on(client: Client | AsyncClient) -> None:
    wait_until(lambda: not engine_of(client).residents, "nothing to live on the client's loop")


# -- never begun ------------------------------------------------------------------------------


def test_a_with_block_that_cannot_begin_leaves_nothing_behind(
    cluster: FakeCluster, connect: Connect
) -> None:
    """A program that tries again and again had one more task that looks for a node each time."""
    client = connect(cluster, timeout=0.2)
    for node in cluster.nodes.values():
        node.stop()
    with pytest.raises(Unavailable), client.watch("a"):
        pass
    nothing_lives_on(client)
    watch = client.watch("a")
    with pytest.raises(Unavailable):
        watch.begin(0.05)
    nothing_lives_on(client)
    for node in cluster.nodes.values():
        node.start()
    watch.begin(SECONDS)
    connect(cluster).put("a", "1")
    assert told(some(watch, 1)) == [(b"a", b"1", 2, False)]


def test_an_asyncio_begin_that_is_cancelled_leaves_nothing_behind(cluster: FakeCluster) -> None:
    for node in cluster.nodes.values():
        node.stop()

    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1), client.watch("a"):
                    pass
            deadline = time.monotonic() + SECONDS
            while engine_of(client).residents:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)

    asyncio.run(main())


def test_an_asyncio_watch_that_is_closed_while_it_begins(cluster: FakeCluster) -> None:
    """It said that the client was closed."""
    for node in cluster.nodes.values():
        node.stop()

    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            watch = client.watch("a")
            beginning = asyncio.ensure_future(watch.begin(SECONDS))
            while not engine_of(client).residents:
                await asyncio.sleep(0.005)
            await watch.close()
            await beginning
            assert await watch.take(SECONDS) == []
            await watch.begin()
            assert not engine_of(client).residents, "closed is closed"

    asyncio.run(main())


# -- left half-way ----------------------------------------------------------------------------


def test_a_stream_that_is_forgotten_is_closed(cluster: FakeCluster, connect: Connect) -> None:
    """`for change in client.watch(...): break` kept a stream at a node until the program's end."""
    client = connect(cluster)
    client.put("a", "1")
    for change in client.watch("a", start_revision=2):
        assert change
        break
    leaders = client.election("e").observe()
    assert leaders.take(SECONDS) == [None]
    assert leaders.take(0.01) == []
    del leaders, change
    gc.collect()
    nothing_lives_on(client)


def test_an_event_that_came_as_its_taker_was_cancelled_is_not_lost(
    cluster: FakeCluster, beside: Client
) -> None:
    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            watch = await client.watch("a").begin()
            for number in (1, 2):
                taking = asyncio.ensure_future(watch.take(None) if number == 1 else anext(watch))
                await asyncio.sleep(0)
                # This loop stands still while the other one hands the event over.
                revision = beside.put("a", str(number)).revision
                wait_until(partial(lambda at: watch._watcher.revision == at, revision), "it")
                taking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await taking
                (event,) = await watch.take(SECONDS)
                assert (event.revision, event.value) == (revision, b"%d" % number)

    asyncio.run(main())


def test_what_was_read_and_not_taken_survives_a_fork(
    cluster: FakeCluster, connect: Connect
) -> None:
    """Before a fork the client is put down; the next call is on a new connection."""
    client = connect(cluster)
    watch = client.watch("a").begin()
    client.put("a", "1")
    reading = watch._watcher._reading
    assert reading is not None
    wait_until(reading.done, "the event to be read")
    assert client._callers.put_down(time.monotonic() + SECONDS)
    client.put("a", "2")
    assert told(some(watch, 2)) == [(b"a", b"1", 2, False), (b"a", b"2", 3, False)]


class Numbers(ReadingFeed[int]):
    def __init__(self) -> None:
        super().__init__()
        self.next = self.handed = 0

    async def _read(self, engine: Engine) -> list[int]:
        self.next += 1
        return [self.next]

    def _hand_over(self, items: list[int]) -> None:
        self.handed = self.next

    def _rewind(self) -> None:
        self.next = self.handed


def test_what_was_read_as_the_engine_ended_comes_once() -> None:
    """A fork between the reading and its taker's turn: it was handed over and read again."""

    async def main() -> None:
        first: Any = SimpleNamespace(residents=set())
        second: Any = SimpleNamespace(residents=set())
        feed = Numbers()
        assert await feed.take(first, None) == [1]
        taking = asyncio.ensure_future(feed.take(first, None))
        await asyncio.sleep(0)
        assert feed._reading is not None
        feed._reading.add_done_callback(lambda _: feed.close())
        with pytest.raises(EngineEnded):
            await taking
        assert await feed.take(second, None) == [2]
        both = await asyncio.gather(feed.take(second, None), feed.take(second, None))
        assert sorted(both) == [[3], [4]], "two that wait have one each"

    asyncio.run(main())


# -- who leads --------------------------------------------------------------------------------


def test_observing_waits_for_another_leader(cluster: FakeCluster, connect: Connect) -> None:
    """Nothing is what `take(None)` gives when it is closed, not when a candidate joins."""
    client = connect(cluster)
    election = client.election("e")
    first = election.campaign("first")
    leaders = election.observe()
    assert [leader and leader.value for leader in leaders.take(SECONDS)] == [b"first"]
    assert leaders.take(0.01) == []
    begun(cluster)
    client.put(CANDIDATE, "second")
    client.put(CANDIDATE, "still")
    seen: list[Leader | None] = []
    waiting = threading.Thread(target=lambda: seen.extend(leaders.take(None)))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    first.resign()
    waiting.join(SECONDS)
    assert [leader and leader.value for leader in seen] == [b"still"]


def test_observing_without_a_leader_of_the_cluster_takes_no_longer_than_asked(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(cluster)
    cluster.lead("nobody")
    leaders = client.election("e").observe()
    began = time.monotonic()
    assert leaders.take(0.2) == []
    assert time.monotonic() - began < 4, "the look at who leads may take 5 s"
    cluster.lead("n2")
    assert leaders.take(SECONDS) == [None], "and it goes on meanwhile"


def test_a_change_of_leader_is_not_lost_by_an_observer_who_was_cancelled(
    cluster: FakeCluster,
) -> None:
    """It had heard that something has changed, and could not ask what."""

    async def main() -> None:
        async with (
            AsyncClient(cluster.endpoints, random=Random(7), attempt_timeout=0.2) as client,
            client.election("e").observe() as leaders,
        ):
            assert await anext(leaders) is None
            assert await leaders.take(0.01) == []
            while not any(node.watches for node in cluster.nodes.values()):
                await asyncio.sleep(0.005)
            cluster.lead("nobody")
            put = ops.put(CANDIDATE, "me").payload
            cluster.apply(batch.encode_batch(b"", 0, [(0, put)]))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(leaders), 0.2)
            cluster.lead("n1")
            (leader,) = await leaders.take(SECONDS)
            assert leader is not None
            assert leader.value == b"me"

    asyncio.run(main())


# -- what is no revision, what is no timeout -----------------------------------------------------


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), 1e12])
def test_a_timeout_that_is_none(cluster: FakeCluster, connect: Connect, timeout: float) -> None:
    watch = connect(cluster).watch("a")
    with pytest.raises(Invalid, match="timeout"):
        watch.take(timeout)
    with pytest.raises(Invalid, match="timeout"):
        watch.begin(timeout)


def test_a_start_that_is_no_revision(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    for start in (-1, None, "7", 1 << 63):
        with pytest.raises(Invalid, match="start_revision"):
            client.watch("a", start_revision=start)  # type: ignore[arg-type]
