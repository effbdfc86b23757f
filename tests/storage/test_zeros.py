"""Where the zeros at the end begin: the same answer as bytes.rstrip, over all edges of blocks."""

from __future__ import annotations

import pytest

from raftd.core.types import Entry, EntryType, Write
from raftd.storage import zeros
from raftd.storage.zeros import PART_BYTES as PART
from raftd.storage.zeros import read_used, used_end
from tests.storage.disks import FIRST, WRITES, batches_in, directory, recovered
from tests.storage.memory_fs import MemoryFileSystem

BLOCK = 1 << 16
SIZE = 4 * BLOCK + 77


def plain(data: bytes, start: int, end: int) -> int:
    return start + len(data[start:end].rstrip(b"\0"))


@pytest.mark.parametrize(
    "at", [0, 1, 76, 77, BLOCK - 1, BLOCK, BLOCK + 76, BLOCK + 77, 3 * BLOCK, SIZE - 1, None]
)
def test_it_is_where_rstrip_would_stop(at: int | None) -> None:
    data = bytearray(SIZE)
    if at is not None:
        data[at] = 1
    whole = bytes(data)
    edges = {0, 1, 77, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77, SIZE - 1, SIZE}
    edges |= {at, at + 1} if at is not None else set()
    for start in edges:
        for end in edges:
            if start <= end:
                assert used_end(whole, start, end) == plain(whole, start, end), (start, end)


def test_of_data_that_ends_early() -> None:
    assert used_end(b"ab\0\0", 1, 100) == 2
    assert used_end(b"\0\0", 0, 100) == 0
    assert used_end(b"", 0, 100) == 0
    assert used_end(b"ab", 5, 100) == 5


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 5])
def test_what_is_left_out_of_a_file_is_zeros(size: int) -> None:
    for at in {None, 0, 7, PART - 1, PART, 2 * PART, size - 1}:
        if at is not None and at >= size:
            continue
        data = bytearray(size)
        if at is not None:
            data[at] = 1
        fs = MemoryFileSystem()
        file = fs.create("/file")
        file.write(0, bytes(data))
        file.close()
        found = read_used(fs, "/file", size)
        assert found + bytes(size - len(found)) == bytes(data)
        assert len(found) <= (0 if at is None else at) // PART * PART + PART


def test_a_batch_that_ends_with_zeros_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is torn of it, a start that leaves out zeros finds what any other start finds."""
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    opened.wal.commit([WRITES[0]])
    opened.wal.commit([Write(2, entries=(Entry(1, 1, EntryType.BATCH, b"a" + bytes(700)),))])
    fs.kill()
    content = fs.files()[FIRST]
    last = batches_in(content)[-1]
    for at in range(last.offset, last.end + 1):
        torn = content[:at] + bytes(last.end - at) + content[last.end :]
        found = []
        for part in (PART, 64, 37):
            monkeypatch.setattr(zeros, "PART_BYTES", part)
            disk = fs.clone()
            disk.put(FIRST, torn)
            found.append(recovered(disk).entries)
        assert found[0] == found[1] == found[2], at
        assert len(found[0]) == (torn == content), at
