"""Snapshot files: written under a temporary name, checked, synced, renamed, the directory synced.

    "RAFTDSNP" | version u32 | header length u32 | index u64 | term u64 | sessions length u64 |
    body length u64 | sessions crc u32 | body crc u32 | digest 32 bytes (reserved: zeros) |
    configuration length u32, configuration | crc u32 of the header before it; sessions; body

The whole file travels to other nodes as it is, so nothing in it names a node or a directory. Its
name carries index, term and the checksum of the whole, which the log's marker knows as well.
"""

from __future__ import annotations

import errno
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

from raftd.core.types import INDEX_MAX, Configuration, Index, NodeId, SnapshotMeta, Term
from raftd.storage.errors import (
    CorruptSnapshot,
    NoFiles,
    NoSpace,
    NotWritable,
    StorageError,
    is_no_files,
    is_no_space,
)
from raftd.storage.fs import File, FileSystem
from raftd.storage.snapshot_file import (
    body_reader,
    check_file,
    encode_header,
    file_crc,
    header_size,
)

SNAPSHOT_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{8}\.snap")
TEMPORARY_SUFFIX = ".tmp"
INCOMING_NAME = "incoming.tmp"


def snapshot_name(meta: SnapshotMeta) -> str:
    return f"{meta.index:016x}-{meta.term:016x}-{meta.crc:08x}.snap"


class SnapshotFiles:
    """A `raftd.node.ports.SnapshotStore` in one directory.

    raft-snapshot thread, but `read_chunk`: any thread, and `open_body`: the machine's owner. At
    most one incoming snapshot is kept: a new one discards what another sender left unfinished.
    """

    def __init__(self, fs: FileSystem, directory: str) -> None:
        self._fs = fs
        self._directory = directory
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
        """Raises NoSpace, OSError."""
        if self._incoming is not None:
            known, incoming = self._incoming
            if known == sender and incoming.meta == meta and not incoming.finished:
                return incoming
            incoming.discard()
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
        it. What a crash brings back goes next time.
        """
        newest = max((meta.index for meta in keep), default=0)
        self._remove_others(keep, below=newest)

    def _remove_others(self, keep: Sequence[SnapshotMeta], below: Index) -> None:
        names = {snapshot_name(meta) for meta in keep}
        for name in self._fs.listdir(self._directory):
            if not SNAPSHOT_NAME.fullmatch(name) or name in names:
                continue
            if int(name.partition("-")[0], 16) < below:
                self._fs.unlink(f"{self._directory}/{name}")

    def check_present(self, meta: SnapshotMeta) -> None:
        """A quick look at start: name and size. Raises CorruptSnapshot."""
        path = self.path(meta)
        try:
            size = self._fs.size(path)
        except FileNotFoundError:
            raise CorruptSnapshot(path, "the file is missing, and the log names it") from None
        if size != meta.size_bytes:
            raise CorruptSnapshot(path, f"it has {size} bytes instead of {meta.size_bytes}")

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


class _Partial:
    """A file under a temporary name, until it is finished one way or the other."""

    def __init__(self, fs: FileSystem, directory: str, path: str, room_bytes: int) -> None:
        self._fs = fs
        self._directory = directory
        self._path = path
        self._file: File | None = None
        with suppress(FileNotFoundError):
            fs.unlink(path)  # of an earlier life
        try:
            self._file = fs.create(path)
            if room_bytes:
                self._file.preallocate(room_bytes)
        except OSError as error:
            self.discard()
            if is_no_space(error):
                raise NoSpace(path, room_bytes, error) from error
            if is_no_files(error):
                raise NoFiles(path, error) from error
            raise

    @property
    def finished(self) -> bool:
        return self._file is None

    def discard(self) -> None:
        """Remove what was written. Harmless after the end."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
            self._fs.unlink(self._path)

    def _open(self) -> File:
        if self._file is None:
            raise ValueError(f"{self._path} is finished")
        return self._file

    def _write(self, offset: int, data: bytes) -> None:
        try:
            self._open().write(offset, data)
        except OSError as error:
            if is_no_space(error):
                raise NoSpace(self._path, len(data), error) from error
            raise

    def _publish(self, meta: SnapshotMeta) -> None:
        """Sync, rename, sync the directory: after it the file survives any crash."""
        file = self._open()
        try:
            file.sync()
        except OSError as error:
            if is_no_space(error):
                self.discard()  # never sync it again: that would succeed and mean nothing
                raise NoSpace(self._path, meta.size_bytes, error) from error
            raise
        file.close()
        self._file = None
        self._fs.rename(self._path, f"{self._directory}/{snapshot_name(meta)}")
        self._fs.sync_directory(self._directory)


class Sink(_Partial):
    """A `raftd.node.ports.SnapshotSink`. `write` and `commit` raise NoSpace (then `discard`)."""

    def __init__(
        self,
        fs: FileSystem,
        directory: str,
        path: str,
        index: Index,
        term: Term,
        configuration: Configuration,
        sessions: bytes,
    ) -> None:
        super().__init__(fs, directory, path, 0)
        self._meta = SnapshotMeta(index, term, configuration)
        self._sessions_bytes = len(sessions)
        self._sessions_crc = zlib.crc32(sessions)
        self._body_start = header_size(configuration) + len(sessions)
        self._end = self._body_start
        self._body_crc = 0
        try:
            self._write(header_size(configuration), sessions)
        except BaseException:
            self.discard()
            raise

    def write(self, data: bytes) -> None:
        """The next bytes of the machine's state."""
        self._write(self._end, data)
        self._end += len(data)
        self._body_crc = zlib.crc32(data, self._body_crc)

    def commit(self) -> SnapshotMeta:
        """Finish the header, read everything back, make it durable. Raises CorruptSnapshot too."""
        body_bytes = self._end - self._body_start
        header = encode_header(
            self._meta, self._sessions_bytes, body_bytes, self._sessions_crc, self._body_crc
        )
        self._write(0, header)
        file = self._open()
        if file_crc(file, self._body_start, self._end) != self._body_crc:
            self.discard()
            raise CorruptSnapshot(self._path, "it reads back otherwise than it was written")
        crc = file_crc(file, 0, self._end)
        meta = replace(self._meta, size_bytes=self._end, crc=crc)
        self._publish(meta)
        return meta


class Incoming(_Partial):
    """A `raftd.node.ports.IncomingSnapshot`. Lives as long as the process: a restart starts over,

    for a crash may have lost any part of a file that was not synced.
    """

    def __init__(self, fs: FileSystem, directory: str, path: str, meta: SnapshotMeta) -> None:
        super().__init__(fs, directory, path, meta.size_bytes)
        self.meta = meta
        self.next_offset = 0
        self._crc = 0

    def store(self, offset: int, data: bytes) -> int:
        """See the port. Raises NoSpace, CorruptSnapshot (more bytes than announced), OSError."""
        if offset != self.next_offset:
            return self.next_offset
        if offset + len(data) > self.meta.size_bytes:
            self.discard()
            raise CorruptSnapshot(self._path, f"more than the {self.meta.size_bytes} bytes named")
        self._write(offset, data)
        self._crc = zlib.crc32(data, self._crc)
        self.next_offset += len(data)
        return self.next_offset

    def commit(self) -> SnapshotMeta:
        """See the port. Raises CorruptSnapshot (the partial file is gone then), NoSpace."""
        try:
            if self.next_offset != self.meta.size_bytes or self._crc != self.meta.crc:
                raise CorruptSnapshot(
                    self._path,
                    f"{self.next_offset} bytes with checksum {self._crc:08x} arrived instead of "
                    f"{self.meta.size_bytes} with {self.meta.crc:08x}",
                )
            check_file(self._open(), self.meta, self._path)
        except StorageError:
            self.discard()
            raise
        self._publish(self.meta)
        return self.meta
