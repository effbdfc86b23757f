"""Frames of the log: batches, which become durable as one, and marks of what is synced.

All integers are little-endian. A batch is a header and records (record.py):

    magic u32 | directory u64 | sequence u64 | length u32 | previous u32 | head u32 | 0 u32 |
    crc u32

`crc` (CRC-32 as in zlib) covers the header with its own field as zero, and all records, so a batch
can be checked by itself; `head` covers the fields before it. `directory` is this data directory's
own number, `sequence` counts batches over all segments, `previous` is the checksum of the batch
before (or of the segment's header): a swapped, stale or foreign block does not fit.

A batch is written only when the one before is synced. So a header that is whole proves that damage
to a batch with a smaller sequence is no torn write, even if its own records are gone. Where no
later batch says so, a mark does: every batch with a sequence below `synced_before` was synced.

    magic u32 | directory u64 | synced_before u64 | crc u32

Where both lie is told in lanes.py. In version 1 the fields `head` and 0 were one u64, the batch's
own `synced_before`; a batch without records took the part of the mark.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

FORMAT = 2
"""The version that is written. Version 1 is read, for ever."""

_MAGIC_START = b"\xd5RB"
BATCH_MAGICS = {1: b"\xd5RBt", FORMAT: b"\xd5RBu"}
MARK_MAGIC = b"\xd5RBm"
_VERSIONS = {magic: version for version, magic in BATCH_MAGICS.items()}
_NUMBERS = {version: int.from_bytes(magic, "little") for version, magic in BATCH_MAGICS.items()}
_MARK_NUMBER = int.from_bytes(MARK_MAGIC, "little")

BATCH_HEADER = struct.Struct("<IQQIIQI")
"""`head` and the zero after it as one field, which is what version 1 has there."""
BATCH_CRC_OFFSET = BATCH_HEADER.size - 4
BATCH_RECORDS_MAX_BYTES = 1 << 30
"""More in one batch is refused before it is written: a length field beyond it is damage."""
_HEAD = struct.Struct("<IQQII")
MARK = struct.Struct("<IQQI")
START_BYTES = 12
"""Magic and directory."""
_CRC = struct.Struct("<I")
_ZERO_CRC = bytes(4)


class Batch(NamedTuple):
    """A batch that is right by itself. offset, end: its place in the segment, in bytes."""

    offset: int
    end: int
    version: int
    sequence: int
    previous: int
    synced_before: int
    crc: int

    @property
    def idle(self) -> bool:
        """It holds nothing: a mark of version 1."""
        return self.end - self.offset == BATCH_HEADER.size


class Proof(NamedTuple):
    """What lies at `offset` says that all batches before `synced_before` had been synced."""

    offset: int
    synced_before: int
    what: str


def encode_batch(
    parts: list[bytes],
    length: int,
    directory: int,
    sequence: int,
    previous: int,
    version: int = FORMAT,
) -> tuple[bytearray, int]:
    """(bytes, checksum). `parts` begins with a place holder for the header; `length`: the rest.

    version 1: for the seal that ends a segment of that version.
    """
    number = _NUMBERS[version]
    third = sequence  # version 1: synced_before
    if version > 1:
        third = zlib.crc32(_HEAD.pack(number, directory, sequence, length, previous))
    parts[0] = BATCH_HEADER.pack(number, directory, sequence, length, previous, third, 0)
    data = bytearray().join(parts)  # one copy, then the checksum is put in its place
    crc = zlib.crc32(data)
    _CRC.pack_into(data, BATCH_CRC_OFFSET, crc)
    return data, crc


def encode_mark(directory: int, synced_before: int) -> bytes:
    data = MARK.pack(_MARK_NUMBER, directory, synced_before, 0)
    return data[:-4] + _CRC.pack(zlib.crc32(data[:-4]))


def batch_at(data: bytes, offset: int, limit: int, directory: int | None) -> Batch | None:
    """The batch at `offset` if it is right by itself and ends at or before `limit`, else None.

    directory None: of whatever data directory. Of `data` that ends early, what is there to its end.
    """
    start = offset + BATCH_HEADER.size
    limit = min(limit, len(data))
    if start > limit:
        return None
    version = _VERSIONS.get(data[offset : offset + 4])
    if version is None:
        return None
    _, owner, sequence, length, previous, third, crc = BATCH_HEADER.unpack_from(data, offset)
    foreign = directory is not None and owner != directory
    if foreign or length > min(limit - start, BATCH_RECORDS_MAX_BYTES):
        return None
    head = zlib.crc32(_ZERO_CRC, zlib.crc32(data[offset : start - 4]))
    if zlib.crc32(memoryview(data)[start : start + length], head) != crc:
        return None
    synced = third if version == 1 else sequence
    return Batch(offset, start + length, version, sequence, previous, synced, crc)


def mark_at(data: bytes, offset: int, directory: int | None) -> int | None:
    """`synced_before` of the mark at `offset`, None if there is none that is right."""
    if data[offset : offset + 4] != MARK_MAGIC or offset + MARK.size > len(data):
        return None
    _, owner, synced, crc = MARK.unpack_from(data, offset)
    foreign = directory is not None and owner != directory
    if foreign or zlib.crc32(data[offset : offset + MARK.size - 4]) != crc:
        return None
    return int(synced)


def begins_in(data: bytes, directory: int | None) -> bool:
    """Whether a batch or a mark of this directory (None: of any) begins there, damaged or not."""
    owner = b"" if directory is None else directory.to_bytes(8, "little")
    return any(magic + owner in data for magic in (*BATCH_MAGICS.values(), MARK_MAGIC))


def find_batches(data: bytes, start: int, limit: int, directory: int | None) -> Iterator[Batch]:
    """Every batch from `start` on that is right by itself, wherever it lies: for judging damage."""
    for _, found in _find(data, start, limit, directory):
        if found is not None:
            yield found


def find_proofs(data: bytes, start: int, limit: int, directory: int) -> Iterator[Proof]:
    """Everything from `start` on that says which batches had been synced."""
    for offset, batch in _find(data, start, limit, directory):
        if batch is not None:
            yield Proof(offset, batch.synced_before, f"batch {batch.sequence}")
            continue
        synced = mark_at(data, offset, directory)
        if synced is not None:
            yield Proof(offset, synced, "a mark")
        sequence = _head_at(data, offset, limit, directory)
        if sequence is not None:
            yield Proof(offset, sequence, f"the header of batch {sequence}")


def _find(
    data: bytes, start: int, limit: int, directory: int | None
) -> Iterator[tuple[int, Batch | None]]:
    """Wherever something of ours may begin. Nothing is looked for inside a batch that is right."""
    offset = data.find(_MAGIC_START, start, limit)
    while offset >= 0:
        batch = batch_at(data, offset, limit, directory)
        yield offset, batch
        offset = data.find(_MAGIC_START, offset + 1 if batch is None else batch.end, limit)


def _head_at(data: bytes, offset: int, limit: int, directory: int) -> int | None:
    """The sequence of a batch whose header is whole, whatever has become of its records."""
    if offset + BATCH_HEADER.size > limit or data[offset : offset + 4] != BATCH_MAGICS[FORMAT]:
        return None
    _, owner, sequence, _, _, head, _ = BATCH_HEADER.unpack_from(data, offset)
    if owner != directory or zlib.crc32(data[offset : offset + _HEAD.size]) != head:
        return None
    return int(sequence)
