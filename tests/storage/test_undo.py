"""What was recorded of a node can be undone as long as nobody has taken part in anything."""

from __future__ import annotations

import pytest

from raftd.core.types import Entry, EntryType, HardState, Write
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.undo import CannotForget, forget
from tests.storage.memory_fs import MemoryFileSystem

ROOT = "/data"


def opened(fs: MemoryFileSystem) -> DataDirectory:
    return open_directory(
        fs, ROOT, cluster="c1", node="n2", new_incarnation=lambda: "a" * 16, segment_bytes=1 << 16
    )


def written(*writes: Write) -> MemoryFileSystem:
    fs = MemoryFileSystem()
    directory = opened(fs)
    directory.recover()
    for write in writes:
        directory.wal.commit([write])
    directory.close()
    return fs


RECORDS = Write(1, records=(("n1", "f" * 16), ("n3", "3" * 16)))


def test_a_record_is_undone_and_another_takes_its_place() -> None:
    fs = written(RECORDS)
    assert forget(fs, ROOT, "n1") == "f" * 16
    directory = opened(fs)
    assert directory.recover().records == (("n3", "3" * 16),)
    directory.wal.commit([Write(1, records=(("n1", "1" * 16),))])
    directory.close()
    directory = opened(fs)
    assert dict(directory.recover().records) == {"n1": "1" * 16, "n3": "3" * 16}
    directory.close()


@pytest.mark.parametrize(
    "more",
    [
        Write(2, admitted=True),
        Write(2, HardState(1, None)),
        Write(2, HardState(1, "n3"), entries=(Entry(1, 1, EntryType.NOOP, b""),)),
    ],
    ids=["admitted", "has-a-term", "has-entries"],
)
def test_who_has_taken_part_forgets_nothing(more: Write) -> None:
    """Its record may be all that keeps a node with a lost vote from voting again."""
    fs = written(RECORDS, more)
    with pytest.raises(CannotForget, match="has taken part in its cluster"):
        forget(fs, ROOT, "n1")
    directory = opened(fs)
    assert directory.recover().records == RECORDS.records
    directory.close()


def test_nothing_is_made_and_nothing_invented() -> None:
    with pytest.raises(CannotForget, match="holds no node's data"):
        forget(MemoryFileSystem(), ROOT, "n1")
    with pytest.raises(CannotForget, match="nothing is recorded of 'n9' here; recorded: n1, n3"):
        forget(written(RECORDS), ROOT, "n9")
