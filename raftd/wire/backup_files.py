"""The two kinds of file that a new cluster can be made of, told apart by how they begin."""

from __future__ import annotations

from typing import BinaryIO

from raftd.wire.backup import BackupReader
from raftd.wire.etcd_snapshot import STORE_MAGIC, EtcdSnapshotReader

Reader = BackupReader | EtcdSnapshotReader


def reader_of(file: BinaryIO, name: str) -> Reader:
    """`file` stands at its start. name: for errors. Raises BadBackup, OSError."""
    start = file.read(len(STORE_MAGIC))
    file.seek(0)
    if start.startswith(STORE_MAGIC):
        return EtcdSnapshotReader(file, name)
    return BackupReader(file, name)  # which says what is wrong with anything else
