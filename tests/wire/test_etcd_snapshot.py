"""What Maintenance.Snapshot sends is read again; cut or changed at any byte it is refused."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from raftd.wire.backup import BackupReader, BadBackup
from raftd.wire.backup_files import reader_of
from raftd.wire.etcd_snapshot import LENGTH, PAGE_BYTES, EtcdSnapshotReader, snapshot_blobs

BLOB = 4096
STORE = b"rkv2" + bytes(range(256)) * 3


def saved(chunks: list[bytes]) -> bytes:
    """As etcdctl keeps it."""
    return b"".join(snapshot_blobs(chunks, BLOB))


def read(path: Path) -> bytes:
    with path.open("rb") as file:
        return b"".join(reader_of(file, "f").chunks())


def test_it_is_whole_pages_and_then_its_digest() -> None:
    for sizes in ((), (1,), (504,), (505,), (BLOB, 1), (3 * BLOB + 7, 0, 511)):
        chunks = [bytes([number]) * size for number, size in enumerate(sizes, 1)]
        *blobs, digest = snapshot_blobs(chunks, BLOB)
        body = b"".join(blobs)
        assert digest == sha256(body).digest()
        assert len(body) % PAGE_BYTES == 0
        (length,) = LENGTH.unpack(body[-LENGTH.size :])
        assert body[:length] == b"".join(chunks)
        assert max(map(len, blobs)) <= BLOB


@pytest.mark.parametrize("size", [4, 503, 504, 505, 511, 512, 772, 1 << 20, (1 << 20) + 1])
def test_it_is_read_again(tmp_path: Path, size: int) -> None:
    store = (STORE * (size // len(STORE) + 1))[:size]
    path = tmp_path / "f"
    path.write_bytes(saved([store[:100], store[100:]]))
    assert read(path) == store


def test_damage_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole, path = saved([STORE]), tmp_path / "f"
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        with pytest.raises(BadBackup):
            read(path)


def test_a_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole, path = saved([STORE]), tmp_path / "f"
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        with pytest.raises(BadBackup):
            read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(BadBackup):
        read(path)


def test_each_kind_has_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(saved([STORE]))
    with path.open("rb") as file:
        reader = reader_of(file, "f")
        assert isinstance(reader, EtcdSnapshotReader)
        assert not isinstance(reader, BackupReader)
        assert (reader.head.index, reader.head.term) == (1, 1)
    path.write_bytes(b"\0" * 1024)
    with path.open("rb") as file, pytest.raises(BadBackup, match="etcdctl snapshot save"):
        reader_of(file, "f")
