"""Backups that no node has made, for tests."""

from __future__ import annotations

from pathlib import Path

from raftd.core.types import Configuration
from raftd.storage.fs import OsFileSystem
from raftd.storage.snapshots import SnapshotFiles
from raftd.wire.backup import BackupWriter, Head

OLD = Configuration(("a", "b", "c"))
BODY = b"the machine's state " * 1000
SESSIONS = b"sessions"


def make_backup(path: Path, body: bytes = BODY, sessions: bytes = SESSIONS) -> Path:
    """Of a node of the cluster "old", at index 90 of term 4."""
    files = path.parent / "files"
    files.mkdir()
    snapshots = SnapshotFiles(OsFileSystem(), str(files))
    sink = snapshots.create(90, 4, OLD, sessions)
    sink.write(body)
    meta = sink.commit()
    data = Path(snapshots.path(meta)).read_bytes()
    with path.open("wb") as file:
        head = Head("old", "b", meta.index, meta.term, meta.size_bytes, meta.crc)
        writer = BackupWriter(head, file.write)
        for at in range(0, len(data), 1000):
            writer.add(data[at : at + 1000])
        writer.finish()
    return path
