"""A directory that is made with something in it, and cut off on the way."""

from __future__ import annotations

import random

import pytest

from raftd.core.types import Configuration, Identity, SnapshotMeta
from raftd.storage.directory import UNFINISHED_NAME, open_directory
from raftd.storage.errors import CorruptIdentity
from raftd.storage.identity import Founding, IdentityFile, load_identity
from raftd.storage.making import begin_with, make_directory
from raftd.storage.snapshots import SnapshotFiles
from raftd.storage.wal import Wal
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation, PowerCut

ROOT = "/d/x"
VOTERS = Configuration(("x",))
FOUNDING = Founding(("x",))
MADE = IdentityFile(Identity("restored", "x", "1" * 16), FOUNDING)


def fill(wal: Wal, snapshots: SnapshotFiles) -> None:
    sink = snapshots.create(90, 4, VOTERS, b"")
    sink.write(b"everything")
    begin_with(wal, sink.commit())


def made(fs: MemoryFileSystem) -> None:
    make_directory(fs, ROOT, MADE, fill, 64 << 10)


def started(fs: MemoryFileSystem) -> tuple[str, SnapshotMeta | None]:
    """A node starts from it: the cluster that it is of, and its snapshot."""
    directory = open_directory(
        fs,
        ROOT,
        cluster="empty",
        node="x",
        new_incarnation=lambda: "2" * 16,
        founding=FOUNDING,
        segment_bytes=64 << 10,
    )
    try:
        return directory.identity.cluster, directory.recover().snapshot
    finally:
        directory.close()


@pytest.mark.parametrize("lost", [False, True])
def test_whatever_is_cut_off_no_node_begins_empty_in_its_place(lost: bool) -> None:
    """lost: the power went; else the process was killed, and what it had written is there.

    The story without it: a restore was killed while it wrote the snapshot, and a node that was
    started there began an empty cluster, as if nobody had ever restored anything.
    """
    refused = 0
    for last in range(1, 200):
        fs = MemoryFileSystem()
        begun, inside = 0, False

        def cut(operation: Operation, fs: MemoryFileSystem = fs, last: int = last) -> None:
            nonlocal begun, inside
            begun += operation.name in CHANGING
            if begun == last:
                fs.cut_power()
            inside = inside or operation.path.startswith((f"{ROOT}/0", f"{ROOT}/snapshots"))

        fs.before = cut
        try:
            made(fs)
        except PowerCut:
            fs.crash(random.Random(last), keep=0.0) if lost else fs.kill()
        else:
            break
        if inside:
            refused += not whole(fs)
    assert refused > 5
    fs = MemoryFileSystem()
    made(fs)
    assert load_identity(fs, ROOT) == MADE
    assert whole(fs)
    assert f"{ROOT}/{UNFINISHED_NAME}" not in fs.files()


def whole(fs: MemoryFileSystem) -> bool:
    """False: the node refused to start."""
    try:
        found = started(fs)
    except CorruptIdentity:
        return False
    assert (found[0], found[1] and found[1].index) == ("restored", 90)
    return True
