"""A full disk: what may go goes, what was kept back is used last, and a start needs no room."""

from __future__ import annotations

import errno
import os
import random
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from raftd.core.effects import BrokenInvariant
from raftd.core.types import Entry, EntryType, SnapshotMarker, Write
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import NoFiles, NoSpace, NotWritable
from raftd.storage.fs import OsFileSystem
from raftd.storage.reserve import RESERVE_NAME
from tests.storage.memory_fs import MemoryFileSystem, Operation
from tests.storage.model import CONFIGURATION, INCARNATION, ROOT, Session, body_of, entry

SEGMENT_BYTES = 8192
BLOCK_BYTES = 512
RESERVE_BYTES = 16_384
CAPACITY_BYTES = RESERVE_BYTES * 16


def opened(fs: MemoryFileSystem, reserve_bytes: int = RESERVE_BYTES) -> DataDirectory:
    directory = open_directory(
        fs,
        ROOT,
        cluster="c0ffee",
        node="n1",
        new_incarnation=lambda: INCARNATION,
        segment_bytes=SEGMENT_BYTES,
        block_bytes=BLOCK_BYTES,
        reserve_bytes=reserve_bytes,
    )
    directory.recover()
    return directory


def fill(fs: MemoryFileSystem) -> None:
    """Somebody else takes all that is free."""
    free, _ = fs.room(ROOT)
    fs.put("/ballast", bytes(len(fs.files().get("/ballast", b"")) + free))


def large(index: int, size: int = 2000) -> Entry:
    return Entry(index, 1, EntryType.BATCH, b"x" * size)


def snapshot(directory: DataDirectory, index: int) -> SnapshotMarker:
    sink = directory.snapshots.create(index, 1, CONFIGURATION, b"sessions")
    try:
        sink.write(body_of(index, 1))
        return SnapshotMarker(sink.commit(), reset=False)
    except NoSpace:
        sink.discard()
        raise


def segments(fs: MemoryFileSystem) -> int:
    return sum(name.endswith(".wal") for name in fs.listdir(ROOT))


def test_what_a_marked_snapshot_covers_goes_before_a_write_is_refused() -> None:
    """Also what was kept for absent followers, and though nobody has asked for it."""
    fs = MemoryFileSystem()
    directory = opened(fs, reserve_bytes=0)
    for index in range(1, 31):
        directory.wal.commit([Write(index, entries=(large(index),))])
    directory.wal.commit([Write(31, marker=snapshot(directory, 30))])
    before = segments(fs)
    fs.capacity_bytes = fs.used_bytes() + 100
    directory.wal.commit([Write(32, entries=(large(31, 20_000),))])
    assert segments(fs) < before
    fs.kill()
    again = open_directory(
        fs, ROOT, cluster="c0ffee", node="n1", new_incarnation=lambda: INCARNATION
    )
    assert [item.index for item in again.recover().entries][-1] == 31


def test_a_snapshot_heals_a_disk_that_somebody_filled_to_the_last_byte() -> None:
    """Its file and its mark need room, and so does what was queued before the mark."""
    fs = MemoryFileSystem(CAPACITY_BYTES)
    directory = opened(fs)
    wal, seq = directory.wal, 0
    for index in range(1, 13):
        seq += 1
        wal.commit([Write(seq, entries=(large(index),))])
    fill(fs)
    while not wal.spent and seq < 100:
        seq += 1
        wal.commit([Write(seq, entries=(large(seq),))])
    assert 12 < seq < 100
    assert wal.tight
    assert not wal.make_room()
    before = segments(fs)
    marker = snapshot(directory, seq)
    wal.commit([Write(seq + 1, marker=marker), Write(seq + 2, entries=(large(seq + 1),))])
    wal.release(seq)
    assert segments(fs) < before
    assert wal.make_room(), "what went is enough to keep room back again"
    for number in range(seq + 3, seq + 9):
        wal.commit([Write(number, entries=(large(number - 1),))])
    assert not wal.spent


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("spent", [False, True])
def test_a_restart_needs_no_room_at_all(torn: bool, spent: bool) -> None:
    fs = MemoryFileSystem(CAPACITY_BYTES)
    directory = opened(fs)
    for index in range(1, 13):
        directory.wal.commit([Write(index, entries=(large(index),))])
    fill(fs)
    last = 12
    if spent:
        last = _write_until_refused(directory, 13)
    if torn:
        fs.before = _fail_a_sync()
        with pytest.raises(OSError, match="injected"):
            directory.wal.commit([Write(last + 1, entries=(entry(last + 1, 1),))])
        fs.crash(random.Random(1))
    else:
        fs.kill()
    fill(fs)
    assert fs.room(ROOT) == (0, CAPACITY_BYTES)
    again = open_directory(
        fs, ROOT, cluster="c0ffee", node="n1", new_incarnation=lambda: INCARNATION,
        segment_bytes=SEGMENT_BYTES, block_bytes=BLOCK_BYTES, reserve_bytes=RESERVE_BYTES,
    )  # fmt: skip
    assert [item.index for item in again.recover().entries][:last] == list(range(1, last + 1))
    assert torn or again.wal.spent == spent
    again.close()


def _write_until_refused(directory: DataDirectory, index: int) -> int:
    """The last index that found room."""
    for at in range(index, index + 100):
        try:
            directory.wal.commit([Write(at, entries=(large(at),))])
        except NoSpace:
            return at - 1
    raise AssertionError("the disk never fills up")


def _fail_a_sync() -> Callable[[Operation], None]:
    def hook(operation: Operation) -> None:
        if operation.name == "datasync":
            raise OSError(errno.EIO, "injected")

    return hook


def test_a_small_disk_is_not_filled_by_what_is_kept_back() -> None:
    fs = MemoryFileSystem(CAPACITY_BYTES // 2)
    opened(fs)
    assert fs.size(f"{ROOT}/{RESERVE_NAME}") == RESERVE_BYTES // 2


def test_room_kept_back_is_of_one_life_or_of_the_one_before() -> None:
    fs = MemoryFileSystem(CAPACITY_BYTES)
    opened(fs).close()
    fill(fs)
    again = opened(fs)
    assert not again.wal.spent


def test_a_gap_in_the_write_numbers_is_refused_at_the_start_too() -> None:
    session = Session(MemoryFileSystem(), SEGMENT_BYTES)
    session.open()
    with pytest.raises(BrokenInvariant, match="write 2 comes after write 0"):
        session.live.wal.commit([Write(2, entries=(entry(1, 1),))])


def test_no_descriptor_for_the_next_segment_is_waited_out() -> None:
    """At its file or at its directory: nothing has happened, and the same call works later."""
    for name in ("create", "sync_directory"):
        fs = MemoryFileSystem()
        directory = opened(fs, reserve_bytes=0)
        directory.wal.commit([Write(1, entries=(large(1, 6000),))])

        def none_left(operation: Operation, name: str = name) -> None:
            if operation.name == name:
                raise OSError(errno.EMFILE, "too many open files")

        before = fs.files()
        fs.before = none_left
        with pytest.raises(NoFiles, match="ulimit -n"):
            directory.wal.commit([Write(2, entries=(large(2, 6000),))])
        assert fs.files() == before
        fs.before = None
        directory.wal.commit([Write(2, entries=(large(2, 6000),))])
        directory.close()
        assert opened(fs, 0).wal.stats.segments == 2


def test_spare_descriptors_carry_the_log_on(tmp_path: Path) -> None:
    """Whoever else opens files has taken the last one."""
    fs = OsFileSystem(spares=4)
    (tmp_path / "d").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/dev/fd"))
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 16, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        files = [fs.create(f"{tmp_path}/d/{number}") for number in range(2)]
        fs.sync_directory(f"{tmp_path}/d")
        assert fs.listdir(f"{tmp_path}/d") == ["0", "1"]
        for file in files:
            file.close()
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in range(20):
        fs.open(f"{tmp_path}/d/0").close()
        fs.create(f"{tmp_path}/d/more{number}").close()


def test_snapshots_that_cannot_be_written_are_refused_at_start_with_the_path() -> None:
    fs = MemoryFileSystem()
    opened(fs, 0).close()
    fs.read_only.add(f"{ROOT}/snapshots")
    with pytest.raises(NotWritable, match=rf"^{ROOT}/snapshots is not writable: "):
        opened(fs, 0)
