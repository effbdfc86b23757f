"""Whole files missing, empty, swapped, stale or of another node: refused, or without effect."""

from __future__ import annotations

from itertools import combinations

import pytest

from raftd.core.types import Recovered, Write
from raftd.storage.errors import CorruptLog, StorageError
from tests.conftest import Count
from tests.storage.disks import (
    FIRST,
    WRITES,
    directory,
    disk_at_rest,
    last_segment,
    outcome,
    recovered,
    small_directory,
    states,
)
from tests.storage.memory_fs import MemoryFileSystem
from tests.storage.model import entry


def data_files(fs: MemoryFileSystem) -> dict[str, bytes]:
    return {path: content for path, content in fs.files().items() if not path.endswith("/lock")}


def test_every_file_missing(count: Count) -> None:
    fs, (_, last) = small_directory()
    files = data_files(fs)
    for path in files:
        rest = {name: content for name, content in files.items() if name != path}
        found = outcome(disk_at_rest(rest))
        if isinstance(found, Recovered):  # all that it held is in the snapshot
            assert path == FIRST
            assert last.differs(found) == ""
        else:
            assert path.rsplit("/", 1)[1] in str(found)
    count("whole files: missing", len(files))


def test_every_two_files_missing(count: Count) -> None:
    fs, (_, last) = small_directory()
    files = data_files(fs)
    pairs = list(combinations(files, 2))
    for pair in pairs:
        rest = {name: content for name, content in files.items() if name not in pair}
        found = outcome(disk_at_rest(rest))
        assert isinstance(found, StorageError) or last.differs(found) == "", pair
    count("whole files: two missing", len(pairs))


def test_every_file_empty_or_of_zeros(count: Count) -> None:
    fs, _ = small_directory()
    files = data_files(fs)
    for path, content in files.items():
        for other in (b"", bytes(len(content))):
            with pytest.raises(StorageError):
                recovered(disk_at_rest({**files, path: other}))
    count("whole files: empty or zeros", 2 * len(files))


def test_every_two_files_swapped(count: Count) -> None:
    fs, _ = small_directory()
    files = data_files(fs)
    pairs = list(combinations(files, 2))
    for one, other in pairs:
        with pytest.raises(StorageError):
            recovered(disk_at_rest({**files, one: files[other], other: files[one]}))
    count("whole files: swapped", len(pairs))


def test_every_file_of_another_node(count: Count) -> None:
    fs, _ = small_directory()
    other = MemoryFileSystem()
    opened = directory(other, 700, node="n2")
    opened.recover()
    for write in WRITES:
        opened.wal.commit([write])
    opened.close()
    foreign = data_files(other)
    for path, content in foreign.items():
        with pytest.raises(StorageError):
            recovered(disk_at_rest({**data_files(fs), path: content}))
    count("whole files: of another node", len(foreign))


def test_every_stale_copy_of_a_segment(count: Count) -> None:
    """One that has a successor lacks its seal. Of the last one nothing can tell.

    To start from an old copy of the whole log is what a restored backup does: it finds an earlier
    state, never a mixture.
    """
    fs = MemoryFileSystem()
    opened = directory(fs, 700)
    opened.recover()
    writes = [*WRITES, Write(5, entries=(entry(5, 2, 300),)), Write(6, entries=(entry(6, 2, 30),))]
    versions: set[tuple[str, bytes]] = set()
    for write in writes:
        opened.wal.commit([write])
        versions |= data_files(fs).items()
    opened.close()
    files = data_files(fs)
    stale = versions - files.items()
    assert len({path for path, _ in stale}) >= 3
    rolled_back = 0
    for path, content in stale:
        found = outcome(disk_at_rest({**files, path: content}))
        if path != last_segment(fs):
            assert isinstance(found, CorruptLog)
            assert found.what.startswith("no seal here")
        else:
            assert isinstance(found, Recovered)
            assert any(state.differs(found) == "" for state in states(writes))
            rolled_back += 1
    count("whole files: stale", len(stale))
    count("whole files: of these the last segment, as a restored backup", rolled_back)
