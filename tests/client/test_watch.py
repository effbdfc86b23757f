"""Watching: every change once, in order, through any fault."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from random import Random

import pytest

from raftd.client import AsyncClient, Client, Compacted, Invalid, NotDone, Unavailable
from raftd.client.faces.streams import Watch
from raftd.client.recipes.watch import WatchEvent
from tests.client.conftest import wait_until
from tests.client.fake_server import FakeCluster
from tests.client.faults import Fault

Connect = Callable[..., Client]
SECONDS = 30.0


def begun(cluster: FakeCluster, count: int = 1) -> None:
    """Wait until so many watches have been begun, over all nodes."""
    nodes = cluster.nodes.values()
    wait_until(lambda: sum(len(node.watches) for node in nodes) >= count, f"{count} watches")


def some(watch: Watch, count: int) -> list[WatchEvent]:
    found: list[WatchEvent] = []
    while len(found) < count:
        items = watch.take(SECONDS)
        assert items, f"waited {SECONDS} s: {found}"
        found += items
    return found


def told(events: list[WatchEvent]) -> list[tuple[bytes, bytes, int, bool]]:
    return [(event.key, event.value, event.revision, event.deleted) for event in events]


def test_what_a_watcher_hears(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    client.put("a", "old")
    with client.watch("a") as watch:
        assert watch.take(0.05) == [], "from now on"
        begun(cluster)
        client.put("ab", "another key")
        client.put("a", "new")
        client.delete("a")
        put, gone = some(watch, 2)
        assert told([put, gone]) == [(b"a", b"new", 4, False), (b"a", b"", 5, True)]
        assert bool(put)
        assert not gone, "falsy: there is nothing any more"
        assert put.version == 2
        assert watch.revision == 5


def test_what_was_read_and_not_taken_is_not_handed_over(
    cluster: FakeCluster, connect: Connect
) -> None:
    """Who goes on elsewhere from `revision` + 1 would lose it."""
    client = connect(cluster)
    with client.watch("a", start_revision=2) as watch:
        assert watch.take(0.05) == []
        begun(cluster)
        assert watch.revision == 1
        client.put("a", "x")
        reading = watch._watcher._reading
        assert reading is not None
        wait_until(reading.done, "the event to be read")
        assert watch.revision == 1
        assert told(some(watch, 1)) == [(b"a", b"x", 2, False)]
        assert watch.revision == 2


def test_a_prefix_from_the_past_with_what_was_there_before(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(cluster)
    client.put("k/1", "one")
    client.batch([("k/1", "uno"), ("k/2", "dos"), ("l", "no")])
    with client.watch(prefix="k/", start_revision=2, previous=True) as watch:
        events = some(watch, 3)
        assert [(event.key, event.revision) for event in events] == [
            (b"k/1", 2),
            (b"k/1", 3),
            (b"k/2", 3),
        ]
        assert [event.previous and event.previous.value for event in events] == [None, b"one", None]
    with client.watch(prefix="", start_revision=3) as everything:
        assert len(some(everything, 3)) == 3


def test_iterating_ends_when_another_thread_closes_it(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(cluster)
    watch = client.watch("a")
    seen: list[bytes] = []
    thread = threading.Thread(target=lambda: seen.extend(event.value for event in watch))
    thread.start()
    begun(cluster)
    client.put("a", "1")
    wait_until(lambda: seen == [b"1"], "the event")
    watch.close()
    thread.join(5)
    assert not thread.is_alive()
    assert watch.take(1) == []


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER])
def test_a_stream_that_breaks_loses_and_repeats_nothing(
    cluster: FakeCluster, connect: Connect, fault: Fault
) -> None:
    """DROP_AFTER: in the middle of a revision that comes in parts."""
    client = connect(cluster)
    with client.watch(prefix="k") as watch:
        assert watch.take(0.01) == []
        begun(cluster)
        for node in cluster.nodes.values():
            node.watch_faults.extend([fault] * 2)
        for number in range(9):
            client.batch([(f"k{number}", "x"), (f"k{number}/b", "y")])
        events = some(watch, 18)
    assert [event.revision for event in events] == sorted(list(range(2, 11)) * 2)
    assert len({event.key for event in events}) == 18


def test_nodes_that_go_and_come(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    with client.watch(prefix="k") as watch:
        assert watch.take(0.01) == []
        begun(cluster)
        expected = []
        for turn in range(3):
            stopped = [node for node in cluster.nodes.values() if node.watches][:2]
            for node in stopped:
                node.watches.clear()
                if not node.leads:
                    node.stop()
            client.put(f"k{turn}", "x")
            expected.append(b"k%d" % turn)
            for node in stopped:
                if not node.leads:
                    node.start()
        assert [event.key for event in some(watch, 3)] == expected


def test_the_watched_node_stops(cluster: FakeCluster, connect: Connect) -> None:
    """Begun from now on: what was put before the next node was asked is not lost."""
    client = connect(cluster)
    with client.watch("a") as watch:
        assert watch.take(0.01) == []
        begun(cluster)
        node = next(node for node in cluster.nodes.values() if node.watches)
        other = next(name for name in cluster.nodes if name != node.id)
        cluster.lead(other)
        node.stop()
        client.put("a", "meanwhile")
        assert told(some(watch, 1)) == [(b"a", b"meanwhile", 2, False)]


def test_what_is_compacted_is_said(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    for number in range(5):
        client.put("a", str(number))
    client.compact(5)
    with client.watch("a", start_revision=2) as watch, pytest.raises(Compacted) as caught:
        watch.take(SECONDS)
    assert caught.value.oldest == 5
    with client.watch("a", start_revision=caught.value.oldest) as watch:
        assert [event.value for event in some(watch, 2)] == [b"3", b"4"]


def test_arguments_and_the_end(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    with pytest.raises(Invalid, match="give a key, or prefix="):
        client.watch()
    with pytest.raises(Invalid, match="give a key, or prefix="):
        client.watch("a", prefix="b")
    with pytest.raises(Invalid, match="the key is empty"):
        client.watch("")
    watch = client.watch("a")
    assert watch.take(0.01) == []
    client.close()
    with pytest.raises(NotDone, match="closed"):
        watch.take(1)


def test_a_server_without_the_service_is_said(cluster: FakeCluster, connect: Connect) -> None:
    for node in cluster.nodes.values():
        node.can_watch = False
    with pytest.raises(Invalid, match="is this the client port of a raftd"):
        connect(cluster).watch("a").take(SECONDS)


def test_asyncio(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with AsyncClient(cluster.endpoints, random=Random(7)) as client:
            async with client.watch(prefix="k") as watch:
                reading = asyncio.ensure_future(anext(watch))
                while not any(node.watches for node in cluster.nodes.values()):
                    await asyncio.sleep(0.005)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(reading), 0.01)
                await client.put("k1", "x")
                assert (await asyncio.wait_for(reading, SECONDS)).key == b"k1"
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(watch), 0.01)
                await client.put("k2", "x")
                assert told(await watch.take(SECONDS)) == [(b"k2", b"x", 3, False)]
                assert await watch.take(0.01) == []
                assert watch.revision == 3
            assert [event async for event in watch] == []

    asyncio.run(main())


@pytest.mark.parametrize("broken", [0, 3])
def test_a_with_block_misses_nothing_that_comes_after_its_beginning(
    cluster: FakeCluster, connect: Connect, broken: int
) -> None:
    """The story without it: a worker watches, finds no job, and sleeps beside the next one."""
    client = connect(cluster)
    for node in cluster.nodes.values():
        node.watch_faults.extend([Fault.DROP_BEFORE] * broken)
    with client.watch("a") as watch:
        client.put("a", "1")
        assert told(some(watch, 1)) == [(b"a", b"1", 2, False)]
    begun_without = client.watch("a").begin()
    client.put("a", "2")
    assert told(some(begun_without, 1)) == [(b"a", b"2", 3, False)]


def test_a_watch_that_no_node_takes_says_so(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(cluster)
    for node in cluster.nodes.values():
        node.stop()
    with pytest.raises(
        Unavailable, match=r"before any node could be asked to watch; last: 127.*cannot connect"
    ):
        client.watch("a").begin(timeout=0.2)
    client.close()
    with pytest.raises(NotDone, match="closed"):
        client.watch("a").begin()


def test_the_asyncio_face_begins_too(cluster: FakeCluster) -> None:
    async def work() -> list[WatchEvent]:
        async with (
            AsyncClient(cluster.endpoints, random=Random(7)) as client,
            client.watch("a") as watch,
        ):
            await client.put("a", "1")
            return await watch.take(SECONDS)

    assert told(asyncio.run(work())) == [(b"a", b"1", 2, False)]
