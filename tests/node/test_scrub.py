"""A snapshot's file that has gone bad is found, and replaced, before anybody needs it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from raftd.core.messages import SnapshotRequest
from raftd.core.types import Configuration, SnapshotMeta
from raftd.node.measures import Measures
from raftd.node.scrub import PAUSE_SECONDS, PIECE_BYTES, SUSPECT_SECONDS, Scrubber
from raftd.node.snapshot_worker import PROBE_BYTES
from tests.node.alone import Bench, Diary, plain, running
from tests.node.fakes import FakeClock
from tests.storage.memory_fs import MemoryFileSystem

META = SnapshotMeta(7, 1, Configuration(("n1",)), 3 * PIECE_BYTES, 5)

Result = tuple[int, int, str] | Exception


class Hand:
    """The snapshot_worker, the clock and the timers of a scrubber, moved by hand."""

    def __init__(self, interval: float = 100.0) -> None:
        self.clock = FakeClock()
        self.reads: list[tuple[SnapshotMeta, int, Callable[[Result], None]]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.newest = META
        self.rotten: list[str] = []
        self.measures = Measures(self.clock)
        self.scrubber = Scrubber(
            cast(Any, self),
            lambda: self.newest,
            self.clock.now,
            lambda seconds, call: self.timers.append((seconds, call)),
            interval,
            self.measures,
            lambda meta, what: self.rotten.append(what),
        )
        self.scrubber.start()

    def reread(self, meta: SnapshotMeta, offset: int, size: int, crc: int, done: Any) -> None:
        self.reads.append((meta, offset, done))

    def fire(self, seconds: float) -> None:
        """The timer that was set for so long."""
        (found,) = [timer for timer in self.timers if timer[0] == seconds]
        self.timers.remove(found)
        found[1]()

    def answer(self, trouble: str = "") -> None:
        _, offset, done = self.reads.pop()
        done((offset + PIECE_BYTES, 0, trouble))


def test_the_newest_file_is_read_slowly_and_again_after_the_interval() -> None:
    hand = Hand()
    for turn in range(1, 3):
        hand.fire(100.0)
        hand.answer()
        hand.fire(PAUSE_SECONDS)
        hand.answer()
        hand.fire(PAUSE_SECONDS)
        hand.answer()
        assert (hand.measures.scrubs, hand.reads, hand.rotten) == (turn, [], [])


def test_a_bad_file_is_reported_once_it_is_found() -> None:
    hand = Hand()
    hand.fire(100.0)
    hand.answer("it is missing")
    assert hand.rotten == ["it is missing"]


def test_a_suspect_is_read_at_once_and_not_again_for_a_while() -> None:
    hand = Hand(interval=0)
    assert not hand.timers
    hand.scrubber.suspect(META)
    for _ in range(2):
        hand.answer()
        hand.fire(0.0)
    hand.answer()
    hand.scrubber.suspect(META)
    assert not hand.reads
    hand.clock.time += SUSPECT_SECONDS + 1
    hand.scrubber.suspect(META)
    assert hand.reads


def test_what_is_not_the_newest_any_more_is_nobodys_concern() -> None:
    hand = Hand()
    hand.fire(100.0)
    hand.newest = SnapshotMeta(8, 1, META.configuration, 5, 5)
    hand.answer("it is missing")
    assert not hand.rotten


def test_a_file_that_cannot_be_looked_at_is_not_called_bad() -> None:
    hand = Hand()
    hand.fire(100.0)
    hand.reads.pop()[2](OSError(errno.EMFILE, "Too many open files"))
    assert not hand.rotten
    hand.scrubber.suspect(META)
    assert hand.reads


@pytest.mark.parametrize("new", [False, True], ids=["nothing is new", "more was written"])
@pytest.mark.parametrize("found", ["by the scrub", "by a follower", "when it is read for one"])
def test_a_rotten_file_is_replaced(new: bool, found: str) -> None:
    async def go() -> None:
        fs = MemoryFileSystem()
        machine = Diary(quick=True)
        async with running(machine, fs) as bench:
            node = bench.node
            await bench.submit(plain(b"x" * 1000))
            old = await snapshot(bench)
            path = next(name for name in fs.files() if name.endswith(".snap"))
            good = fs.files()[path]
            if found == "when it is read for one":
                fs.unlink(path)
            else:
                fs.put(path, good[:500] + b"rotten" + good[506:])
            if new:
                await bench.submit(plain(b"y"))
            scrubber = node._snapshot_policy.scrubber
            if found == "by the scrub":
                scrubber._due()
            elif found == "by a follower":
                scrubber.suspect(old)
            else:
                with pytest.raises(FileNotFoundError):
                    await node.read_chunk(SnapshotRequest(1, "n1", old, 0))
            await bench.until(lambda: machine.events("snapshot_rotten"))
            await bench.until(lambda: node._core._s.rotten is None)
            newest = node._core.snapshot
            assert (newest.index > old.index) == new
            await bench.until(lambda: whole(fs, newest))
            if not new:
                assert fs.files()[path] == good

    asyncio.run(go())


def test_of_a_snapshot_that_was_refused_a_few_bytes_are_read_at_first() -> None:
    async def go() -> None:
        async with running(Diary(quick=True), MemoryFileSystem()) as bench:
            await bench.submit(plain(b"x" * 10_000))
            asked = SnapshotRequest(1, "n1", await snapshot(bench), 0)
            whole = await bench.node.read_chunk(asked)
            probe = await bench.node.read_chunk(replace(asked, probes=True))
            assert len(whole.data) > PROBE_BYTES
            assert probe.data == whole.data[:PROBE_BYTES]

    asyncio.run(go())


async def snapshot(bench: Bench) -> SnapshotMeta:
    done: list[object] = []
    bench.node.snapshot_now(done.append)
    await bench.until(lambda: done)
    return bench.node._core.snapshot


def whole(fs: MemoryFileSystem, meta: SnapshotMeta) -> bool:
    names = [name for name in fs.files() if name.endswith(f"-{meta.crc:08x}.snap")]
    return len(names) == 1 and len(fs.files()[names[0]]) == meta.size_bytes
