"""Targets: what a data directory holds. A first byte of knobs says which checksums are put right,

for nearly everything lies behind one, and no mutation would guess it.
"""

from __future__ import annotations

import zlib

from raftd.core.types import (
    HardState,
    SnapshotMeta,
)
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineFailure
from raftd.machine.sessions import Sessions
from raftd.storage import segment
from raftd.storage.errors import CorruptIdentity, CorruptSnapshot, UnknownFormat
from raftd.storage.identity import Founding, IdentityFile, decode_identity, encode_identity
from raftd.storage.segment import BadHeader, Books
from raftd.storage.snapshot_file import SNAPSHOT_MAGIC, encode_header, header_size, read_header
from raftd.storage.snapshots import SnapshotFiles
from tests.fuzz.of_logs import BLOCK_BYTES, IDENTITY, OWNER, ROOT, with_header
from tests.fuzz.of_store import SNAPSHOT
from tests.fuzz.of_wire import TABLE
from tests.fuzz.target import Target
from tests.storage.memory_fs import MemoryFileSystem
from tests.storage.model import CONFIGURATION


def identity_file(data: bytes) -> None:
    knobs, body = data[:1], data[1:]
    if knobs == b"\x01":
        head = body[: body.rfind(b"crc ")] if b"crc " in body else body
        body = head + b"crc %08x\n" % zlib.crc32(head)
    assert encode_identity(decode_identity(body, "identity")) == body


def segment_header(data: bytes) -> None:
    body = with_header(data[1:], data[:1] == b"\x01")
    header = segment.decode_header(body, "1.wal")
    again, _ = segment.encode_header(*header[:6], header.books, header.block or BLOCK_BYTES)
    assert segment.decode_header(again, "1.wal").books == header.books


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


HEADER_BYTES = segment.encode_header(
    OWNER, 3, 2048, 9, 77, 12,
    Books(HardState(4, "n2"), True, {"n2": "ff00"}, SnapshotMeta(9, 3, CONFIGURATION, 100, 5)),
    BLOCK_BYTES,
)[0]  # fmt: skip
TARGETS = (
    Target(
        "identity",
        identity_file,
        (CorruptIdentity, UnknownFormat),
        (
            b"\x01" + encode_identity(IdentityFile(IDENTITY, None)),
            b"\0" + encode_identity(IdentityFile(IDENTITY, Founding(("n1", "n2"), "70ce"))),
        ),
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
