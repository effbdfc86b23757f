"""The file system that forgets: what a sync keeps is kept, the rest may be anything it ever was."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

import pytest

from raftd.storage.fs import File
from tests.storage.memory_fs import MemoryFileSystem, Operation, PowerCut, ShortWrite


def with_file(content: bytes = b"a" * 2000) -> tuple[MemoryFileSystem, File]:
    fs = MemoryFileSystem()
    file = fs.create("/f")
    file.write(0, content)
    file.datasync()
    fs.sync_directory("/")
    return fs, file


def outcomes(fs: MemoryFileSystem, times: int = 300, garbage: bool = False) -> set[bytes | None]:
    found: set[bytes | None] = set()
    for seed in range(times):
        copy = fs.clone()
        copy.crash(random.Random(seed), garbage=garbage)
        found.add(copy.files().get("/f"))
    return found


def test_synced_bytes_and_names_survive_everything() -> None:
    fs, _ = with_file()
    assert outcomes(fs) == {b"a" * 2000}
    assert fs.unsynced() == []


def test_unsynced_sectors_survive_each_by_itself() -> None:
    fs, file = with_file()
    file.write(500, b"b" * 600)
    cut = {500: 512, 512: 1024, 1024: 1100}
    expected = set()
    for mask in range(8):
        image = bytearray(b"a" * 2000)
        for bit, (start, stop) in enumerate(cut.items()):
            if mask >> bit & 1:
                image[start:stop] = b"b" * (stop - start)
        expected.add(bytes(image))
    assert outcomes(fs) == expected
    assert fs.unsynced() == ["/f"]


def test_two_writes_to_a_sector_survive_in_order() -> None:
    fs, file = with_file(b"")
    file.write(0, b"1111")
    file.write(2, b"22")
    assert outcomes(fs) <= {b"", b"1111", b"1122", b"11", b"\0\0\0\0", b"\0\0", b"11\0\0"}
    assert {b"", b"1111", b"1122"} <= outcomes(fs)


def test_garbage_only_where_something_was_being_written() -> None:
    fs, file = with_file()
    file.write(600, b"b" * 100)
    for image in outcomes(fs, garbage=True):
        assert image is not None
        assert image[:600] + image[700:] == b"a" * 1900
    assert len(outcomes(fs, garbage=True)) > 5


def test_names_survive_only_with_their_directory() -> None:
    fs = MemoryFileSystem()
    file = fs.create("/f")
    file.write(0, b"x")
    file.datasync()
    assert outcomes(fs) == {None, b"x"}
    fs.sync_directory("/")
    fs.rename("/f", "/g")
    assert outcomes(fs) == {None, b"x"}, "either name, never both"
    fs.sync_directory("/")
    assert outcomes(fs) == {None}


def test_failed_sync_drops_the_pages_but_not_the_cache() -> None:
    fs, file = with_file(b"old")
    file.write(0, b"new")

    def fail(operation: Operation) -> None:
        if operation.name == "datasync":
            raise OSError(errno.EIO, "no")

    fs.before = fail
    with pytest.raises(OSError, match="no"):
        file.datasync()
    fs.before = None
    assert file.read(0, 3) == b"new"
    file.datasync()
    assert outcomes(fs) == {b"old"}, "the second sync lied"
    file.write(0, b"N")
    file.datasync()
    assert outcomes(fs) == {b"Nld"}
    file.forget()
    assert file.read(0, 3) == b"Nld"


def test_kill_loses_nothing_and_frees_locks() -> None:
    fs, file = with_file(b"old")
    fs.lock("/lock")
    file.write(0, b"new")
    fs.kill()
    assert fs.files()["/f"] == b"new"
    fs.lock("/lock").release()
    with pytest.raises(OSError, match="older than the last crash"):
        file.read(0, 1)
    assert fs.unsynced() == ["/", "/f"]


def test_cut_power_stops_clean_up_too() -> None:
    fs, file = with_file(b"old")

    def cut(operation: Operation) -> None:
        if operation.name == "write":
            fs.cut_power()

    fs.before = cut
    with pytest.raises(PowerCut):
        file.write(0, b"new")
    with pytest.raises(PowerCut):
        fs.unlink("/f")
    fs.crash(random.Random(0))
    assert fs.files() == {"/f": b"old"}


def test_short_write_and_capacity() -> None:
    fs, file = with_file(b"old")

    def short(operation: Operation) -> None:
        if operation.name == "write":
            raise ShortWrite(2, OSError(errno.EIO, "short"))

    fs.before = short
    with pytest.raises(OSError, match="short"):
        file.write(0, b"new")
    assert fs.files()["/f"] == b"ned"
    fs.before = None
    fs.capacity_bytes = 10
    file.write(3, b"1234567")
    grows: list[Callable[[], None]] = [
        lambda: file.write(10, b"8"),
        lambda: file.preallocate(11),
    ]
    for grow in grows:
        with pytest.raises(OSError, match="no space") as caught:
            grow()
        assert caught.value.errno == errno.ENOSPC
    assert fs.used_bytes() == fs.capacity_bytes


def test_same_seed_same_disk() -> None:
    fs, file = with_file()
    file.write(0, random.Random(5).randbytes(1900))
    fs.create("/g").write(0, b"x" * 3000)
    images = []
    for _ in range(2):
        copy = fs.clone()
        copy.crash(random.Random(7), 0.5)
        images.append(copy.files())
    assert images[0] == images[1]
