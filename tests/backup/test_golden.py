"""Files that earlier versions wrote are restored for ever. Never write one anew: add another."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from raftd.cli.raftctl import main as raftctl
from raftd.machine.kv.store import KvStore
from raftd.storage.directory import open_directory
from raftd.storage.fs import OsFileSystem
from raftd.wire import kv as wire
from tests.backup.test_restore import restore

GOLDEN = Path(__file__).parent / "golden"
FILES = {
    "version-1.bak": "f85d3173ab3d98d55325e856c610197fefa49fc8bf073333441a1f668ff10811",
    "etcdctl-rkv2.db": "3e4a6e3972e7b4b38793c1495aea0eeb94bd160b34fbbedb6ff11385380d3812",
}
"""By name: the SHA-256 of the file. Five keys, written ten times, and a lease; in a session."""


def test_every_file_is_there_as_it_was_written() -> None:
    found = {path.name: path.read_bytes() for path in GOLDEN.iterdir()}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == FILES


@pytest.mark.parametrize("name", FILES)
def test_it_is_verified_and_restored(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    shutil.copy(GOLDEN / name, file)
    assert raftctl(["backup", "verify", str(file)]) == 0
    assert restore(file, "x") == 0
    fs = OsFileSystem()
    root = str(tmp_path / "x")
    directory = open_directory(
        fs, root, cluster="whatever", node="x", new_incarnation=lambda: "none"
    )
    meta = directory.recover().snapshot
    assert meta is not None
    sessions, body = directory.snapshots.open_body(meta)
    store = KvStore()
    with body:
        store.restore(body)
    directory.close()
    assert sessions == b""
    assert (len(store), store.revision, store.leases.granted_s) == (5, 11, {7: 60})
    assert store.query(wire.encode_get(b"key1")).endswith(b"value 11")
    assert store.record_at(b"key1", 6) != store.record_at(b"key1", 11)
