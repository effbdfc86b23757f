"""Small data directories for tests that damage them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from raftd.core.types import HardState, Recovered, SnapshotMarker, Write
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import StorageError
from raftd.storage.framing import Batch, find_batches
from raftd.storage.identity import Founding
from tests.storage.memory_fs import MemoryFileSystem, disk_of
from tests.storage.model import BLOCK_BYTES, CONFIGURATION, ROOT, Model, entry

FIRST = f"{ROOT}/0000000000000001.wal"
SECOND = f"{ROOT}/0000000000000002.wal"

FOUNDING = Founding(("n1", "n2"), "70ce")


def directory(
    fs: MemoryFileSystem,
    segment_bytes: int = 2000,
    node: str = "n1",
    cluster: str = "c0ffee",
    block_bytes: int = BLOCK_BYTES,
    reserve_bytes: int = 0,
    founding: Founding | None = None,
) -> DataDirectory:
    return open_directory(
        fs,
        ROOT,
        cluster=cluster,
        node=node,
        new_incarnation=lambda: f"00112233aabbcc{node}",
        founding=founding,
        segment_bytes=segment_bytes,
        block_bytes=block_bytes,
        reserve_bytes=reserve_bytes,
    )


def disk_at_rest(files: Mapping[str, bytes]) -> MemoryFileSystem:
    """A disk with these files under ROOT: much quicker than a clone of one."""
    return disk_of(files, "/data", ROOT, f"{ROOT}/snapshots")


def recovered(fs: MemoryFileSystem) -> Recovered:
    """Start, look, go: the disk is left as a start and a kill would leave it."""
    opened = directory(fs)
    try:
        found = opened.recover()
        if found.snapshot is not None:
            sessions, body = opened.snapshots.open_body(found.snapshot)
            with body:
                assert (sessions, body.read()) == (b"sessions", b"machine" * 9)
        return found
    finally:
        fs.kill()


def outcome(fs: MemoryFileSystem) -> Recovered | StorageError:
    try:
        return recovered(fs)
    except StorageError as error:
        return error


WRITES = [
    Write(1, hard_state=HardState(1, "n1"), records=(("n2", "ff00"),), admitted=True),
    Write(2, entries=(entry(1, 1, 30), entry(2, 1, 30))),
    Write(3, hard_state=HardState(2, None), entries=(entry(2, 2, 30), entry(3, 2, 40))),
    Write(4, entries=(entry(4, 2, 64),)),
]


def states(writes: list[Write]) -> list[Model]:
    """The model before the first write, after it, after the second ..."""
    found = [Model()]
    for write in writes:
        after = found[-1].copy()
        after.apply(write)
        found.append(after)
    return found


def filled(segment_bytes: int = 2000) -> tuple[MemoryFileSystem, list[Batch]]:
    """A disk with WRITES, a batch each, no mark after them; and where they lie, in one segment."""
    fs = MemoryFileSystem()
    opened = directory(fs, segment_bytes)
    opened.recover()
    for write in WRITES:
        opened.wal.commit([write])
    fs.kill()
    return fs, batches_in(fs.files()[FIRST])


def batches_in(content: bytes) -> list[Batch]:
    """In the order in which they were written."""
    found = find_batches(content, 0, len(content), None)
    return sorted(found, key=lambda batch: batch.sequence)


def flips(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Every single-bit change of the bytes that mean something, and some of the zeros between."""
    for at in range(len(content)):
        if content[max(0, at - 16) : at + 16].strip(b"\0"):
            for bit in range(8):
                yield at, bytes((content[at] ^ (1 << bit),))
        elif at % 61 == 0:
            yield at, b"\x10"


def small_directory() -> tuple[MemoryFileSystem, list[Model]]:
    """Some segments, a marked snapshot, an unproven last batch; the last two states."""
    fs = MemoryFileSystem()
    opened = directory(fs, 700, founding=FOUNDING)
    opened.recover()
    writes = [*WRITES, Write(5, entries=(entry(5, 2, 200),))]
    for write in writes:
        opened.wal.commit([write])
    sink = opened.snapshots.create(3, 2, CONFIGURATION, b"sessions")
    sink.write(b"machine" * 9)
    writes.append(Write(6, marker=SnapshotMarker(sink.commit(), reset=False)))
    opened.wal.commit([writes[-1]])
    writes.append(Write(7, entries=(entry(6, 2, 20),)))
    opened.wal.commit([writes[-1]])
    assert SECOND in fs.files()
    fs.kill()
    return fs, states(writes)[-2:]


def last_segment(fs: MemoryFileSystem) -> str:
    return max(path for path in fs.files() if path.endswith(".wal"))
