"""One block of the disk goes bad, whichever: nothing that a later write or a mark covers is lost.

The block is as large as the log takes it to be (lanes.py), and lies where the device's do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from raftd.core.types import Entry, Recovered, Write
from raftd.storage.errors import CorruptLog, StorageError
from raftd.storage.lanes import BLOCK_BYTES as BLOCK_BYTES_OF_TODAY
from raftd.storage.lanes import Lanes, up
from tests.conftest import Count
from tests.storage.disks import FIRST, batches_in, directory, last_segment, outcome
from tests.storage.memory_fs import MemoryFileSystem, PowerCut
from tests.storage.model import BLOCK_BYTES, entry
from tests.storage.test_crash import cut_at

LIVES = 40


def written(rng: random.Random, mark_at_the_end: bool) -> tuple[MemoryFileSystem, list[Entry]]:
    """A log of small and large batches, now and then marked; all its entries, acknowledged."""
    fs = MemoryFileSystem()
    opened = directory(fs, rng.choice((700, 2000, 9000)))
    opened.recover()
    entries = []
    for index in range(1, rng.randrange(2, 25)):
        entries.append(entry(index, 1, rng.choice((0, 10, 30, 60, 100, 300, 900))))
        opened.wal.commit([Write(index, entries=(entries[-1],))])
        if rng.random() < 0.3:
            opened.wal.idle()
    if mark_at_the_end:
        opened.wal.idle()
    return fs, entries


def rotten(fs: MemoryFileSystem, rng: random.Random) -> Iterator[tuple[str, int, MemoryFileSystem]]:
    """For every block of the log: path, offset, and the disk with that block gone bad."""
    for path, content in fs.files().items():
        if not path.endswith(".wal"):
            continue
        for at in range(0, len(content), BLOCK_BYTES):
            old = content[at : at + BLOCK_BYTES]
            if old.strip(b"\0"):
                bad = fs.clone()
                bad.kill()
                new = rng.choice((bytes(len(old)), rng.randbytes(len(old)), content[: len(old)]))
                bad.poke(path, at, new)
                yield path, at, bad


def holds(found: Recovered | StorageError, entries: list[Entry]) -> bool:
    """All of them, and no others."""
    return isinstance(found, Recovered) and list(found.entries) == entries


@pytest.mark.parametrize("marked", [True, False])
def test_one_rotten_block(marked: bool, count: Count) -> None:
    """Unmarked, the last batch may be taken for a torn write, if the block held some of it."""
    dropped = tried = 0
    for seed in range(LIVES):
        rng = random.Random(seed)
        fs, entries = written(rng, marked)
        path = last_segment(fs)
        last = batches_in(fs.files()[path])[-1:]
        for where, at, bad in rotten(fs, rng):
            found = outcome(bad)
            tried += 1
            if isinstance(found, StorageError) or holds(found, entries):
                continue
            assert not marked, (seed, where, at)
            assert holds(found, entries[:-1])
            assert where == path
            assert last[0].offset < at + BLOCK_BYTES
            assert last[0].end > at
            dropped += 1
    assert bool(dropped) is not marked
    count(f"one rotten block, {'' if marked else 'not '}marked: blocks", tried)
    count(f"one rotten block, {'' if marked else 'not '}marked: last batch dropped", dropped)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_power_cut_in_the_next_write_and_one_rotten_block(stopped: bool, count: Count) -> None:
    """stopped: the marks were synced, as an orderly stop does. Else those of the last batch may go
    with the power, and only the batch before it is proven."""
    dropped = tried = 0
    for seed in range(LIVES):
        rng = random.Random(seed)
        fs, entries = written(rng, mark_at_the_end=stopped)
        fs.sync_directory("/")
        if stopped:
            fs.kill()
            opened = directory(fs, 2000)
            opened.recover()
            opened.close()
            fs.kill()
        else:
            fs.crash(rng)
        opened = directory(fs, 2000)
        opened.recover()
        number = len(entries) + 1
        under_way = entry(number, 1, rng.choice((10, 100, 300, 5000)))
        fs.before = cut_at(fs, rng.randrange(3))
        try:
            opened.wal.commit([Write(1, entries=(under_way,))])
            entries = [*entries, under_way]
        except PowerCut:
            pass
        fs.crash(rng, garbage=False)
        for _, at, bad in rotten(fs, rng):
            found = outcome(bad)
            tried += 1
            known = [entries, [*entries, under_way]]
            if isinstance(found, StorageError) or any(holds(found, which) for which in known):
                continue
            assert holds(found, entries[:-1]), (seed, at)
            assert not stopped or entries[-1] is under_way, (seed, at)
            dropped += 1
    count("power cut and one rotten block: blocks", tried)
    count("power cut and one rotten block: last batch dropped", dropped)


def test_neighbours_never_share_a_block() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        block = rng.choice((128, 512, BLOCK_BYTES_OF_TODAY))
        lanes = Lanes(rng.randrange(60, 700), 1 << 20, block)
        before: set[int] = set(range(up(rng.randrange(60, 61), block) // block))
        taken: list[tuple[int, int]] = []
        for sequence in range(1, 60):
            marks = {place // block for place in lanes.places(sequence)}
            assert not marks & before, "a mark shares a block with the batch that it is for"
            sizes = (64, 100, block - 24, block - 23, block, rng.randrange(64, 3 * block))
            size = rng.choice(sizes)
            start = lanes.place(sequence, size)
            assert start in lanes.places(sequence)
            end = start + size
            blocks = set(range(start // block, (end - 1) // block + 1))
            assert not blocks & before
            assert all(end <= one or start >= other for one, other in taken)
            lanes.take(sequence, start, end)
            taken.append((start, end))
            before = blocks


def test_the_write_after_a_mark_leaves_the_other_copy() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        lanes = Lanes(100, 1 << 20, 256)
        for sequence in range(1, 40):
            marks = lanes.places(sequence)
            size = rng.randrange(64, 700)
            start = lanes.place(sequence, size)
            end = start + size
            left = [place for place in marks if place + 24 <= start or place >= end]
            assert len(left) == 1
            lanes.take(sequence, start, end)


def test_what_shares_a_block_of_4096_bytes_by_default() -> None:
    fs = MemoryFileSystem()
    opened = directory(fs, 1 << 16, block_bytes=BLOCK_BYTES_OF_TODAY)
    opened.recover()
    for index in range(1, 6):
        opened.wal.commit([Write(index, entries=(entry(index, 1, 100),))])
    opened.wal.idle()
    fs.kill()
    content = fs.files()[FIRST]
    batches = batches_in(content)
    assert len({batch.offset // 4096 for batch in batches}) == 2
    for at in range(0, len(content), 4096):
        bad = fs.clone()
        bad.poke(FIRST, at, b"\xa5" * 4096)
        found = outcome(bad)
        whole = [entry(index, 1, 100) for index in range(1, 6)]
        assert isinstance(found, CorruptLog) or holds(found, whole), at
