"""Records: what the log says, one after the other in the batches of framing.py.

    type u8 | subtype u8 | 0 u16 | length u32 | index u64 | term u64 | payload

All integers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from raftd.core.configuration_format import decode_configuration, encode_configuration
from raftd.core.types import (
    Configuration,
    HardState,
    Incarnation,
    NodeId,
    SnapshotMarker,
    SnapshotMeta,
    Write,
)
from raftd.storage.framing import find_batches as find_batches  # they were one file

RECORD = struct.Struct("<BBHIQQ")
_MARKER = struct.Struct("<QIHH")
_WHOLE = 0xFFFF
"""In the place of the number of voters: what follows is a configuration in its own format."""


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
    BLOCK = 7  # in a segment's header only; index: bytes that share one fate (lanes.py)


class Malformed(ValueError):
    """The checksum is right and the content makes no sense: a newer format, or a bug."""


class Record(NamedTuple):
    """`position` is what the format calls index (a tuple has a method of that name)."""

    type: int
    subtype: int
    position: int
    term: int
    payload: bytes


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
    """Size, CRC and configuration: what a snapshot's meta has beside index and term.

    A plain configuration keeps the older form, which every raftd reads.
    """
    if not meta.configuration.is_plain():
        head = _MARKER.pack(meta.size_bytes, meta.crc, _WHOLE, 0)
        return head + encode_configuration(meta.configuration)
    voters, learners = meta.configuration.voters, meta.configuration.learners
    head = _MARKER.pack(meta.size_bytes, meta.crc, len(voters), len(learners))
    return head + _encode_names(voters) + _encode_names(learners)


def decode_meta_tail(index: int, term: int, payload: bytes) -> SnapshotMeta:
    """Raises Malformed."""
    if len(payload) < _MARKER.size:
        raise Malformed("a snapshot's description is cut short")
    size_bytes, crc, voters, learners = _MARKER.unpack_from(payload)
    if (voters, learners) == (_WHOLE, 0):
        try:
            whole = decode_configuration(payload[_MARKER.size :])
        except ValueError as error:
            raise Malformed(str(error)) from None
        return SnapshotMeta(index, term, whole, size_bytes, crc)
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
