"""A backup becomes the data directory of one node of a new cluster.

Every node of the new cluster is restored from the same file with the same settings. They come to
the same cluster id, which is made of the backup, the token and the voters, and so is neither the
old cluster's nor that of a cluster that began empty: none of them ever talks to another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from raftd.core.types import Identity, Incarnation, NodeId
from raftd.storage.errors import CorruptSnapshot
from raftd.storage.fs import FileSystem
from raftd.storage.identity import Founding, IdentityFile
from raftd.storage.making import begin_with, make_directory, refuse_used
from raftd.storage.snapshot_file import SnapshotHeader, read_header
from raftd.storage.snapshots import SnapshotFiles
from raftd.storage.wal import SEGMENT_BYTES, Wal
from raftd.wire.backup import BadBackup, Head
from raftd.wire.backup_files import Reader, reader_of
from raftd.wire.etcd_snapshot import EtcdSnapshotReader

HEADER_BYTES_MAX = 2 << 20
"""A snapshot's header with the largest configuration fits."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was made. voids_sessions: there were sessions, which count no more."""

    head: Head
    cluster: str
    voids_sessions: bool


def restored_cluster_id(sha256: str, fresh: str) -> str:
    """fresh: the id that the same settings would give to a cluster that begins empty."""
    return hashlib.sha256(f"restored\n{sha256}\n{fresh}".encode()).hexdigest()[:16]


def restore(
    fs: FileSystem,
    path: str,
    root: str,
    *,
    node: NodeId,
    fresh_cluster: str,
    founding: Founding,
    incarnation: Incarnation,
    segment_bytes: int = SEGMENT_BYTES,
) -> Restored:
    """Read all of a backup, and only if it is whole make the directory `root` of it.

    path: of the backup.
    fresh_cluster: see `restored_cluster_id`. incarnation: random, 16 hex digits.
    Raises BadBackup, StorageError (InUse: nothing was changed), OSError.
    """
    refuse_used(fs, root)
    with open(path, "rb") as file:
        reader = reader_of(file, path)
        before, sessions_bytes = _before_the_store(reader, path)
    head, sha256 = reader.head, reader.sha256
    cluster = restored_cluster_id(sha256, fresh_cluster)
    configuration = founding.configuration

    def fill(wal: Wal, snapshots: SnapshotFiles) -> None:
        sink = snapshots.create(head.index, head.term, configuration, b"")
        try:
            with open(path, "rb") as file:
                reader = reader_of(file, path)
                for data in _without(reader.chunks(), before):
                    sink.write(data)
                if reader.sha256 != sha256:
                    raise BadBackup(f"{path} changed while it was read: restore it once more")
            meta = sink.commit()
        except BaseException:
            sink.discard()
            raise
        begin_with(wal, meta)

    made = IdentityFile(Identity(cluster, node, incarnation), founding)
    make_directory(fs, root, made, fill, segment_bytes)
    return Restored(head, cluster, sessions_bytes > 0)


def _before_the_store(reader: Reader, path: str) -> tuple[int, int]:
    """(bytes before the store's own, those of sessions). Reads all of it. Raises BadBackup."""
    if isinstance(reader, EtcdSnapshotReader):
        for _ in reader.chunks():
            pass
        return 0, 0
    header, head = _header(reader.chunks(), path), reader.head
    if (header.index, header.term) != (head.index, head.term):
        raise BadBackup(f"{path}: the snapshot in it is of another index: use another copy")
    return header.size + header.sessions_bytes, header.sessions_bytes


def _header(chunks: Iterator[bytes], name: str) -> SnapshotHeader:
    """The snapshot's own; goes through all chunks. Raises BadBackup, UnknownFormat."""
    start = b""
    for data in chunks:
        if len(start) < HEADER_BYTES_MAX:
            start += data
    try:
        return read_header(_Bytes(start), f"{name} (the snapshot in it)")
    except CorruptSnapshot as error:
        raise BadBackup(f"{name}: the snapshot in it is damaged: {error.what}") from None


def _without(chunks: Iterator[bytes], skipped_bytes: int) -> Iterator[bytes]:
    for data in chunks:
        yield data[skipped_bytes:]
        skipped_bytes = max(0, skipped_bytes - len(data))


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]
