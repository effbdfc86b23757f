"""Something else in the place of a file: refused at once, in one line with its path."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raftd.core.types import SnapshotMarker, Write
from raftd.daemon.fatal import one_line
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import CorruptSnapshot, StorageError
from raftd.storage.fs import OsFileSystem
from raftd.storage.inspect import inspect_directory
from tests.storage.model import CONFIGURATION, entry

TIB = 1 << 40


def opened(root: Path) -> DataDirectory:
    return open_directory(
        OsFileSystem(),
        str(root),
        cluster="c",
        node="n1",
        new_incarnation=lambda: "ab" * 8,
        segment_bytes=1 << 16,
    )


def full(root: Path) -> None:
    """A directory with everything in it."""
    directory = opened(root)
    directory.recover()
    directory.wal.commit([Write(1, entries=(entry(1, 1), entry(2, 1)))])
    sink = directory.snapshots.create(1, 1, CONFIGURATION, b"sessions")
    sink.write(b"x" * 5000)
    directory.wal.commit([Write(2, marker=SnapshotMarker(sink.commit(), reset=False))])
    directory.close()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_tebibyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(TIB)


def names(root: Path) -> dict[str, Path]:
    return {
        "identity": root / "identity",
        "lock": root / "lock",
        "segment": root / "0000000000000001.wal",
        "snapshot": next((root / "snapshots").glob("*.snap")),
    }


@pytest.mark.parametrize("what", [a_fifo, a_directory, a_loop, a_device, a_tebibyte])
@pytest.mark.parametrize("name", ["identity", "lock", "segment", "snapshot"])
def test_refused_in_one_line_with_the_path(
    tmp_path: Path, what: Callable[[Path], None], name: str
) -> None:
    root = tmp_path / "n1"
    full(root)
    path = names(root)[name]
    path.unlink()
    what(path)
    if (name, what) == ("lock", a_tebibyte):
        return  # nobody reads it
    with pytest.raises((StorageError, OSError)) as caught:
        try_to_start(root)
    line = one_line(caught.value)
    assert str(path) in line
    assert "\n" not in line


def try_to_start(root: Path) -> None:
    directory = opened(root)
    try:
        directory.recover()
    finally:
        directory.close()


@pytest.mark.parametrize("number", [1, 2])
def test_a_tebibyte_that_nobody_can_name_is_not_read(tmp_path: Path, number: int) -> None:
    """Without an identity, or behind a segment without a seal."""
    root = tmp_path / "n1"
    full(root)
    if number == 1:
        (root / "identity").unlink()
        (root / "0000000000000001.wal").unlink()
        for path in (root / "snapshots").iterdir():
            path.unlink()
    a_tebibyte(root / f"{number:016d}.wal")
    with pytest.raises(StorageError, match=rf"identity: it is missing|segment {number} was in use"):
        try_to_start(root)


def test_inspect_reads_no_more_than_it_should(tmp_path: Path) -> None:
    root = tmp_path / "n1"
    full(root)
    with (root / "0000000000000001.wal").open("r+b") as file:
        file.truncate(TIB)
    report = inspect_directory(OsFileSystem(), str(root))
    assert report.segments[0].size_bytes == TIB
    assert f"has {TIB} bytes instead of the 65536 it was made with" in report.damage[0]


@pytest.mark.parametrize("at", [10, 200, 3000, -1])
def test_a_snapshot_is_read_whole_before_the_start_is_done(tmp_path: Path, at: int) -> None:
    root = tmp_path / "n1"
    full(root)
    path = names(root)["snapshot"]
    older = root / "snapshots" / f"{0:016x}-{1:016x}-{7:08x}.snap"
    older.write_bytes(b"an older one")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptSnapshot, match="its checksum is"):
        try_to_start(root)
    assert older.exists(), "nothing is thrown away by a start that is refused"
