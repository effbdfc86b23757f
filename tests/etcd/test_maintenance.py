"""The parts of Maintenance that need no cluster."""

from __future__ import annotations

from hashlib import sha256

from raftd.rpc.etcd.maintenance import BLOB_BYTES, LENGTH, with_digest


def test_a_snapshot_is_whole_pages_and_then_its_digest() -> None:
    for sizes in ((), (1,), (504,), (505,), (BLOB_BYTES, 1), (3 * BLOB_BYTES + 7, 0, 511)):
        chunks = [bytes([number]) * size for number, size in enumerate(sizes, 1)]
        *blobs, digest = with_digest(chunks)
        body = b"".join(blobs)
        assert digest == sha256(body).digest()
        assert len(body) % 512 == 0
        (length,) = LENGTH.unpack(body[-LENGTH.size :])
        assert body[:length] == b"".join(chunks)
        assert max(map(len, blobs)) <= BLOB_BYTES
