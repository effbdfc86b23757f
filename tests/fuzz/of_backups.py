"""Targets: the files that a new cluster is made of. A first byte of knobs says whether the
checksums are put right, for everything lies behind one.
"""

from __future__ import annotations

import hashlib
import io
from zlib import crc32

from raftd.wire.backup import BackupWriter, BadBackup, Head, encode_head
from raftd.wire.backup_files import reader_of
from raftd.wire.etcd_snapshot import SHA_BYTES, EtcdSnapshotReader, snapshot_blobs
from tests.fuzz.of_store import SNAPSHOT
from tests.fuzz.target import Target

BLOB_BYTES = 4096
HEAD_FIXED = 16
"""Magic, version, and the length of the rest of the head."""


def backup_file(data: bytes) -> None:
    body = data[1:]
    if data[:1] == b"\x01":
        body = _with_sums(body)
    reader = reader_of(io.BytesIO(body), "x.bak")
    held = b"".join(reader.chunks())
    again = io.BytesIO()
    if isinstance(reader, EtcdSnapshotReader):
        again.write(b"".join(snapshot_blobs([held], BLOB_BYTES)))
    else:
        writer = BackupWriter(reader.head, again.write)
        writer.add(held)
        assert writer.finish()
    again.seek(0)
    other = reader_of(again, "y.bak")
    assert b"".join(other.chunks()) == held
    assert other.head == reader.head


def _with_sums(body: bytes) -> bytes:
    """As far as it has the shape of a backup: head, chunks, end; or that of etcd's."""
    if body.startswith(b"rkv"):
        return body[:-SHA_BYTES] + hashlib.sha256(body[:-SHA_BYTES]).digest()
    head_end = HEAD_FIXED + int.from_bytes(body[12:16], "little")
    if not HEAD_FIXED + 4 <= head_end <= len(body):
        return body
    made = body[: head_end - 4]
    chain = crc32(made)
    made += chain.to_bytes(4, "little")
    at = head_end
    while at + 8 <= len(body):
        size = int.from_bytes(body[at : at + 4], "little")
        chunk = body[at + 8 : at + 8 + size]
        chain = crc32(chunk, chain)
        made += body[at : at + 4] + chain.to_bytes(4, "little") + chunk
        at += 8 + size
        if not size:
            return made + hashlib.sha256(made).digest() + body[at + SHA_BYTES :]
    return made


def _seed() -> bytes:
    parts: list[bytes] = []
    writer = BackupWriter(Head("c0ffee", "n1", 9, 3, len(SNAPSHOT), crc32(SNAPSHOT)), parts.append)
    writer.add(SNAPSHOT[:10])
    writer.add(SNAPSHOT[10:])
    writer.finish()
    return b"".join(parts)


ETCD = b"".join(snapshot_blobs([SNAPSHOT], BLOB_BYTES))
TARGETS = (
    Target(
        "backup-file",
        backup_file,
        (BadBackup,),
        (b"\0" + _seed(), b"\x01" + _seed(), b"\0" + ETCD, b"\x01" + ETCD),
        ("raftd/wire/backup.py", "raftd/wire/etcd_snapshot.py", "raftd/wire/backup_files.py"),
        (encode_head(Head("c", "n", 1, 1, 0, 0)), b"RAFTDBAK", b"rkv2"),
    ),
)
