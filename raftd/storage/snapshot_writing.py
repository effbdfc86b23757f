"""A snapshot file on its way to its final name: our own, or a leader's that arrives in pieces."""

from __future__ import annotations

import re
import zlib
from contextlib import suppress
from dataclasses import replace

from raftd.core.types import Configuration, Index, SnapshotMeta, Term
from raftd.storage.errors import (
    CorruptSnapshot,
    NoFiles,
    NoSpace,
    StorageError,
    is_no_files,
    is_no_space,
)
from raftd.storage.fs import File, FileSystem, Spread
from raftd.storage.snapshot_file import check_file, encode_header, file_crc, header_size

SNAPSHOT_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{8}\.snap")
TEMPORARY_SUFFIX = ".tmp"

ALLOCATE_BYTES = 16 << 20
"""Room taken ahead of what has arrived: what is only announced takes none."""


def snapshot_name(meta: SnapshotMeta) -> str:
    return f"{meta.index:016x}-{meta.term:016x}-{meta.crc:08x}.snap"


class _Partial:
    """A file under a temporary name, until it is finished one way or the other."""

    def __init__(self, fs: FileSystem, directory: str, path: str) -> None:
        self._fs = fs
        self._directory = directory
        self._path = path
        self._file: File | None = None
        with suppress(FileNotFoundError):
            fs.unlink(path)  # of an earlier life
        try:
            self._file = fs.create(path)
        except OSError as error:
            self.discard()
            if is_no_space(error):
                raise NoSpace(path, 0, error) from error
            if is_no_files(error):
                raise NoFiles(path, error) from error
            raise
        self._spread = Spread(self._file)

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
        try:
            self._spread.wrote(len(data))
        except OSError as error:
            self.discard()  # as in `_publish`
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
        try:
            self._fs.rename(self._path, f"{self._directory}/{snapshot_name(meta)}")
        except OSError as error:
            self.discard()  # or a whole snapshot would stay on the full disk after each attempt
            if is_no_space(error):  # some file systems need room for a name
                raise NoSpace(self._path, meta.size_bytes, error) from error
            raise
        file.close()
        self._file = None
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
        super().__init__(fs, directory, path)
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
        super().__init__(fs, directory, path)
        self.meta = meta
        self.next_offset = 0
        self._allocated = 0
        self._crc = 0

    def store(self, offset: int, data: bytes) -> int:
        """See the port. Raises NoSpace, CorruptSnapshot (more bytes than announced), OSError."""
        if offset != self.next_offset:
            return self.next_offset
        if offset + len(data) > self.meta.size_bytes:
            self.discard()
            raise CorruptSnapshot(self._path, f"more than the {self.meta.size_bytes} bytes named")
        self._allocate(offset + len(data))
        self._write(offset, data)
        self._crc = zlib.crc32(data, self._crc)
        self.next_offset += len(data)
        return self.next_offset

    def _allocate(self, end: int) -> None:
        """A step at a time. The last one ends where the file does."""
        if end <= self._allocated:
            return
        size = min(self.meta.size_bytes, end + ALLOCATE_BYTES)
        try:
            self._open().preallocate(size)
        except OSError as error:
            if is_no_space(error):
                raise NoSpace(self._path, size - self._allocated, error) from error
            raise
        self._allocated = size

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
