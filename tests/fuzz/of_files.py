"""Targets: what a data directory holds. A first byte of knobs says which checksums are put right,

for nearly everything lies behind one, and no mutation would guess it.
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
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineFailure
from raftd.machine.sessions import Sessions
from raftd.storage import record, segment
from raftd.storage.errors import CorruptIdentity, CorruptLog, CorruptSnapshot, UnknownFormat
from raftd.storage.identity import decode_identity, directory_id, encode_identity
from raftd.storage.inspect import inspect_directory, json_lines, record_lines, text_lines
from raftd.storage.record import BATCH_CRC_OFFSET, BATCH_HEADER, RecordType
from raftd.storage.segment import SEGMENT_HEADER, BadHeader, Books, segment_name
from raftd.storage.snapshot_file import SNAPSHOT_MAGIC, encode_header, header_size, read_header
from raftd.storage.snapshots import SnapshotFiles
from raftd.storage.wal import Wal, create_log
from tests.fuzz.of_wire import SNAPSHOT, TABLE
from tests.fuzz.target import Fields, Target, framed
from tests.storage.memory_fs import MemoryFileSystem
from tests.storage.model import CONFIGURATION

ROOT = "/d"
IDENTITY = Identity("c0ffee", "n1", "00112233aabbccdd")
OWNER = directory_id(IDENTITY)
SEGMENT_BYTES = 2048
FIX_HEADER, FIX_BATCHES, FIX_CHAIN, FIX_SEAL = 1, 2, 4, 8
Link = tuple[int, int]
"""A segment's first sequence, and the checksum of the last batch before the seal before it."""
ALL_KNOBS = bytes((FIX_HEADER | FIX_BATCHES | FIX_CHAIN | FIX_SEAL,))


def identity_file(data: bytes) -> None:
    knobs, body = data[:1], data[1:]
    if knobs == b"\x01":
        head = body[: body.rfind(b"crc ")] if b"crc " in body else body
        body = head + b"crc %08x\n" % zlib.crc32(head)
    assert encode_identity(decode_identity(body, "identity")) == body


def segment_header(data: bytes) -> None:
    body = _with_header(data[1:], data[:1] == b"\x01")
    header = segment.decode_header(body, "1.wal")
    again, _ = segment.encode_header(*header[:6], header.books)
    assert segment.decode_header(again, "1.wal").books == header.books


def _with_header(body: bytes, fix: bool, number: int = 0, link: Link | None = None) -> bytes:
    """The file with its header's checksum (owner, number, link) as they should be."""
    size = SEGMENT_HEADER.size
    if not fix or len(body) < size:
        return body
    magic, version, length, owner, own, allocated, sequence, seed, last, _ = (
        SEGMENT_HEADER.unpack_from(body)
    )
    if number:
        owner, own, allocated = OWNER, number, min(allocated, len(body))
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
    head, crc = segment.encode_header(OWNER, number, SEGMENT_BYTES, sequence, seed, 0, Books())
    data = head
    for body in bodies:
        made, crc = record.encode_batch([b"", body], len(body), OWNER, sequence, crc, sequence)
        data += made
        sequence += 1
    return data.ljust(SEGMENT_BYTES, b"\0")


def _recover(files: list[bytes], knobs: int) -> None:
    """What recovery takes must be a log that goes on: one more entry, and all of it is back."""
    fs = MemoryFileSystem()
    fs.mkdir(ROOT)
    fs.put(f"{ROOT}/identity", encode_identity(IDENTITY))
    for number, body in enumerate(_put_right(files, knobs), 1):
        fs.put(f"{ROOT}/{segment_name(number)}", body)
    report = inspect_directory(fs, ROOT)
    for line in (*text_lines(report), *json_lines(report), *record_lines(fs, ROOT)):
        assert line.isprintable(), f"raftd inspect prints {line!r}"
    wal = Wal(fs, ROOT, OWNER, segment_bytes=SEGMENT_BYTES)
    found = wal.open()
    last = found.entries[-1].index if found.entries else 0
    last = max(last, found.snapshot.index if found.snapshot else 0)
    if last >= 2**63:
        return  # read, and refused by the core: nothing can follow it
    more = Write(1, HardState(1, "n2"), entries=(Entry(last + 1, 1, EntryType.BATCH, b"more"),))
    wal.commit([more])
    wal.close()
    wal = Wal(fs, ROOT, OWNER, segment_bytes=SEGMENT_BYTES)
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
        body = _with_header(body, bool(knobs & FIX_HEADER), number, link)
        if link is not None:
            crc = int.from_bytes(body[SEGMENT_HEADER.size - 4 : SEGMENT_HEADER.size], "little")
            seal = record.encode_seal(number, crc)
            made, _ = record.encode_batch(
                [b"", seal], len(seal), OWNER, link[0] - 1, link[1], link[0] - 1
            )
            before = right[-1]
            right[-1] = (before[:seal_at] + made + before[seal_at + len(made) :])[: len(before)]
        body, link, seal_at = _batches_put_right(body, knobs)
        right.append(body)
    return right


def _batches_put_right(body: bytes, knobs: int) -> tuple[bytes, Link | None, int]:
    """And what the next segment must begin with, if a seal ends this one, and where that is."""
    if len(body) < SEGMENT_HEADER.size:
        return body, None, 0
    data = bytearray(body)
    _, _, length, _, _, _, sequence, _, _, previous = SEGMENT_HEADER.unpack_from(body)
    at = SEGMENT_HEADER.size + length
    while knobs & FIX_BATCHES and at + BATCH_HEADER.size <= len(data):
        magic, owner, own, length, before, synced, _ = BATCH_HEADER.unpack_from(data, at)
        start, end = at + BATCH_HEADER.size, at + BATCH_HEADER.size + length
        if magic != record.BATCH_MAGIC_NUMBER or end > len(data):
            break
        if knobs & FIX_CHAIN:
            owner, own, before = OWNER, sequence, previous
        if knobs & FIX_SEAL and length == record.RECORD.size and data[start] == RecordType.SEAL:
            return bytes(data), (sequence + 1, previous), at
        BATCH_HEADER.pack_into(data, at, magic, owner, own, length, before, synced, 0)
        crc = zlib.crc32(data[at:end])
        data[at + BATCH_CRC_OFFSET : start] = crc.to_bytes(4, "little")
        at, sequence, previous = end, (sequence + 1) % 2**64, crc
    return bytes(data), None, 0


def snapshot_file(data: bytes) -> None:
    """A file under the name that fits it: received, opened, restored; and its header by itself."""
    knobs, body = data[:1], data[1:]
    if knobs == b"\x01":
        body = _with_snapshot_crc(body)
    fs = MemoryFileSystem()
    fs.mkdir(ROOT)
    fs.put(f"{ROOT}/x", body)
    header = read_header(fs.open(f"{ROOT}/x"), "x.snap")
    meta = SnapshotMeta(
        header.index, header.term, header.configuration, len(body), zlib.crc32(body)
    )
    parts = (header.sessions_bytes, header.body_bytes, header.sessions_crc, header.body_crc)
    fs.put(f"{ROOT}/y", encode_header(meta, *parts))
    assert read_header(fs.open(f"{ROOT}/y"), "y.snap") == header
    assert header_size(header.configuration) == header.size
    store = SnapshotFiles(fs, ROOT)
    whole = header.size + header.sessions_bytes + header.body_bytes
    incoming = store.receive("n2", meta)
    half = len(body) // 2
    assert incoming.store(0, body[:half]) == half
    assert incoming.store(half, body[half:]) == len(body)
    assert incoming.commit() == meta
    assert whole == len(body)
    table, reader = store.open_body(meta)
    with reader:
        sessions = Sessions(KvStore())
        sessions.restore(table, reader)
    again, chunks = sessions.capture()
    assert (again, b"".join(chunks)) == (table or again, body[header.size + len(table) :])


def _with_snapshot_crc(body: bytes) -> bytes:
    start = 92  # where the configuration begins: after the fixed part of the header
    end = start + int.from_bytes(body[start - 4 : start], "little")
    if end + 4 > len(body):
        return body
    return body[:end] + zlib.crc32(body[:end]).to_bytes(4, "little") + body[end + 4 :]


def _snapshot(table: bytes, state: bytes) -> bytes:
    meta = SnapshotMeta(7, 3, CONFIGURATION)
    parts = (len(table), len(state), zlib.crc32(table), zlib.crc32(state))
    return encode_header(meta, *parts) + table + state


def _log_seed() -> bytes:
    """Three segments as the log itself writes them, with every kind of record."""
    fs = MemoryFileSystem()
    fs.mkdir(ROOT)
    create_log(fs, ROOT, OWNER, 600)
    wal = Wal(fs, ROOT, OWNER, segment_bytes=600)
    wal.open()
    meta = SnapshotMeta(1, 1, CONFIGURATION, 100, 5)
    wal.commit([Write(1, HardState(1, "n1"), records=(("n2", "ff00"),), admitted=True)])
    for index in (1, 2, 3):
        wal.commit([Write(1 + index, entries=(Entry(index, 1, EntryType.BATCH, b"x" * 90),))])
    wal.commit([Write(5, marker=SnapshotMarker(meta, reset=False))])
    wal.commit([Write(6, HardState(2, None), entries=(Entry(3, 2, EntryType.NOOP, b""),))])
    wal.close()
    files = [body for name, body in sorted(fs.files().items()) if name.endswith(".wal")]
    assert len(files) == 3, len(files)
    return framed(*files[:2]) + files[2]


HEADER_BYTES = segment.encode_header(
    OWNER, 3, 2048, 9, 77, 12,
    Books(HardState(4, "n2"), True, {"n2": "ff00"}, SnapshotMeta(9, 3, CONFIGURATION, 100, 5)),
)[0]  # fmt: skip
MARKER = record.encode_meta_tail(SnapshotMeta(2, 1, CONFIGURATION, 100, 5))
RECORDS = (
    b"\x01\0\0\x01\x02n1"  # term and vote
    b"\x05\0\0\0\0"  # admitted
    b"\x04\0\0\0\x05n2\0ff\xff"  # an incarnation; the next batch
    b"\x02\x02\x01\x01\x03abc\x02\x02\x02\x01\x00\x02\x02\x03\x01\x00\xff"  # entries 1 to 3
    + b"\x03\0\x02\x01" + bytes((len(MARKER),)) + MARKER + b"\xff"  # snapshot 2
    b"\x02\x01\x03\x02\0"  # entry 3 anew
)  # fmt: skip

STORAGE = ("raftd/storage/record.py", "raftd/storage/recovery.py", "raftd/storage/segment.py")

TARGETS = (
    Target(
        "identity",
        identity_file,
        (CorruptIdentity, UnknownFormat),
        (b"\x01" + encode_identity(IDENTITY), b"\0" + encode_identity(IDENTITY)),
        ("raftd/storage/identity.py",),
    ),
    Target(
        "segment-header",
        segment_header,
        (BadHeader, UnknownFormat),
        (b"\x01" + HEADER_BYTES, b"\0" + HEADER_BYTES),
        ("raftd/storage/segment.py", "raftd/storage/record.py"),
        (segment.SEGMENT_MAGIC,),
    ),
    Target(
        "log-files",
        log_files,
        (CorruptLog, UnknownFormat),
        (ALL_KNOBS + _log_seed(), b"\0" + _log_seed()),
        (*STORAGE, "raftd/storage/inspect.py"),
        (segment.SEGMENT_MAGIC, record.BATCH_MAGIC),
    ),
    Target(
        "log-records",
        log_records,
        (CorruptLog, UnknownFormat),
        (RECORDS,),
        (*STORAGE, "raftd/storage/inspect.py"),
        (MARKER,),
    ),
    Target(
        "snapshot-file",
        snapshot_file,
        (CorruptSnapshot, UnknownFormat, MachineFailure),
        (b"\x01" + _snapshot(TABLE, SNAPSHOT), b"\0" + _snapshot(b"", SNAPSHOT)),
        (
            "raftd/storage/snapshot_file.py",
            "raftd/storage/snapshots.py",
            "raftd/storage/snapshot_writing.py",
            "raftd/machine/kv/store.py",
        ),
        (SNAPSHOT_MAGIC,),
    ),
)
