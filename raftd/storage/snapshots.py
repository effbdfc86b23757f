"""Snapshot files: written under a temporary name, checked, synced, renamed, the directory synced.

    "RAFTDSNP" | version u32 | header length u32 | index u64 | term u64 | sessions length u64 |
    body length u64 | sessions crc u32 | body crc u32 | digest 32 bytes (reserved: zeros) |
    configuration length u32, configuration | crc u32 of the header before it; sessions; body

The whole file travels to other nodes as it is, so nothing in it names a node or a directory. Its
name carries index, term and the checksum of the whole, which the log's marker knows as well.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import BinaryIO

from raftd.core.types import INDEX_MAX, Configuration, Index, NodeId, SnapshotMeta, Term
from raftd.storage.errors import CorruptSnapshot, NoSpace, NotWritable, TooLarge
from raftd.storage.fs import FileSystem
from raftd.storage.snapshot_file import body_reader, check_file, reread_piece
from raftd.storage.snapshot_writing import (
    SNAPSHOT_NAME,
    TEMPORARY_SUFFIX,
    Incoming,
    Sink,
    snapshot_name,
)

__all__ = ["SIZE_MAX_BYTES", "SNAPSHOT_NAME", "Incoming", "Sink", "SnapshotFiles", "snapshot_name"]

INCOMING_NAME = "incoming.tmp"

SIZE_MAX_BYTES = 16 << 30


class SnapshotFiles:
    """A `raftd.node.ports.SnapshotStore` in one directory.

    raft-snapshot thread, but `read_chunk`: any thread, and `open_body`: the machine's owner. At
    most one incoming snapshot is kept: a new one discards what another sender left unfinished.
    """

    def __init__(self, fs: FileSystem, directory: str, size_max: int = SIZE_MAX_BYTES) -> None:
        """size_max: bytes of the largest snapshot that is received."""
        self._fs = fs
        self._directory = directory
        self._size_max = size_max
        self._created = 0
        self._incoming: tuple[NodeId, Incoming] | None = None

    def path(self, meta: SnapshotMeta) -> str:
        return f"{self._directory}/{snapshot_name(meta)}"

    def create(
        self, index: Index, term: Term, configuration: Configuration, sessions: bytes
    ) -> Sink:
        """Raises NoSpace, OSError."""
        self._created += 1
        path = f"{self._directory}/own-{self._created}{TEMPORARY_SUFFIX}"
        return Sink(self._fs, self._directory, path, index, term, configuration, sessions)

    def receive(self, sender: NodeId, meta: SnapshotMeta) -> Incoming:
        """Raises TooLarge, NoSpace (it could not fit: nothing was written), OSError."""
        if self._incoming is not None:
            known, incoming = self._incoming
            if known == sender and incoming.meta == meta and not incoming.finished:
                return incoming
            incoming.discard()
            self._incoming = None
        if meta.size_bytes > self._size_max:
            raise TooLarge(meta.size_bytes, self._size_max, sender)
        if meta.size_bytes > self._fs.room(self._directory)[0]:
            full = OSError(errno.ENOSPC, "so much is not free")
            raise NoSpace(self.path(meta), meta.size_bytes, full)
        incoming = Incoming(self._fs, self._directory, f"{self._directory}/{INCOMING_NAME}", meta)
        self._incoming = (sender, incoming)
        return incoming

    def read_chunk(self, meta: SnapshotMeta, offset: int, size_bytes: int) -> bytes:
        """Raises FileNotFoundError if that snapshot is gone."""
        file = self._fs.open(self.path(meta))
        try:
            return file.read(offset, size_bytes)
        finally:
            file.close()

    def reread(
        self, meta: SnapshotMeta, offset: int, size_bytes: int, crc: int
    ) -> tuple[int, int, str]:
        """See the port. raft-snapshot thread."""
        path = self.path(meta)
        try:
            file = self._fs.open(path)
        except FileNotFoundError:
            return offset, crc, f"{path} is missing"
        try:
            return reread_piece(file, path, meta, offset, size_bytes, crc)
        finally:
            file.close()

    def open_body(self, meta: SnapshotMeta) -> tuple[bytes, BinaryIO]:
        """(sessions, reader of the machine's bytes), all of it checked. Raises CorruptSnapshot.

        The caller closes the reader.
        """
        path = self.path(meta)
        try:
            file = self._fs.open(path)
        except FileNotFoundError:
            raise CorruptSnapshot(path, "the file is missing") from None
        try:
            header = check_file(file, meta, path)
            sessions = file.read(header.size, header.sessions_bytes)
        except BaseException:
            file.close()
            raise
        return sessions, body_reader(file, header.size + header.sessions_bytes, meta.size_bytes)

    def retain(self, keep: Sequence[SnapshotMeta]) -> None:
        """Remove every finished snapshot but these, and but those at or after the newest of these.

        Such a one was finished after `keep` was drawn up: whoever drew it up has yet to hear of
        it. What a crash brings back goes next time. Of one that arrives the part that is here goes,
        too, if it is not newer than these: its sender was lost, and nobody wants it any more.
        """
        newest = max((meta.index for meta in keep), default=0)
        if self._incoming is not None and self._incoming[1].meta.index <= newest:
            incoming, self._incoming = self._incoming[1], None
            incoming.discard()
        self._remove_others(keep, below=newest)

    def _remove_others(self, keep: Sequence[SnapshotMeta], below: Index) -> None:
        names = {snapshot_name(meta) for meta in keep}
        for name in self._fs.listdir(self._directory):
            if not SNAPSHOT_NAME.fullmatch(name) or name in names:
                continue
            if int(name.partition("-")[0], 16) < below:
                self._fs.unlink(f"{self._directory}/{name}")

    def check(self, meta: SnapshotMeta) -> None:
        """At start: read all of it, a piece at a time. Raises CorruptSnapshot, UnknownFormat."""
        path = self.path(meta)
        try:
            file = self._fs.open(path)
        except FileNotFoundError:
            raise CorruptSnapshot(path, "the file is missing, and the log names it") from None
        try:
            check_file(file, meta, path)
        finally:
            file.close()

    def check_writable(self, room_bytes: int = 0) -> None:
        """May files be made here, and one of so many bytes? raft-bulk thread, or at start.

        Raises NotWritable; NoSpace, if `room_bytes` are not free: 0 at start, for a node must be
        able to start on a full disk.
        """
        if not self._fs.may_write(self._directory):
            raise NotWritable(self._directory)
        if room_bytes > self.free_bytes():
            raise NoSpace(self._directory, room_bytes, OSError(errno.ENOSPC, "the disk is full"))

    def free_bytes(self) -> int:
        """On the disk of the snapshots. raft-bulk thread. Raises OSError."""
        return self._fs.room(self._directory)[0]

    def clean(self, marked: SnapshotMeta | None) -> None:
        """At start: remove what no marker names, and every partial file. Raises CorruptSnapshot."""
        try:
            names = self._fs.listdir(self._directory)
        except FileNotFoundError:
            raise CorruptSnapshot(self._directory, "the directory is missing") from None
        self._remove_others([] if marked is None else [marked], below=INDEX_MAX)
        for name in names:
            if name.endswith(TEMPORARY_SUFFIX):
                self._fs.unlink(f"{self._directory}/{name}")
