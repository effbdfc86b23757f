"""One segment of the log: its file name, its header, and how a new one is made.

The header stands for everything that the segments before it said, so that those can go:

    "RAFTDWAL" | version u32 | length u32 | directory u64 | number u64 | allocated u64 |
    sequence u64 | seed u32 | last_index u64 | crc u32, then `length` bytes of records

`sequence` is that of the first batch; `seed` the checksum of the last batch before the seal of the
segment before; `last_index` the end of the log at that moment; the records repeat term and vote,
the admitted mark, the incarnations and the newest snapshot, and name a block's size (lanes.py).
`crc` covers all of it but itself. A file is made with all its `allocated` bytes: another size is
damage. Version 1 had no blocks. These fields stay where they are in every version, so that an older
raftd can say that it is too old.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from raftd.core.types import (
    HardState,
    Incarnation,
    Index,
    NodeId,
    SnapshotMarker,
    SnapshotMeta,
)
from raftd.storage import framing, lanes, record
from raftd.storage.errors import NoSpace, UnknownFormat, is_no_space
from raftd.storage.framing import BATCH_HEADER, FORMAT
from raftd.storage.fs import File, FileSystem
from raftd.storage.lanes import BLOCK_BYTES, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, Lanes, Packed
from raftd.storage.record import RECORD, Malformed, RecordType

SEGMENT_MAGIC = b"RAFTDWAL"
SEGMENT_HEADER = struct.Struct("<8sIIQQQQIQI")
SEGMENT_NAME = re.compile(r"([0-9]{16})\.wal")

HEADER_MAX_BYTES = 16 << 20
"""A header that is longer is damage, and is not read."""

SEGMENT_MAX_BYTES = 4 << 30
"""More than any segment that this raftd makes."""
SCAN_BYTES = 1 << 20

SEAL_BYTES = BATCH_HEADER.size + RECORD.size
assert SEAL_BYTES <= BLOCK_BYTES_MIN


class Header(NamedTuple):
    """A checked segment header. size: where the first batch starts, in bytes."""

    directory: int
    number: int
    allocated: int
    sequence: int
    seed: int
    last_index: Index
    crc: int
    size: int
    books: Books
    version: int
    block: int
    """Bytes; 0 in version 1."""

    def layout(self) -> Lanes | Packed:
        """For the first batch."""
        if self.version == 1:
            return Packed(self.size, self.allocated)
        return Lanes(self.size, self.allocated, self.block)


class BadHeader(ValueError):
    """Not a segment's header: torn while it was made, or damaged since."""


@dataclass(slots=True)
class Books:
    """What a log has said so far, beside its entries."""

    hard_state: HardState = HardState(0, None)  # noqa: RUF009 - immutable
    admitted: bool = False
    records: dict[NodeId, Incarnation] = field(default_factory=dict)
    snapshot: SnapshotMeta | None = None

    def record(self, node: NodeId, incarnation: Incarnation) -> None:
        """An empty incarnation undoes what was recorded of `node`: see storage/undo.py."""
        if incarnation:
            self.records[node] = incarnation
        else:
            self.records.pop(node, None)

    def encode(self) -> bytes:
        parts = [record.encode_hard_state(self.hard_state)]
        if self.snapshot is not None:
            parts.append(record.encode_marker(SnapshotMarker(self.snapshot, reset=False)))
        if self.admitted:
            parts.append(record.encode_record(RecordType.ADMITTED))
        parts += [record.encode_incarnation(*item) for item in sorted(self.records.items())]
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> tuple[Books, int]:
        """And the block's size, 0 if nothing says it. Raises Malformed."""
        books, block = cls(), 0
        for item in record.decode_records(data, 0, len(data)):
            if item.type == RecordType.HARD_STATE:
                books.hard_state = record.decode_hard_state(item)
            elif item.type == RecordType.MARKER:
                books.snapshot = record.decode_marker(item).meta
            elif item.type == RecordType.ADMITTED:
                books.admitted = True
            elif item.type == RecordType.INCARNATION:
                books.record(*record.decode_incarnation(item))
            elif item.type == RecordType.BLOCK:
                block = item.position
            else:
                raise Malformed(f"record type {item.type} in a segment header")
        return books, block


def segment_name(number: int) -> str:
    return f"{number:016d}.wal"


def segment_numbers(names: list[str]) -> list[int]:
    """Numbers of the segments among the names of a directory, ascending."""
    found = [SEGMENT_NAME.fullmatch(name) for name in names]
    return sorted(int(match.group(1)) for match in found if match is not None)


def encode_header(
    directory: int,
    number: int,
    allocated: int,
    sequence: int,
    seed: int,
    last_index: Index,
    books: Books,
    block: int = BLOCK_BYTES,
) -> tuple[bytes, int]:
    """(bytes, checksum)."""
    body = _body(books, block)
    head = SEGMENT_HEADER.pack(
        SEGMENT_MAGIC,
        FORMAT,
        len(body),
        directory,
        number,
        allocated,
        sequence,
        seed,
        last_index,
        0,
    )
    crc = zlib.crc32(head + body)
    return head[:-4] + crc.to_bytes(4, "little") + body, crc


def _body(books: Books, block: int) -> bytes:
    return books.encode() + record.encode_record(RecordType.BLOCK, index=block)


def decode_header(data: bytes, path: str) -> Header:
    """Check the header at the start of `data`. Raises BadHeader, UnknownFormat."""
    if len(data) < SEGMENT_HEADER.size:
        raise BadHeader("the file is shorter than a segment header")
    fields = SEGMENT_HEADER.unpack_from(data)
    magic, version, length, directory, number, allocated, sequence, seed, last_index, crc = fields
    if magic != SEGMENT_MAGIC:
        raise BadHeader("it does not start with a segment's magic")
    size = SEGMENT_HEADER.size + length
    if length > len(data) - SEGMENT_HEADER.size:
        raise BadHeader("its header is longer than the file")
    head = zlib.crc32(bytes(4), zlib.crc32(data[: SEGMENT_HEADER.size - 4]))
    if zlib.crc32(data[SEGMENT_HEADER.size : size], head) != crc:
        raise BadHeader("its header's checksum is wrong")
    if version > FORMAT:
        raise UnknownFormat(path, version, FORMAT)
    try:
        books, block = Books.decode(data[SEGMENT_HEADER.size : size])
    except Malformed as error:
        raise BadHeader(str(error)) from None
    fits = block == 0 if version == 1 else BLOCK_BYTES_MIN <= block <= BLOCK_BYTES_MAX
    if not fits or version < 1:
        raise BadHeader(f"it is of version {version} with blocks of {block} bytes")
    if block and (allocated % block or allocated < lanes.segment_bytes_for(size, 0, 0, block)):
        raise BadHeader(f"it has {allocated} bytes in blocks of {block}")
    return Header(
        directory, number, allocated, sequence, seed, last_index, crc, size, books, version, block
    )


def load_header(file: File, path: str) -> Header:
    """The header alone, of a file of any size. Raises BadHeader, UnknownFormat, OSError."""
    data = file.read(0, SEGMENT_HEADER.size)
    if len(data) == SEGMENT_HEADER.size:
        length = SEGMENT_HEADER.unpack_from(data)[2]
        if data.startswith(SEGMENT_MAGIC) and length <= HEADER_MAX_BYTES:
            data += file.read(SEGMENT_HEADER.size, length)
    return decode_header(data, path)


def holds_more(file: File, header_bytes: int, directory: int | None) -> bool:
    """Whether anything was ever written behind the header, of a file of any size.

    header_bytes 0: the header cannot be read; then whether a batch or mark of ours begins anywhere.
    """
    size = file.size()
    if size > SEGMENT_MAX_BYTES:
        return True
    for start in range(header_bytes, size, SCAN_BYTES):
        data = file.read(start, SCAN_BYTES + framing.START_BYTES - 1)
        if header_bytes:
            if data[:SCAN_BYTES].strip(b"\0"):
                return True
        elif framing.begins_in(data, directory):
            return True
    return False


def make_segment(
    fs: FileSystem, path: str, directory: int, number: int, size_bytes: int, sequence: int,
    seed: int, last_index: Index, books: Books, batch_bytes: int = 0, block: int = BLOCK_BYTES,
) -> tuple[File, Header]:  # fmt: skip
    """A new segment, its bytes synced, its name not: the caller syncs the directory.

    size_bytes: what to allocate, or more if a batch of `batch_bytes` needs it. Raises NoSpace with
    nothing left behind, OSError.
    """
    body = SEGMENT_HEADER.size + len(_body(books, block))
    allocated = lanes.segment_bytes_for(body, batch_bytes, size_bytes, block)
    data, _ = encode_header(directory, number, allocated, sequence, seed, last_index, books, block)
    file: File | None = None
    try:
        file = fs.create(path)
        file.preallocate(allocated)
        file.write(0, data)
        file.sync()
    except OSError as error:
        if file is not None:
            file.close()
        if not is_no_space(error):
            raise
        if file is not None:
            fs.unlink(path)
        raise NoSpace(path, allocated, error) from error
    return file, decode_header(data, path)
