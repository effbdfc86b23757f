"""Targets: the log, from bytes to what recovery makes of them. A first byte of knobs says which

checksums are put right, as in of_files.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace

from raftd.core.types import (
    Entry,
    EntryType,
    HardState,
    Identity,
    SnapshotMarker,
    SnapshotMeta,
    Write,
)
from raftd.storage import framing, lanes, record, segment
from raftd.storage.errors import CorruptLog, UnknownFormat
from raftd.storage.framing import BATCH_CRC_OFFSET, BATCH_HEADER, BATCH_MAGICS
from raftd.storage.identity import IdentityFile, directory_id, encode_identity
from raftd.storage.inspect import inspect_directory, json_lines, record_lines, text_lines
from raftd.storage.record import RecordType
from raftd.storage.rolling import create_log
from raftd.storage.segment import SEGMENT_HEADER, BadHeader, Books, segment_name
from raftd.storage.wal import Wal
from tests.fuzz.target import Fields, Target, framed
from tests.storage.memory_fs import MemoryFileSystem
from tests.storage.model import CONFIGURATION

ROOT = "/d"
IDENTITY = Identity("c0ffee", "n1", "00112233aabbccdd")
OWNER = directory_id(IDENTITY)
SEGMENT_BYTES = 2048
BLOCK_BYTES = 128
FIX_HEADER, FIX_BATCHES, FIX_CHAIN, FIX_SEAL = 1, 2, 4, 8
Link = tuple[int, int]
"""A segment's first sequence, and the checksum of the last batch before the seal before it."""
ALL_KNOBS = bytes((FIX_HEADER | FIX_BATCHES | FIX_CHAIN | FIX_SEAL,))


def with_header(body: bytes, fix: bool, number: int = 0, link: Link | None = None) -> bytes:
    """The file with its header's checksum (owner, number, link) as they should be."""
    size = SEGMENT_HEADER.size
    if not fix or len(body) < size:
        return body
    magic, version, length, owner, own, allocated, sequence, seed, last, _ = (
        SEGMENT_HEADER.unpack_from(body)
    )
    if number:
        body = body.ljust(lanes.up(max(len(body), SEGMENT_BYTES), SEGMENT_BYTES), b"\0")
        owner, own, allocated = OWNER, number, len(body)
    if link is not None:
        sequence, seed = link
    head = SEGMENT_HEADER.pack(
        magic, version, length, owner, own, allocated, sequence, seed, last, 0
    )
    crc = zlib.crc32(head + body[size : size + length])
    return head[:-4] + crc.to_bytes(4, "little") + body[size:]


def log_files(data: bytes) -> None:
    """Up to three segments as bytes, each with the checksums that the knobs ask for."""
    fields = Fields(data)
    knobs = fields.number()
    files = [fields.blob(2) for _ in range(2)] + [fields.rest()]
    _recover([body for body in files if body], knobs)


def log_records(data: bytes) -> None:
    """Records of any content, in batches that are all in order."""
    fields = Fields(data)
    batches = [b""]
    while fields:
        kind = fields.number()
        if kind == 0xFF:
            batches.append(b"")
            continue
        subtype, index, term = fields.number(), fields.wide(), fields.wide()
        payload = fields.blob()
        head = record.RECORD.pack(kind, subtype, 0, len(payload), index, term)
        batches[-1] += head + payload
    _recover([_segment(1, batches)], FIX_HEADER)


def _segment(number: int, bodies: Iterable[bytes], sequence: int = 1, seed: int = 0) -> bytes:
    bodies = list(bodies)
    size = sum(lanes.up(len(body) + 2 * BLOCK_BYTES, BLOCK_BYTES) for body in bodies)
    size = lanes.up(lanes.segment_bytes_for(200, size, 0, BLOCK_BYTES), SEGMENT_BYTES)
    head, crc = segment.encode_header(OWNER, number, size, sequence, seed, 0, Books(), BLOCK_BYTES)
    data = bytearray(head.ljust(size, b"\0"))
    layout = segment.decode_header(head, "").layout()
    for body in bodies:
        made, crc = framing.encode_batch([b"", body], len(body), OWNER, sequence, crc)
        start = layout.place(sequence, len(made))
        data[start : start + len(made)] = made
        layout.take(sequence, start, start + len(made))
        sequence += 1
    return bytes(data)


def _recover(files: list[bytes], knobs: int) -> None:
    """What recovery takes must be a log that goes on: one more entry, and all of it is back."""
    fs = MemoryFileSystem()
    fs.mkdir(ROOT)
    fs.put(f"{ROOT}/identity", encode_identity(IdentityFile(IDENTITY, None)))
    for number, body in enumerate(_put_right(files, knobs), 1):
        fs.put(f"{ROOT}/{segment_name(number)}", body)
    report = inspect_directory(fs, ROOT)
    for line in (*text_lines(report), *json_lines(report), *record_lines(fs, ROOT)):
        assert line.isprintable(), f"raftd inspect prints {line!r}"
    wal = Wal(fs, ROOT, OWNER, segment_bytes=SEGMENT_BYTES, block_bytes=BLOCK_BYTES)
    found = wal.open()
    last = found.entries[-1].index if found.entries else 0
    last = max(last, found.snapshot.index if found.snapshot else 0)
    if last >= 2**63:
        return  # read, and refused by the core: nothing can follow it
    more = Write(1, HardState(1, "n2"), entries=(Entry(last + 1, 1, EntryType.BATCH, b"more"),))
    wal.commit([more])
    wal.close()
    wal = Wal(fs, ROOT, OWNER, segment_bytes=SEGMENT_BYTES, block_bytes=BLOCK_BYTES)
    again = wal.open()
    wal.close()
    assert again == replace(
        found, hard_state=HardState(1, "n2"), entries=(*found.entries, *more.entries)
    )


def _put_right(files: list[bytes], knobs: int) -> list[bytes]:
    """Segment after segment: each seal names the next one's header, which names the seal."""
    right: list[bytes] = []
    link: Link | None = None
    seal_at = 0
    for number, body in enumerate(files, 1):
        body = with_header(body, bool(knobs & FIX_HEADER), number, link)
        if link is not None:
            crc = int.from_bytes(body[SEGMENT_HEADER.size - 4 : SEGMENT_HEADER.size], "little")
            seal = record.encode_seal(number, crc)
            version = 1 if right[-1][seal_at : seal_at + 4] == BATCH_MAGICS[1] else 2
            made, _ = framing.encode_batch(
                [b"", seal], len(seal), OWNER, link[0] - 1, link[1], version
            )
            before = right[-1]
            right[-1] = (before[:seal_at] + made + before[seal_at + len(made) :])[: len(before)]
        body, link, seal_at = _batches_put_right(body, knobs)
        right.append(body)
    return right


def _batches_put_right(body: bytes, knobs: int) -> tuple[bytes, Link | None, int]:
    """And what the next segment must begin with, if a seal ends this one, and where that is."""
    try:
        header = segment.decode_header(body, "")
    except (BadHeader, UnknownFormat):
        return body, None, 0
    data, layout = bytearray(body), header.layout()
    sequence, previous = header.sequence, header.crc
    while knobs & FIX_BATCHES:
        at = _batch_near(data, layout, sequence, header.version)
        if at is None:
            break
        number, owner, own, length, before, third, _ = BATCH_HEADER.unpack_from(data, at)
        start, end = at + BATCH_HEADER.size, at + BATCH_HEADER.size + length
        if knobs & FIX_CHAIN:
            owner, own, before = OWNER, sequence, previous
        if knobs & FIX_SEAL and length == record.RECORD.size and data[start] == RecordType.SEAL:
            return bytes(data), (sequence + 1, previous), at
        if header.version > 1:
            BATCH_HEADER.pack_into(data, at, number, owner, own, length, before, 0, 0)
            third = zlib.crc32(data[at : at + 28])
        BATCH_HEADER.pack_into(data, at, number, owner, own, length, before, third, 0)
        crc = zlib.crc32(data[at:end])
        data[at + BATCH_CRC_OFFSET : start] = crc.to_bytes(4, "little")
        layout.take(sequence, at, end)
        sequence, previous = (sequence + 1) % 2**64, crc
    return bytes(data), None, 0


def _batch_near(
    data: bytearray, layout: lanes.Lanes | lanes.Packed, sequence: int, version: int
) -> int | None:
    """Where a batch begins, of whatever content, that lies where the next one may."""
    for at in layout.places(sequence):
        if at + BATCH_HEADER.size > len(data) or data[at : at + 4] != BATCH_MAGICS[version]:
            continue
        length = BATCH_HEADER.unpack_from(data, at)[3]
        whole = BATCH_HEADER.size + length
        if at + whole <= len(data) and layout.place(sequence, whole) == at:
            return at
    return None


def _log_seed() -> bytes:
    """Three segments as the log itself writes them, with every kind of record."""
    fs = MemoryFileSystem()
    fs.mkdir(ROOT)
    create_log(fs, ROOT, OWNER, SEGMENT_BYTES, BLOCK_BYTES)
    wal = Wal(fs, ROOT, OWNER, segment_bytes=SEGMENT_BYTES, block_bytes=BLOCK_BYTES)
    wal.open()
    meta = SnapshotMeta(1, 1, CONFIGURATION, 100, 5)
    wal.commit([Write(1, HardState(1, "n1"), records=(("n2", "ff00"),), admitted=True)])
    for index in (1, 2, 3):
        wal.commit([Write(1 + index, entries=(Entry(index, 1, EntryType.BATCH, b"x" * 700),))])
    wal.commit([Write(5, marker=SnapshotMarker(meta, reset=False))])
    wal.commit([Write(6, HardState(2, None), entries=(Entry(3, 2, EntryType.NOOP, b""),))])
    wal.close()
    files = [body for name, body in sorted(fs.files().items()) if name.endswith(".wal")]
    assert len(files) == 3, len(files)
    return framed(*files[:2]) + files[2]


MARKER = record.encode_meta_tail(SnapshotMeta(2, 1, CONFIGURATION, 100, 5))
RECORDS = (
    b"\x01\0\0\x01\x02n1"  # term and vote
    b"\x05\0\0\0\0"  # admitted
    b"\x04\0\0\0\x05n2\0ff\xff"  # an incarnation; the next batch
    b"\x02\x02\x01\x01\x03abc\x02\x02\x02\x01\x00\x02\x02\x03\x01\x00\xff"  # entries 1 to 3
    + b"\x03\0\x02\x01" + bytes((len(MARKER),)) + MARKER + b"\xff"  # snapshot 2
    b"\x02\x01\x03\x02\0"  # entry 3 anew
)  # fmt: skip

STORAGE = tuple(
    f"raftd/storage/{name}.py"
    for name in ("framing", "lanes", "leftover", "record", "recovery", "replay", "segment")
)

TARGETS = (
    Target(
        "log-files",
        log_files,
        (CorruptLog, UnknownFormat),
        (ALL_KNOBS + _log_seed(), b"\0" + _log_seed()),
        (*STORAGE, "raftd/storage/inspect.py"),
        (segment.SEGMENT_MAGIC, *BATCH_MAGICS.values(), framing.MARK_MAGIC),
    ),
    Target(
        "log-records",
        log_records,
        (CorruptLog, UnknownFormat),
        (RECORDS,),
        (*STORAGE, "raftd/storage/inspect.py"),
        (MARKER,),
    ),
)
