"""Bytes of the log: records, and the batches that become durable as one.

A batch is a header and records, all integers little-endian:

    magic u32 | directory u64 | sequence u64 | length u32 | previous u32 | synced_before u64 |
    crc u32
    record*: type u8 | subtype u8 | 0 u16 | length u32 | index u64 | term u64 | payload

`crc` (CRC-32 as in zlib) covers the header with its own field as zero, and all records, so a batch
can be checked by itself. `directory` is this data directory's own number, `sequence` counts batches
over all segments, `previous` is the checksum of the batch before (or of the segment's header): a
swapped, stale or foreign block does not fit. `synced_before`: when this batch was written, every
batch with a smaller sequence had been synced; so it proves that damage to one of them is no torn
write. A batch without records is an idle marker: it exists for that proof alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from raftd.core.types import (
    Configuration,
    HardState,
    Incarnation,
    NodeId,
    SnapshotMarker,
    SnapshotMeta,
    Write,
)

BATCH_MAGIC = b"\xd5RBt"
BATCH_MAGIC_NUMBER = int.from_bytes(BATCH_MAGIC, "little")
BATCH_HEADER = struct.Struct("<IQQIIQI")
BATCH_CRC_OFFSET = BATCH_HEADER.size - 4
BATCH_RECORDS_MAX_BYTES = 1 << 30
"""More in one batch is refused before it is written: a length field beyond it is damage."""

RECORD = struct.Struct("<BBHIQQ")
_MARKER = struct.Struct("<QIHH")
_CRC = struct.Struct("<I")
_ZERO_CRC = bytes(4)


class RecordType(IntEnum):
    """The numbers are in the disk format: never reuse one."""

    HARD_STATE = 1  # term; payload: the vote, empty for none
    ENTRY = 2  # subtype: entry type; index, term, payload
    MARKER = (
        3  # subtype 1: reset; index, term; payload: size, CRC and configuration of the snapshot
    )
    INCARNATION = (
        4  # payload: node id, a zero byte, incarnation (empty: what was recorded is undone)
    )
    ADMITTED = 5
    SEAL = 6  # index: the next segment's number; term: its header's checksum


class Malformed(ValueError):
    """The checksum is right and the content makes no sense: a newer format, or a bug."""


class Record(NamedTuple):
    """`position` is what the format calls index (a tuple has a method of that name)."""

    type: int
    subtype: int
    position: int
    term: int
    payload: bytes


class Batch(NamedTuple):
    """A batch that is right by itself. offset, end: its place in the segment, in bytes."""

    offset: int
    end: int
    sequence: int
    previous: int
    synced_before: int
    crc: int

    @property
    def idle(self) -> bool:
        return self.end - self.offset == BATCH_HEADER.size


def encode_record(
    kind: RecordType, subtype: int = 0, index: int = 0, term: int = 0, payload: bytes = b""
) -> bytes:
    return RECORD.pack(kind, subtype, 0, len(payload), index, term) + payload


def encode_hard_state(state: HardState) -> bytes:
    vote = b"" if state.vote is None else state.vote.encode()
    return encode_record(RecordType.HARD_STATE, term=state.term, payload=vote)


def encode_marker(marker: SnapshotMarker) -> bytes:
    meta = marker.meta
    payload = encode_meta_tail(meta)
    return encode_record(RecordType.MARKER, int(marker.reset), meta.index, meta.term, payload)


def encode_incarnation(node: NodeId, incarnation: Incarnation) -> bytes:
    payload = node.encode() + b"\0" + incarnation.encode()
    return encode_record(RecordType.INCARNATION, payload=payload)


def encode_seal(number: int, header_crc: int) -> bytes:
    return encode_record(RecordType.SEAL, index=number, term=header_crc)


def append_write(parts: list[bytes], write: Write) -> None:
    """The records of one write, in field order. Hot: one pack and no copy for each entry."""
    if write.hard_state is not None:
        parts.append(encode_hard_state(write.hard_state))
    if write.marker is not None:
        parts.append(encode_marker(write.marker))
    pack = RECORD.pack
    entries = write.entries
    if entries:
        for expected, (index, term, kind, payload) in enumerate(entries, entries[0].index):
            if index != expected:
                raise ValueError(f"write {write.seq}: entry {index} follows {expected - 1}")
            parts.append(pack(2, kind, 0, len(payload), index, term))
            parts.append(payload)
    for node, incarnation in write.records:
        parts.append(encode_incarnation(node, incarnation))
    if write.admitted:
        parts.append(encode_record(RecordType.ADMITTED))


def encode_batch(
    parts: list[bytes], length: int, directory: int, sequence: int, previous: int, synced: int
) -> tuple[bytearray, int]:
    """(bytes, checksum). `parts` begins with a place holder for the header; `length`: the rest."""
    parts[0] = BATCH_HEADER.pack(
        BATCH_MAGIC_NUMBER, directory, sequence, length, previous, synced, 0
    )
    data = bytearray().join(parts)  # one copy, then the checksum is put in its place
    crc = zlib.crc32(data)
    _CRC.pack_into(data, BATCH_CRC_OFFSET, crc)
    return data, crc


def batch_at(data: bytes, offset: int, limit: int, directory: int | None) -> Batch | None:
    """The batch at `offset` if it is right by itself and ends at or before `limit`, else None.

    directory None: of whatever data directory.
    """
    start = offset + BATCH_HEADER.size
    if start > limit or data[offset : offset + 4] != BATCH_MAGIC:
        return None
    _, owner, sequence, length, previous, synced, crc = BATCH_HEADER.unpack_from(data, offset)
    foreign = directory is not None and owner != directory
    if foreign or length > min(limit - start, BATCH_RECORDS_MAX_BYTES):
        return None
    head = zlib.crc32(_ZERO_CRC, zlib.crc32(data[offset : start - 4]))
    if zlib.crc32(memoryview(data)[start : start + length], head) != crc:
        return None
    return Batch(offset, start + length, sequence, previous, synced, crc)


def find_batches(data: bytes, start: int, limit: int, directory: int | None) -> Iterator[Batch]:
    """Every batch from `start` on that is right by itself, wherever it lies: for judging damage."""
    offset = data.find(BATCH_MAGIC, start, limit)
    while offset >= 0:
        batch = batch_at(data, offset, limit, directory)
        if batch is not None:
            yield batch
        offset = data.find(BATCH_MAGIC, offset + 1 if batch is None else batch.end, limit)


def decode_records(data: bytes, start: int, end: int) -> Iterator[Record]:
    """Raises Malformed."""
    while start < end:
        if end - start < RECORD.size:
            raise Malformed("a record is cut short")
        kind, subtype, _, length, index, term = RECORD.unpack_from(data, start)
        start += RECORD.size
        if length > end - start:
            raise Malformed("a record is longer than its batch")
        yield Record(kind, subtype, index, term, data[start : start + length])
        start += length


def decode_hard_state(record: Record) -> HardState:
    return HardState(record.term, _text(record.payload) if record.payload else None)


def decode_marker(record: Record) -> SnapshotMarker:
    meta = decode_meta_tail(record.position, record.term, record.payload)
    return SnapshotMarker(meta, reset=bool(record.subtype))


def decode_incarnation(record: Record) -> tuple[NodeId, Incarnation]:
    node, zero, incarnation = record.payload.partition(b"\0")
    if not zero or not node:
        raise Malformed("an incarnation record without its two parts")
    return _text(node), _text(incarnation) if incarnation else ""


def encode_meta_tail(meta: SnapshotMeta) -> bytes:
    """Size, CRC and configuration: what a snapshot's meta has beside index and term."""
    voters, learners = meta.configuration.voters, meta.configuration.learners
    head = _MARKER.pack(meta.size_bytes, meta.crc, len(voters), len(learners))
    return head + _encode_names(voters) + _encode_names(learners)


def decode_meta_tail(index: int, term: int, payload: bytes) -> SnapshotMeta:
    """Raises Malformed."""
    if len(payload) < _MARKER.size:
        raise Malformed("a snapshot's description is cut short")
    size_bytes, crc, voters, learners = _MARKER.unpack_from(payload)
    names = _decode_names(payload, _MARKER.size, voters + learners)
    configuration = Configuration(names[:voters], names[voters:])
    return SnapshotMeta(index, term, configuration, size_bytes, crc)


def _encode_names(names: Sequence[NodeId]) -> bytes:
    encoded = [name.encode() for name in names]
    return b"".join(bytes((len(name),)) + name for name in encoded)


def _decode_names(payload: bytes, start: int, count: int) -> tuple[NodeId, ...]:
    names = []
    for _ in range(count):
        if start >= len(payload) or start + 1 + payload[start] > len(payload):
            raise Malformed("a configuration is cut short")
        end = start + 1 + payload[start]
        names.append(_text(payload[start + 1 : end]))
        start = end
    if start != len(payload):
        raise Malformed("bytes after a configuration")
    return tuple(names)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Malformed("a name that is not UTF-8") from None
