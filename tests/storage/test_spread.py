"""A long file is synced a step at a time, so that its last sync holds up nobody's log."""

from __future__ import annotations

import errno

import pytest

from raftd.storage import fs as storage_fs
from raftd.storage.errors import NoSpace
from tests.storage.memory_fs import MemoryFileSystem, Operation
from tests.storage.model import CONFIGURATION
from tests.storage.test_snapshots import content, fill, made, store_on

STEP = 1000


@pytest.fixture(autouse=True)
def _steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_fs, "SPREAD_BYTES", STEP)


class Longest:
    """As `fs.before`: the most bytes that any one sync had to write. fails: the syncs in between
    fail with it.
    """

    def __init__(self, fs: MemoryFileSystem, fails: int = 0) -> None:
        self.bytes = self._waiting = 0
        self._fails = fails
        fs.before = self

    def __call__(self, operation: Operation) -> None:
        if operation.name == "write":
            self._waiting += operation.size
        if operation.name == "datasync" and self._fails:
            raise OSError(self._fails, "it failed")
        if operation.name in ("datasync", "sync"):
            self.bytes, self._waiting = max(self.bytes, self._waiting), 0


def test_no_sync_of_a_snapshot_of_our_own_has_much_to_write() -> None:
    fs, store = store_on()
    longest = Longest(fs)
    meta = made(store, body=bytes(50 * STEP))
    assert longest.bytes < 2 * STEP
    assert content(store, meta)[1] == bytes(50 * STEP)


def test_no_sync_of_a_snapshot_that_arrives_has_much_to_write() -> None:
    fs, store = store_on()
    meta = made(store, body=bytes(50 * STEP))
    data = fs.files()[store.path(meta)]
    other, there = store_on()
    longest = Longest(other)
    incoming = there.receive("n1", meta)
    fill(incoming, data)
    assert incoming.commit() == meta
    assert longest.bytes < 2 * STEP


@pytest.mark.parametrize(
    ("number", "raised"), [(errno.ENOSPC, NoSpace), (errno.EIO, OSError)], ids=["full", "broken"]
)
def test_a_file_whose_sync_failed_is_begun_anew(number: int, raised: type[Exception]) -> None:
    """What was to be written may be lost, and another sync would succeed and mean nothing."""
    fs, store = store_on()
    meta = made(store, body=bytes(50 * STEP))
    data = fs.files()[store.path(meta)]
    other, there = store_on()
    Longest(other, number)
    sink = there.create(5, 2, CONFIGURATION, b"")
    with pytest.raises(raised):
        sink.write(bytes(2 * STEP))
    assert sink.finished
    incoming = there.receive("n1", meta)
    with pytest.raises(raised):
        fill(incoming, data)
    other.before = None
    assert [name for name in other.listdir("/s") if name.endswith(".tmp")] == []
    again = there.receive("n1", meta)
    assert again.next_offset == 0
    fill(again, data)
    assert again.commit() == meta
