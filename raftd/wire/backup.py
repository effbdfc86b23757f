"""A backup file: one snapshot of one node, as bytes that prove that nothing is missing.

    head    "RAFTDBAK" | version u32 | length of the rest of the head u32 | index u64 | term u64 |
            snapshot bytes u64 | snapshot crc u32 | cluster id | node id | crc u32 of all before;
            each id: length u8, ASCII
    chunk   size u32, 1..4 MiB | crc u32 | data
    end     0 u32 | crc u32 | SHA-256 of all before, 32 bytes; nothing follows

Integers are little-endian, checksums are zlib's CRC-32. A chunk's crc goes on from the one before
it, the first one's from the head's, so no chunk can be lost, doubled or moved. The chunks together
are a snapshot file (its format is that of raftd's data directories, with a version of its own).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final
from zlib import crc32

MAGIC: Final = b"RAFTDBAK"
VERSION: Final = 1
CHUNK_BYTES_MAX: Final = 4 << 20
_FIRST: Final = struct.Struct("<8sII")
_FIXED: Final = struct.Struct("<QQQI")
_CRC: Final = struct.Struct("<I")
_CHUNK: Final = struct.Struct("<II")
_REST_BYTES_MAX: Final = _FIXED.size + 2 * 256 + _CRC.size
SHA256_BYTES: Final = 32


class BadBackup(Exception):
    """A backup that is damaged, cut or unreadable. One line: which file, where, the next step."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup is of. index, term: of the last log entry in it. crc: of the snapshot file."""

    cluster: str
    node: str
    index: int
    term: int
    size_bytes: int
    crc: int


def encode_head(head: Head) -> bytes:
    """Raises ValueError for an id that is too long or not ASCII."""
    rest = _FIXED.pack(head.index, head.term, head.size_bytes, head.crc)
    for word in (head.cluster, head.node):
        data = word.encode("ascii")
        if len(data) > 255:
            raise ValueError(f"the id {word[:32]!r}... has {len(data)} bytes, the limit is 255")
        rest += bytes((len(data),)) + data
    data = _FIRST.pack(MAGIC, VERSION, len(rest) + _CRC.size) + rest
    return data + _CRC.pack(crc32(data))


class BackupWriter:
    """Writes a backup piece by piece. One thread at a time."""

    def __init__(self, head: Head, write: Callable[[bytes], object]) -> None:
        """write: takes all of what it is given; what it raises passes through. Writes the head."""
        self._head = head
        self._write_on = write
        self._sha = hashlib.sha256()
        self._snapshot_crc = 0
        self._done_bytes = 0
        data = encode_head(head)
        self._chain = crc32(data[: -_CRC.size])
        self._write(data)

    @property
    def done_bytes(self) -> int:
        """Of the snapshot, so far."""
        return self._done_bytes

    def add(self, data: bytes) -> None:
        """The next bytes of the snapshot file."""
        for at in range(0, len(data), CHUNK_BYTES_MAX):
            chunk = data[at : at + CHUNK_BYTES_MAX]
            self._chain = crc32(chunk, self._chain)
            self._snapshot_crc = crc32(chunk, self._snapshot_crc)
            self._done_bytes += len(chunk)
            self._write(_CHUNK.pack(len(chunk), self._chain))
            self._write(chunk)

    def finish(self) -> str:
        """The end; returns the SHA-256 in hex. Raises BadBackup if this is not what was announced:
        the node's file is damaged, or the connection lied.
        """
        head = self._head
        if (self._done_bytes, self._snapshot_crc) != (head.size_bytes, head.crc):
            raise BadBackup(
                f"{head.node} sent {self._done_bytes} bytes with checksum {self._snapshot_crc:08x} "
                f"instead of {head.size_bytes} with {head.crc:08x}: back up from another node"
            )
        self._write(_CHUNK.pack(0, self._chain))
        self._write_on(self._sha.digest())
        return self._sha.hexdigest()

    def _write(self, data: bytes) -> None:
        self._sha.update(data)
        self._write_on(data)


class BackupReader:
    """Reads a backup from the start. One thread at a time.

    head: what it is of. sha256: in hex, once `chunks` has come to its end.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        """name: of the file, for errors. Reads the head. Raises BadBackup, OSError."""
        self._file = file
        self._name = name
        self._at = 0
        self._sha = hashlib.sha256()
        self.sha256 = ""
        self.head, self._chain = self._read_head()

    def chunks(self) -> Iterator[bytes]:
        """The snapshot file's bytes. Only when it has ended they are proven to be all.

        Raises BadBackup, OSError.
        """
        snapshot_crc, size_bytes = 0, 0
        while True:
            size, crc = _CHUNK.unpack(self._take(_CHUNK.size))
            if size > CHUNK_BYTES_MAX:
                raise self._bad(f"a chunk of {size} bytes, the limit is {CHUNK_BYTES_MAX}")
            data = self._take(size)
            self._chain = crc32(data, self._chain)
            if crc != self._chain:
                raise self._bad("a chunk's checksum is wrong")
            if not size:
                break
            snapshot_crc, size_bytes = crc32(data, snapshot_crc), size_bytes + size
            yield data
        self._read_end(size_bytes, snapshot_crc)

    def _read_head(self) -> tuple[Head, int]:
        first = self._take(_FIRST.size)
        magic, version, length = _FIRST.unpack(first)
        if magic != MAGIC:
            raise BadBackup(
                f"{self._name} does not start like a backup: name a file of `raftctl "
                "backup`, or of `etcdctl snapshot save` from a member of raftd"
            )
        if version > VERSION:
            raise BadBackup(
                f"{self._name} has format version {version}, this raftd knows up to {VERSION}: "
                "use a newer raftd"
            )
        if version < 1 or not _FIXED.size + 2 + _CRC.size <= length <= _REST_BYTES_MAX:
            raise self._bad("the head's length or version is wrong")
        rest = self._take(length)
        crc = crc32(rest[: -_CRC.size], crc32(first))
        if _CRC.pack(crc) != rest[-_CRC.size :]:
            raise self._bad("the head's checksum is wrong")
        index, term, size_bytes, snapshot_crc = _FIXED.unpack_from(rest)
        try:
            cluster, at = _word(rest, _FIXED.size)
            node, at = _word(rest, at)
        except (IndexError, ValueError):
            raise self._bad("the head's ids are wrong") from None
        if at != length - _CRC.size:
            raise self._bad("the head's ids are wrong")
        return Head(cluster, node, index, term, size_bytes, snapshot_crc), crc

    def _read_end(self, size_bytes: int, crc: int) -> None:
        if (size_bytes, crc) != (self.head.size_bytes, self.head.crc):
            raise self._bad(f"it holds {size_bytes} bytes instead of {self.head.size_bytes}")
        digest = self._sha.digest()
        if self._take(SHA256_BYTES) != digest:
            raise self._bad("its SHA-256 is wrong")
        if self._file.read(1):
            raise self._bad("more bytes follow the end")
        self.sha256 = digest.hex()

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            self._at += len(data)
            raise self._bad("it ends too early")
        self._at += size
        self._sha.update(data)
        return data

    def _bad(self, what: str) -> BadBackup:
        return BadBackup(
            f"backup is damaged: {self._name} before offset {self._at}: {what}; use another copy"
        )


def _word(data: bytes, at: int) -> tuple[str, int]:
    """Raises IndexError, ValueError."""
    end = at + 1 + data[at]
    word = data[at + 1 : end].decode("ascii")
    if not word.isprintable():  # it is shown to people, on terminals
        raise ValueError(word)
    return word, end
