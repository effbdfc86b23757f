"""The real file system: short reads and writes, sizes, locks, and a whole life on it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from raftd.core.types import SnapshotMarker, Write
from raftd.storage import fs as fs_module
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import Locked
from raftd.storage.fs import OsFile, OsFileSystem
from tests.storage.disks import WRITES
from tests.storage.memory_fs import MemoryFileSystem
from tests.storage.model import CONFIGURATION, Model, entry, foreign_snapshot


def test_a_write_goes_on_after_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = OsFileSystem().create(str(tmp_path / "f"))
    real = os.pwrite
    calls: list[int] = []

    def short(fd: int, data: bytes, offset: int) -> int:
        calls.append(offset)
        return real(fd, bytes(data)[: max(1, len(data) // 2)], offset)

    monkeypatch.setattr("raftd.storage.fs.os.pwrite", short)
    content = os.urandom(1000)
    file.write(7, content)
    assert len(calls) > 5
    assert file.read(7, 1000) == content
    monkeypatch.setattr("raftd.storage.fs.os.pwrite", lambda fd, data, offset: 0)
    with pytest.raises(OSError, match="wrote nothing"):
        file.write(0, b"abc")
    file.close()


def test_a_read_goes_on_after_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = OsFileSystem().create(str(tmp_path / "f"))
    content = os.urandom(1000)
    file.write(0, content)
    real = os.pread
    monkeypatch.setattr(
        "raftd.storage.fs.os.pread", lambda fd, n, offset: real(fd, min(n, 77), offset)
    )
    assert file.read(0, 1000) == content
    assert file.read(990, 100) == content[990:]
    assert file.read(5000, 10) == b""
    file.close()


def test_preallocated_bytes_are_zeros_and_taken(tmp_path: Path) -> None:
    file = OsFileSystem().create(str(tmp_path / "f"))
    file.preallocate(3 << 20)
    file.sync()
    file.preallocate(100)
    assert file.size() == 3 << 20
    assert file.read((3 << 20) - 10, 100) == bytes(10)
    assert os.stat(tmp_path / "f").st_blocks * 512 >= 3 << 20
    file.forget()
    file.close()
    file.close()


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EINVAL])
def test_without_fallocate_zeros_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(error, "not here")

    monkeypatch.setattr("raftd.storage.fs.os.posix_fallocate", refuse, raising=False)
    file = OsFileSystem().create(str(tmp_path / "f"))
    file.preallocate((2 << 20) + 5)
    assert file.size() == (2 << 20) + 5
    file.close()


def test_no_room_from_fallocate_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("raftd.storage.fs.os.posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="full"):
        OsFileSystem().create(str(tmp_path / "f")).preallocate(10)


def test_both_file_systems_behave_alike(tmp_path: Path) -> None:
    """What the tests rest on: the one in memory answers as the real one."""
    answers = []
    for fs, root in ((OsFileSystem(), str(tmp_path / "d")), (MemoryFileSystem(), "/d")):
        said: list[object] = []

        def note(call: Callable[[], object], said: list[object] = said) -> None:
            try:
                said.append(call())
            except OSError as error:
                said.append(type(error).__name__)

        note(lambda fs=fs, root=root: fs.listdir(root))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.mkdir(root))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.mkdir(root))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.open(f"{root}/x"))  # type: ignore[misc]
        file = fs.create(f"{root}/x")
        note(lambda fs=fs, root=root: fs.create(f"{root}/x"))  # type: ignore[misc]
        file.write(10, b"abc")
        note(lambda file=file: file.read(0, 100))  # type: ignore[misc]
        note(file.size)
        note(lambda file=file: file.read(5, 100))  # type: ignore[misc]
        file.preallocate(30)
        note(lambda fs=fs, root=root: fs.size(f"{root}/x"))  # type: ignore[misc]
        note(file.datasync)
        note(file.sync)
        file.close()
        note(lambda file=file: file.read(0, 1))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.open(f"{root}/x").write(0, b"q"))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.rename(f"{root}/x", f"{root}/y"))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.listdir(root))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.unlink(f"{root}/x"))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.size(f"{root}/x"))  # type: ignore[misc]
        lock = fs.lock(f"{root}/lock")
        note(lambda fs=fs, root=root: fs.lock(f"{root}/lock"))  # type: ignore[misc]
        lock.release()
        lock.release()
        fs.lock(f"{root}/lock").release()
        note(lambda fs=fs, root=root: fs.sync_directory(root))  # type: ignore[misc]
        note(lambda fs=fs, root=root: fs.sync_directory(f"{root}/no"))  # type: ignore[misc]
        answers.append(said)
    assert answers[0] == answers[1]
    assert "BlockingIOError" in answers[0]


def opened(root: str, segment_bytes: int = 3000) -> DataDirectory:
    return open_directory(
        OsFileSystem(),
        root,
        cluster="c",
        node="n1",
        new_incarnation=lambda: "ab" * 8,
        segment_bytes=segment_bytes,
    )


def test_a_life_on_real_files(tmp_path: Path) -> None:
    root = str(tmp_path / "deep" / "er" / "n1")
    model = Model()
    life = opened(root)
    life.recover()
    writes: Sequence[Write] = [
        *WRITES,
        *(Write(5 + i, entries=(entry(5 + i, 2, 700),)) for i in range(20)),
    ]
    for write in writes:
        life.wal.commit([write])
        model.apply(write)
    meta, data = foreign_snapshot(15, 2)
    incoming = life.snapshots.receive("n2", meta)
    incoming.store(0, data)
    marker = Write(25, marker=SnapshotMarker(incoming.commit(), reset=False))
    life.wal.commit([marker])
    model.apply(marker)
    life.wal.release(15)
    life.close()
    again = opened(root)
    found = again.recover()
    assert model.differs(found) == ""
    assert found.entries[0].index > 5
    assert found.snapshot is not None
    assert found.snapshot.configuration == CONFIGURATION
    with pytest.raises(Locked):
        opened(root)
    again.close()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    code = (
        "import sys\n"
        "from raftd.storage.fs import OsFileSystem\n"
        "lock = OsFileSystem().lock(sys.argv[1])\n"
        "sys.stdout.write('locked\\n'); sys.stdout.flush()\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError):
            OsFileSystem().lock(path)
        child.kill()
        child.wait(timeout=10)
    OsFileSystem().lock(path).release()


def test_syncs_reach_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr("raftd.storage.fs.os.fsync", lambda fd: calls.append("fsync"))
    monkeypatch.setattr("raftd.storage.fs.os.fdatasync", lambda fd: calls.append("fdatasync"))
    fs = OsFileSystem()
    file = fs.create(str(tmp_path / "f"))
    file.datasync()
    file.sync()
    fs.sync_directory(str(tmp_path))
    file.close()
    if sys.platform != "darwin":
        assert calls == ["fdatasync", "fsync", "fsync"]
    assert fs_module.F_FULLFSYNC == 51
    assert isinstance(file, OsFile)
