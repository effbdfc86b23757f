"""What is in a backup, for tests that compare."""

from __future__ import annotations

from pathlib import Path

from raftd.storage.snapshot_file import SnapshotHeader, read_header
from raftd.wire.backup import BackupReader, Head


class Held:
    """Bytes as a file with `read(offset, size)`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


def head_of(path: Path) -> Head:
    with path.open("rb") as file:
        return BackupReader(file, str(path)).head


def snapshot_of(path: Path) -> tuple[SnapshotHeader, bytes]:
    """(its header, all of the snapshot file) in a backup."""
    with path.open("rb") as file:
        data = b"".join(BackupReader(file, str(path)).chunks())
    return read_header(Held(data), str(path)), data


def body_of(path: Path) -> bytes:
    """The state machine's part."""
    header, data = snapshot_of(path)
    return data[header.size + header.sessions_bytes :]
