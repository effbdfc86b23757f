"""Room for a snapshot that arrives, and reading again one that is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raftd.core.types import SnapshotMeta
from raftd.storage.errors import NoSpace, TooLarge
from raftd.storage.snapshot_writing import ALLOCATE_BYTES
from raftd.storage.snapshots import SnapshotFiles
from tests.storage.test_snapshots import made, store_on


def test_room_is_taken_as_the_bytes_come() -> None:
    """8 GiB are announced, one chunk comes: nobody may fill a disk by announcing."""
    fs, store = store_on()
    incoming = store.receive("n2", replace(made(store), size_bytes=8 << 30))
    before = fs.used_bytes()
    incoming.store(0, bytes(1000))
    assert fs.used_bytes() - before <= 1000 + ALLOCATE_BYTES
    incoming.store(1000, bytes(1000))
    assert fs.used_bytes() - before <= 1000 + ALLOCATE_BYTES


def test_what_cannot_fit_is_refused_before_a_byte_is_written() -> None:
    fs, store = store_on()
    meta = made(store)
    fs.capacity_bytes = fs.used_bytes() + 1_000_000
    with pytest.raises(NoSpace, match=r"\(1000001 bytes\): so much is not free; make room"):
        store.receive("n2", replace(meta, size_bytes=1_000_001))
    assert [name for name in fs.listdir("/s") if name.endswith(".tmp")] == []
    small = SnapshotFiles(fs, "/s", size_max=5000)
    with pytest.raises(TooLarge, match="n2 announces a snapshot of 5001 bytes, snapshot_size_max"):
        small.receive("n2", replace(meta, size_bytes=5001))
    assert small.receive("n2", replace(meta, size_bytes=5000)).next_offset == 0


@pytest.mark.parametrize("size", [1, 333, 1 << 20])
def test_reread_finds_nothing_in_a_good_file(size: int) -> None:
    _, store = store_on()
    meta = made(store)
    assert reread(store, meta, size) == ""


@pytest.mark.parametrize("where", [0, 40, 300, -1])
def test_reread_finds_a_changed_bit(where: int) -> None:
    fs, store = store_on()
    meta = made(store)
    path = store.path(meta)
    data = bytearray(fs.files()[path])
    data[where] ^= 1
    fs.put(path, bytes(data))
    assert "has checksum" in reread(store, meta, 100)


def test_reread_finds_a_short_a_long_and_a_missing_file() -> None:
    fs, store = store_on()
    meta = made(store)
    path = store.path(meta)
    data = fs.files()[path]
    fs.put(path, data[:-1])
    assert f"{meta.size_bytes - 1} bytes instead of {meta.size_bytes}" in reread(store, meta, 100)
    fs.put(path, data + b"x")
    assert f"{meta.size_bytes + 1} bytes instead of {meta.size_bytes}" in reread(store, meta, 100)
    fs.unlink(path)
    assert "is missing" in reread(store, meta, 100)


def reread(store: SnapshotFiles, meta: SnapshotMeta, size: int) -> str:
    offset, crc = 0, 0
    while offset < meta.size_bytes:
        offset, crc, trouble = store.reread(meta, offset, size, crc)
        if trouble:
            return trouble
    return ""
