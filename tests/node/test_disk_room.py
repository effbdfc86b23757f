"""What a node does and says while its disk is full or takes no snapshots."""

from __future__ import annotations

import asyncio
import errno

import pytest

from raftd.core.messages import SnapshotRequest
from raftd.core.types import Configuration, SnapshotMeta
from raftd.node import disk_room, snapshot_policy
from raftd.node.outcomes import Outcome, Refused
from tests.node.alone import Diary, plain, running
from tests.storage.memory_fs import MemoryFileSystem, Operation


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_room, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(snapshot_policy, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr("raftd.node.wal_worker.NO_SPACE_RETRY_SECONDS", 0.02)
    monkeypatch.setattr("raftd.node.snapshot_worker.NO_ROOM_RETRY_SECONDS", 0.001)


@pytest.mark.parametrize("received", [False, True])
def test_a_directory_for_snapshots_that_takes_none_is_told_once(received: bool) -> None:
    """Whether one of our own cannot be written or a leader's cannot be stored."""

    async def go() -> None:
        fs = MemoryFileSystem()
        diary = Diary(quick=True)
        async with running(diary, fs) as bench:
            node = bench.node
            await bench.submit(plain(b"x"))

            def refuse(operation: Operation) -> None:
                if operation.name == "create" and "/snapshots/" in operation.path:
                    raise PermissionError(errno.EACCES, "permission denied", operation.path)

            fs.before = refuse
            fs.read_only.add("/data/n1/snapshots")
            assert node.serving()
            for _ in range(3):
                if received:
                    meta = SnapshotMeta(1000, 1, Configuration(("n1",)), size_bytes=100, crc=1)
                    request = SnapshotRequest(1, "n2", meta, 0, data=b"x" * 50)
                    stored: list[int] = []
                    bench.node._snapshot_worker.store_chunk(
                        request, stored.append, lambda meta: None
                    )
                    await bench.until(lambda stored=stored: stored)  # type: ignore[misc]
                else:
                    asked: list[Outcome] = []
                    node.snapshot_now(asked.append)
                    await bench.until(lambda asked=asked: asked)  # type: ignore[misc]
                    assert isinstance(asked[0], Refused)
            assert "no snapshot can be stored" in node.problems()[0]
            assert "/data/n1/snapshots" in node.problems()[0]
            assert not node.serving()
            fs.before = None
            fs.read_only.clear()
            node.snapshot_now(lambda outcome: None)
            await bench.until(node.serving)
            assert not node.problems()
            assert len(diary.events("snapshots_fail")) == 1
            assert len(diary.events("snapshots_work")) == 1
            assert len(diary.events("snapshot_failed")) <= 1

    asyncio.run(go())


def test_nobody_needs_a_snapshot_to_notice_that_none_can_be_stored() -> None:
    async def go() -> None:
        fs = MemoryFileSystem()
        async with running(Diary(quick=True), fs) as bench:
            fs.read_only.add("/data/n1/snapshots")
            await bench.until(lambda: not bench.node.serving())
            fs.read_only.clear()
            await bench.until(bench.node.serving)

    asyncio.run(go())


def test_a_full_disk_is_told_relieved_by_a_snapshot_and_its_end_told() -> None:
    """Nobody asks for that snapshot, and nothing is taken that would be given up at a stop."""

    async def go() -> None:
        fs = MemoryFileSystem(40 << 20)
        diary = Diary(quick=True)
        async with running(diary, fs) as bench:
            node = bench.node
            for _ in range(4):
                await bench.submit(plain(b"x" * 300_000))
            diary.state = b""
            free, _ = fs.room("/")
            fs.put("/ballast", bytes(free - 20_000))
            outcomes: list[Outcome] = []
            while not node._room.lacking and len(outcomes) < 10:
                node.submit(plain(b"y" * 300_000), outcomes.append)
                diary.state = b""
                await asyncio.sleep(0.02)
            await bench.until(lambda: diary.events("no_space") or node.state().snapshot_index)
            assert node.state().snapshot_index > 0 or not node.serving()
            fs.put("/ballast", b"")
            await bench.until(lambda: not node._room.lacking)
            await bench.until(node.serving)
            assert len(diary.events("no_space")) == len(diary.events("space_again"))

    asyncio.run(go())


def test_what_the_log_may_hold_back_is_a_share_of_what_is_free() -> None:
    async def go() -> None:
        fs = MemoryFileSystem(40 << 20)
        async with running(Diary(quick=True), fs) as bench:
            core = bench.node._core
            await bench.until(lambda: core._s.pin_bytes_max < 1 << 40)
            free, _ = fs.room("/")
            assert core._s.pin_bytes_max == free // disk_room.PIN_SHARE

    asyncio.run(go())
