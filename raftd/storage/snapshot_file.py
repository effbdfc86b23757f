"""The bytes of a snapshot file: header, whole-file check, and a reader for the machine's part."""

from __future__ import annotations

import errno
import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from raftd.core.types import Configuration, Index, SnapshotMeta, Term
from raftd.storage import record
from raftd.storage.errors import CorruptSnapshot, UnknownFormat
from raftd.storage.fs import Buffer, File
from raftd.storage.record import Malformed

SNAPSHOT_MAGIC = b"RAFTDSNP"
SNAPSHOT_VERSION = 2
"""Version 1 holds a plain configuration only, and is still what is written for one."""
READ_BYTES = 1 << 20
CONFIGURATION_MAX_BYTES = 1 << 20
_HEADER = struct.Struct("<8sIIQQQQII32sI")
_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """size: of the header itself, in bytes."""

    index: Index
    term: Term
    configuration: Configuration
    sessions_bytes: int
    body_bytes: int
    sessions_crc: int
    body_crc: int
    size: int


def header_size(configuration: Configuration) -> int:
    return _HEADER.size + len(_encode_configuration(configuration)) + 4


def encode_header(
    meta: SnapshotMeta, sessions_bytes: int, body_bytes: int, sessions_crc: int, body_crc: int
) -> bytes:
    configuration = _encode_configuration(meta.configuration)
    head = _HEADER.pack(
        SNAPSHOT_MAGIC,
        1 if meta.configuration.is_plain() else SNAPSHOT_VERSION,
        _HEADER.size + len(configuration) + 4,
        meta.index,
        meta.term,
        sessions_bytes,
        body_bytes,
        sessions_crc,
        body_crc,
        _DIGEST,
        len(configuration),
    )
    head += configuration
    return head + zlib.crc32(head).to_bytes(4, "little")


class Readable(Protocol):
    """As much of a file as reading a header needs."""

    def read(self, offset: int, size: int) -> bytes: ...


def read_header(file: Readable, path: str) -> SnapshotHeader:
    """Raises CorruptSnapshot, UnknownFormat."""
    data = file.read(0, _HEADER.size)
    if len(data) < _HEADER.size or not data.startswith(SNAPSHOT_MAGIC):
        raise CorruptSnapshot(path, "it does not start like a snapshot")
    fields = _HEADER.unpack(data)
    _, version, size, index, term, sessions, body, sessions_crc, body_crc, _, length = fields
    if length > CONFIGURATION_MAX_BYTES or size != _HEADER.size + length + 4:
        raise CorruptSnapshot(path, "its header's length is wrong")
    rest = file.read(_HEADER.size, length + 4)
    crc = zlib.crc32(rest[:length], zlib.crc32(data))
    if crc != int.from_bytes(rest[length:], "little") or len(rest) != length + 4:
        raise CorruptSnapshot(path, "its header's checksum is wrong")
    if not 1 <= version <= SNAPSHOT_VERSION:
        raise UnknownFormat(path, version, SNAPSHOT_VERSION)
    try:
        configuration = record.decode_meta_tail(index, term, rest[:length]).configuration
    except Malformed as error:
        raise CorruptSnapshot(path, str(error)) from None
    return SnapshotHeader(index, term, configuration, sessions, body, sessions_crc, body_crc, size)


def file_crc(file: File, start: int, end: int) -> int:
    crc = 0
    while start < end:
        data = file.read(start, min(READ_BYTES, end - start))
        if not data:
            break
        crc = zlib.crc32(data, crc)
        start += len(data)
    return crc


def check_file(file: File, meta: SnapshotMeta, path: str) -> SnapshotHeader:
    """Compare a whole file with what it should be. Raises CorruptSnapshot, UnknownFormat."""
    size = file.size()
    if size != meta.size_bytes:
        raise CorruptSnapshot(path, f"it has {size} bytes instead of {meta.size_bytes}")
    crc = file_crc(file, 0, size)
    if crc != meta.crc:
        raise CorruptSnapshot(path, f"its checksum is {crc:08x} instead of {meta.crc:08x}")
    header = read_header(file, path)
    found = (header.index, header.term, header.configuration)
    if found != (meta.index, meta.term, meta.configuration):
        raise CorruptSnapshot(
            path, f"it is of index {header.index} term {header.term}, or another configuration"
        )
    if header.size + header.sessions_bytes + header.body_bytes != size:
        raise CorruptSnapshot(path, "its parts do not add up to its size")
    return header


def reread_piece(
    file: File, path: str, meta: SnapshotMeta, offset: int, size_bytes: int, crc: int
) -> tuple[int, int, str]:
    """See the port's `reread`. Raises OSError, but for one that says that the device lost it."""
    try:
        file.forget()  # the cache may still hold what the device has lost
        data = file.read(offset, min(size_bytes, meta.size_bytes - offset))
        size = file.size()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return offset, crc, f"{path} cannot be read at offset {offset}: {error.strerror}"
    offset, crc = offset + len(data), zlib.crc32(data, crc)
    if size != meta.size_bytes or not data:
        return offset, crc, f"{path} has {size} bytes instead of {meta.size_bytes}"
    if offset == meta.size_bytes and crc != meta.crc:
        return offset, crc, f"{path} has checksum {crc:08x} instead of {meta.crc:08x}"
    return offset, crc, ""


def _encode_configuration(configuration: Configuration) -> bytes:
    return record.encode_meta_tail(SnapshotMeta(0, 0, configuration))


class _Body(io.RawIOBase):
    """A part of a file as a stream."""

    def __init__(self, file: File, start: int, end: int) -> None:
        self._file = file
        self._at = start
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        view = memoryview(buffer)
        data = self._file.read(self._at, min(len(view), self._end - self._at))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def body_reader(file: File, start: int, end: int) -> BinaryIO:
    """A reader of bytes start..end; closing it closes the file."""
    return io.BufferedReader(_Body(file, start, end), READ_BYTES)
