"""A node whose disk is full, whose callers ask for too much, or that stops in the middle of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from raftd.core.messages import SnapshotRequest
from raftd.core.types import Configuration, SnapshotMeta
from raftd.node import digest_calls, snapshot_policy
from raftd.node.outcomes import Answered, Applied, NodeStopped, Outcome, Refusal, Refused, Unknown
from raftd.node.settings import NodeSettings
from raftd.node.wal_worker import WalWorker
from tests.node.alone import Diary, plain, running
from tests.storage.memory_fs import MemoryFileSystem, Operation


@pytest.mark.parametrize("room", [0, 300])
def test_no_room_for_a_snapshot_is_told_and_tried_again(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing more is applied: a full log takes no proposals that would ask for one."""
    monkeypatch.setattr(snapshot_policy, "RETRY_SECONDS", 0.05)

    async def go() -> None:
        fs = MemoryFileSystem()
        diary = Diary(quick=True)
        async with running(diary, fs) as bench:
            node = bench.node
            await bench.submit(plain(b"x" * 2000))
            used = sum(map(len, fs.files().values()))
            fs.capacity_bytes = used + room
            asked: list[Outcome] = []
            node.snapshot_now(asked.append)
            await bench.until(lambda: asked)
            assert isinstance(asked[0], Refused)
            assert "could not be written" in asked[0].message
            await bench.until(lambda: diary.events("snapshot_failed"))
            node._snapshot_policy._bytes = 1 << 40  # it is due, and was in vain
            fs.capacity_bytes = None
            await bench.until(lambda: node.state().snapshot_index > 0)
            assert not bench.fatal.reports

    asyncio.run(go())


def test_a_log_at_its_memory_limit_makes_room_by_itself() -> None:
    """Whatever is set for snapshots: no proposal comes in any more that could make one due."""

    async def go() -> None:
        async with running(Diary(quick=True), MemoryFileSystem()) as bench:
            node = bench.node
            settings = replace(
                NodeSettings(),
                log_memory_limit_bytes=20_000,
                snapshot_entries=1 << 40,
                snapshot_bytes=1 << 40,
            )
            node._snapshot_policy._settings = node._clients._queue._settings = settings
            for _ in range(3):
                outcomes: list[Outcome] = []
                for _ in range(50):
                    node.submit(plain(b"x" * 1000), outcomes.append)
                    await asyncio.sleep(0)
                await bench.until(lambda done=outcomes: len(done) == 50)  # type: ignore[misc]
                assert any(isinstance(outcome, Applied) for outcome in outcomes)
                await bench.until(lambda: node.state().log_bytes < 20_000, 3)
            assert node.state().snapshot_index > 0

    asyncio.run(go())


def test_a_chunk_without_room_starts_the_transfer_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftd.node.snapshot_worker.NO_ROOM_RETRY_SECONDS", 0.001)

    async def go() -> None:
        fs = MemoryFileSystem()
        async with running(Diary(quick=True), fs) as bench:
            fs.capacity_bytes = sum(map(len, fs.files().values()))
            meta = SnapshotMeta(1000, 1, Configuration(("n1",)), size_bytes=100_000, crc=1)
            request = SnapshotRequest(1, "n2", meta, 0, data=b"x" * 50_000)
            stored: list[int] = []
            received: list[SnapshotMeta] = []
            bench.node._snapshot_worker.store_chunk(request, stored.append, received.append)
            await bench.until(lambda: stored)
            assert stored == [0]
            fs.capacity_bytes = None
            bench.node._snapshot_worker.store_chunk(request, stored.append, received.append)
            await bench.until(lambda: len(stored) == 2)
            # Whole, but not what was announced: once more from the start.
            rest = SnapshotRequest(1, "n2", meta, 50_000, data=b"y" * 50_000)
            bench.node._snapshot_worker.store_chunk(rest, stored.append, received.append)
            await bench.until(lambda: len(stored) == 3)
            assert stored == [0, 50_000, 0]
            assert not received

    asyncio.run(go())


def test_a_chunk_larger_than_announced_ends_nothing() -> None:
    async def go() -> None:
        async with running(Diary(quick=True), MemoryFileSystem()) as bench:
            meta = SnapshotMeta(1000, 1, Configuration(("n1",)), size_bytes=10, crc=1)
            request = SnapshotRequest(1, "n2", meta, 0, data=b"x" * 11)
            stored: list[int] = []
            refused: list[Exception] = []
            snapshot_worker = bench.node._snapshot_worker
            snapshot_worker.store_chunk(request, stored.append, lambda meta: None, refused.append)
            await bench.until(lambda: stored)
            assert stored == [0]
            assert "more than the 10 bytes named" in str(refused[0])

    asyncio.run(go())


def test_why_a_snapshot_is_not_taken_is_told_once() -> None:
    async def go() -> None:
        async with running(Diary(), MemoryFileSystem()) as bench:
            node = bench.node
            feed = node.subscribe(from_start=False)
            meta = SnapshotMeta(1000, 1, Configuration(("n1",)), size_bytes=1 << 62, crc=1)
            request = SnapshotRequest(1, "n2", meta, 0, data=b"x")
            replies: list[object] = []
            bench.node._snapshot_worker.bulk.pause = lambda seconds: None  # type: ignore[method-assign]
            for count in range(1, 4):
                node._snapshot_policy.store_chunk(replies.append, request)
                await bench.until(lambda count=count: len(replies) == count)  # type: ignore[misc]
            _, _, event = await asyncio.wait_for(feed.next(), 10)
            assert event.kind == "snapshot_refused"
            assert "n2 announces a snapshot of 4611686018427387904 bytes" in event.detail
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(feed.next(), 0.05)

    asyncio.run(go())


def test_the_loop_turns_while_a_sync_hangs() -> None:
    """Heartbeats, votes and calls are the loop's work; nothing is acknowledged meanwhile."""

    async def go() -> None:
        fs = MemoryFileSystem()
        async with running(Diary(quick=True), fs) as bench:
            await bench.submit(plain(b"x"))
            hangs, goes_on = threading.Event(), threading.Event()

            def before(operation: Operation) -> None:
                if operation.name == "datasync":
                    hangs.set()
                    assert goes_on.wait(10)

            fs.before = before
            outcomes: list[Outcome] = []
            began = time.monotonic()
            bench.node.submit(plain(b"y"), outcomes.append)
            turns = 0
            while not hangs.is_set() or time.monotonic() - began < 0.2:
                await asyncio.sleep(0.001)
                turns += 1
            state = bench.node.state()
            assert turns > 20
            assert state.durable_index < state.last_index
            assert not outcomes
            fs.before = None
            goes_on.set()
            await bench.until(lambda: outcomes)
            assert isinstance(outcomes[0], Applied)

    asyncio.run(go())


def test_digests_are_bounded() -> None:
    async def go() -> None:
        async with running(Diary(quick=True), MemoryFileSystem()) as bench:
            await bench.submit(plain(b"x"))
            outcomes: list[Outcome] = []
            for _ in range(1000):
                bench.node.digest(outcomes.append)
            await bench.until(lambda: len(outcomes) == 1000)
            done = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
            refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
            assert len(done) >= digest_calls.DIGESTS_MAX
            assert len(done) + len(refused) == 1000
            assert all(outcome.refusal is Refusal.OVERLOADED for outcome in refused)

    asyncio.run(go())


def test_everybody_is_answered_once_when_the_node_stops() -> None:
    """Queries and digests that the machine has not come to, too."""

    async def go() -> None:
        diary = Diary(quick=False)
        gate = threading.Event()
        async with running(diary, MemoryFileSystem()) as bench:
            await bench.submit(plain(b"x"))
            diary.on = lambda what, detail: gate.wait(10) if what == "apply" else None  # type: ignore[assignment]
            node = bench.node
            writes: list[Outcome] = []
            reads: list[Outcome] = []
            others: list[Outcome] = []
            node.submit(plain(b"y"), writes.append)
            await bench.until(lambda: ("apply", b"y") in diary.lines)
            node.submit(plain(b"z"), writes.append)
            for stale in (True, False):
                node.query([b"q"], stale, reads.append)
            await asyncio.sleep(0)
            node.query([b"q"], False, reads.append)
            node.digest(others.append)
            node.snapshot_now(others.append)
            threading.Timer(0.1, gate.set).start()
            assert bench.node.stop()
            await asyncio.sleep(0.05)
            assert len(writes) == 2
            assert all(isinstance(outcome, Applied | Unknown | Refused) for outcome in writes)
            assert len(reads) == 3
            assert len(others) == 2
            assert not bench.fatal.reports

    asyncio.run(go())


def test_a_slow_machine_does_not_collect_queries_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 200

    async def go() -> None:
        diary = Diary(quick=False)
        gate = threading.Event()
        settings = replace(NodeSettings(), pending_queries_max=most)
        async with running(diary, MemoryFileSystem(), settings) as bench:
            await bench.submit(plain(b"x"))
            diary.on = lambda what, detail: gate.wait(10) if what == "apply" else None  # type: ignore[assignment]
            node = bench.node
            node.submit(plain(b"y"), lambda outcome: None)
            await bench.until(lambda: ("apply", b"y") in diary.lines)
            reads: list[Outcome] = []
            for _ in range(most + 100):
                node.query([b"q"], True, reads.append)
            refused = [outcome for outcome in reads if isinstance(outcome, Refused)]
            assert len(refused) >= 100
            assert all(outcome.refusal is Refusal.OVERLOADED for outcome in refused)
            assert {outcome.message for outcome in refused} == {
                f"pending_queries_max ({most}) is reached: try again later"
            }
            gate.set()
            await bench.until(lambda: len(reads) == most + 100)

    asyncio.run(go())


def test_a_long_snapshot_does_not_hold_up_the_end() -> None:
    async def go() -> None:
        class Endless(Diary):
            started = threading.Event()

            def capture(self) -> Iterator[bytes]:
                while True:
                    yield b"more"
                    self.started.set()
                    time.sleep(0.001)

        machine = Endless(quick=True)
        fs = MemoryFileSystem()
        async with running(machine, fs) as bench:
            await bench.submit(plain(b"x"))
            bench.node.snapshot_now(lambda outcome: None)
            await bench.until(machine.started.is_set)
            assert bench.node.stop()
            assert not [name for name in fs.files() if "snap" in name]

    asyncio.run(go())


def test_what_fails_while_effects_are_delivered_stops_the_node() -> None:
    """A write on the network thread, say: whoever called must not take it for his own trouble."""

    async def go() -> None:
        async with running(Diary(quick=True), MemoryFileSystem()) as bench:
            node = bench.node
            outcomes: list[Outcome] = []

            def kick(inline: bool) -> None:
                raise OSError(5, "Input/output error")

            await bench.submit(plain(b"a"))  # so what begins the term is written, too
            await bench.until(lambda: not node._wal.waiting)
            node._wal.kick = kick  # type: ignore[method-assign]
            node.submit(plain(b"x"), outcomes.append)
            for _ in range(5):  # turns of the loop: propose, write, answer
                await asyncio.sleep(0)
            assert [type(outcome) for outcome in outcomes] == [Unknown]
            reports, bench.fatal.reports = bench.fatal.reports, []
            assert [str(error) for _, error in reports] == ["[Errno 5] Input/output error"]
            with pytest.raises(NodeStopped):
                node._driver.enter(node._core.tick)
            node._wal.kick = WalWorker.kick.__get__(node._wal)  # type: ignore[method-assign]

    asyncio.run(go())
