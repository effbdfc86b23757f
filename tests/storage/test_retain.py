"""Which snapshot files go, and which must not."""

from __future__ import annotations

from pathlib import Path

from raftd.core.types import Configuration, SnapshotMeta
from raftd.storage.fs import OsFileSystem
from raftd.storage.snapshots import SnapshotFiles


def make(store: SnapshotFiles, index: int) -> SnapshotMeta:
    sink = store.create(index, 1, Configuration(("a",)), b"")
    sink.write(b"state at %d" % index)
    return sink.commit()


def indexes(directory: Path) -> list[int]:
    return sorted(int(path.name.partition("-")[0], 16) for path in directory.glob("*.snap"))


def test_a_snapshot_newer_than_those_to_keep_stays(tmp_path: Path) -> None:
    """It was received between drawing up the list and acting on it, and the log will name it."""
    store = SnapshotFiles(OsFileSystem(), str(tmp_path))
    metas = [make(store, index) for index in (10, 20, 30, 40)]
    store.retain([metas[0], metas[2]])
    assert indexes(tmp_path) == [10, 30, 40]
    store.retain([metas[3]])
    assert indexes(tmp_path) == [40]


def test_at_start_only_the_marked_one_stays(tmp_path: Path) -> None:
    store = SnapshotFiles(OsFileSystem(), str(tmp_path))
    metas = [make(store, index) for index in (10, 20, 30)]
    store.clean(metas[1])
    assert indexes(tmp_path) == [20]
    store.clean(None)
    assert indexes(tmp_path) == []
