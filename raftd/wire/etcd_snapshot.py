"""What etcd's Maintenance.Snapshot sends, and `etcdctl snapshot save` keeps, of a member of raftd.

    store    the built-in store's bytes (raftd.machine.kv.snapshot)
    zeros    so many that with the length the whole is pages of PAGE_BYTES: etcdctl wants that
    length   of the store's bytes, u64, little-endian
    sha      SHA-256 of all before, 32 bytes; nothing follows

It says nothing of a cluster, an index or sessions: those are not etcd's to send.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import BinaryIO, Final

from raftd.wire.backup import BadBackup, Head

PAGE_BYTES: Final = 512
LENGTH: Final = Struct("<Q")
SHA_BYTES: Final = 32
STORE_MAGIC: Final = b"rkv"
"""How the store's bytes begin, whatever their version."""
READ_BYTES: Final = 1 << 20
NOBODY: Final = "-"
"""In the place of the cluster and the node, which such a file does not name."""


def snapshot_blobs(chunks: Iterable[bytes], blob_bytes: int) -> Iterator[bytes]:
    """The store's bytes, and what follows them, in pieces of `blob_bytes` at most."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        yield from (chunk[at : at + blob_bytes] for at in range(0, len(chunk), blob_bytes))
    end = bytes(-(size + LENGTH.size) % PAGE_BYTES) + LENGTH.pack(size)
    digest.update(end)
    yield end
    yield digest.digest()


class EtcdSnapshotReader:
    """Reads one from the start. One thread at a time. As BackupReader, but for what it cannot know.

    head: index and term 1, so that a new cluster's log begins there. sha256: after `chunks`.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Raises BadBackup: it is none; OSError."""
        self._file = file
        self._name = name
        self._whole = file.seek(0, os.SEEK_END) - SHA_BYTES
        self.sha256 = ""
        if self._whole < PAGE_BYTES or self._whole % PAGE_BYTES:
            raise self._bad("it is not whole pages and a SHA-256")
        file.seek(self._whole - LENGTH.size)
        (size,) = LENGTH.unpack(file.read(LENGTH.size))
        if not 0 <= self._whole - LENGTH.size - size < PAGE_BYTES:
            raise self._bad("the length in it is wrong")
        self.head = Head(NOBODY, NOBODY, 1, 1, size, 0)

    def chunks(self) -> Iterator[bytes]:
        """The store's bytes. Only when it has ended they are proven. Raises BadBackup, OSError."""
        self._file.seek(0)
        digest, left, store = hashlib.sha256(), self._whole, self.head.size_bytes
        while left:
            data = self._file.read(min(READ_BYTES, left))
            if not data:
                raise self._bad("it ends too early")
            digest.update(data)
            left -= len(data)
            if store:
                yield data[:store]
                store -= min(store, len(data))
        if self._file.read(SHA_BYTES + 1) != digest.digest():
            raise self._bad("its SHA-256 is wrong")
        self.sha256 = digest.hexdigest()

    def _bad(self, what: str) -> BadBackup:
        return BadBackup(f"backup is damaged: {self._name}: {what}; use another copy")
