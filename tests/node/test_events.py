"""The ring of events: any thread reads, at its own pace, and misses nothing that is still there."""

from __future__ import annotations

import asyncio
import threading

import pytest

from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Role
from raftd.node import events
from raftd.node.events import EventRing
from tests.node.alone import Clock


def event(number: int) -> Event:
    return Event(EventKind.ROLE, number, Role.LEADER, None, str(number), f"n{number}")


def test_readers_in_many_threads_see_all_in_order() -> None:
    ring = EventRing(Clock())
    count = 1000
    seen: list[list[int]] = [[] for _ in range(4)]

    def read(into: list[int]) -> None:
        news = threading.Event()
        reader = ring.read(0, news.set)
        while len(into) < count:
            found = reader.take()
            if found is None:
                assert news.wait(10)
                news.clear()
            else:
                into.append(found[0])
        reader.close()

    threads = [threading.Thread(target=read, args=(into,)) for into in seen]
    for thread in threads:
        thread.start()
    for number in range(count):
        ring.add(event(number))
    for thread in threads:
        thread.join(20)
    assert all(numbers == list(range(1, count + 1)) for numbers in seen)
    assert not ring._readers


def test_a_reader_that_is_too_slow_sees_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENTS_MAX", 8)
    ring = EventRing(Clock())
    reader = ring.read(0, lambda: None)
    for number in range(20):
        ring.add(event(number))
    numbers = []
    while (found := reader.take()) is not None:
        numbers.append(found[0])
    assert numbers == list(range(13, 21))


def test_a_feed_is_woken_from_another_thread() -> None:
    async def main() -> None:
        ring = EventRing(Clock())
        feed = ring.subscribe(from_start=False)
        following = asyncio.ensure_future(feed.next())
        await asyncio.sleep(0)
        thread = threading.Thread(target=ring.add, args=(event(1),))
        thread.start()
        assert (await asyncio.wait_for(following, 10))[0] == 1
        thread.join()
        feed.close()

    asyncio.run(main(), debug=True)  # it tells when a loop is touched from another thread
