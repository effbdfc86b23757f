"""A segment that was being made when the power went is thrown away, and only after it was read."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Callable

import pytest

from raftd.core.types import Write
from raftd.storage.errors import CorruptIdentity, CorruptLog, UnknownFormat
from raftd.storage.segment import SEGMENT_HEADER, decode_header, encode_header
from tests.storage.corruption import replaced
from tests.storage.disks import FIRST, SECOND, batches_in, directory, outcome, recovered
from tests.storage.memory_fs import MemoryFileSystem, Operation
from tests.storage.model import ROOT, entry


def half_rolled(batches: int = 3) -> MemoryFileSystem:
    """The second segment is made and synced; the power went before the first one's seal."""
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    for index in range(1, batches + 1):
        opened.wal.commit([Write(index, entries=(entry(index, 1),))])

    def cut(operation: Operation) -> None:
        if operation.name == "write" and operation.path == FIRST:
            raise OSError(errno.EIO, "the power goes")

    fs.before = cut
    with pytest.raises(OSError, match="the power goes"):
        opened.wal.commit([Write(batches + 1, entries=(entry(batches + 1, 1, 3000),))])
    fs.kill()
    assert SECOND in fs.files()
    return fs


def spoil_last(fs: MemoryFileSystem) -> int:
    """Damage the last batch that was acknowledged, and whatever marks there are; its offset."""
    last = batches_in(fs.files()[FIRST])[-1]
    fs.poke(FIRST, last.offset, b"\xff" * (last.end - last.offset))
    return last.offset


def test_it_goes_when_nothing_is_missing() -> None:
    fs = half_rolled()
    found = recovered(fs)
    assert [item.index for item in found.entries] == [1, 2, 3]
    assert SECOND not in fs.files()


def test_its_header_proves_that_the_last_batch_was_synced() -> None:
    fs = half_rolled()
    at = spoil_last(fs)
    before = fs.files()
    with pytest.raises(CorruptLog, match="the header of segment 2 says that it had been") as caught:
        recovered(fs)
    assert (caught.value.path, caught.value.offset, caught.value.index) == (FIRST, at, 2)
    assert fs.files() == before


def test_without_it_the_same_damage_is_a_torn_write() -> None:
    fs = half_rolled()
    spoil_last(fs)
    fs.remove(SECOND)
    assert len(recovered(fs).entries) == 2


def test_it_comes_back_after_the_log_went_on() -> None:
    """Its removal is not synced; what it names is still there, with more behind it."""
    fs = half_rolled()
    old = fs.files()[SECOND]
    opened = directory(fs)
    opened.recover()
    opened.wal.commit([Write(1, entries=(entry(4, 1, 10),))])
    fs.kill()
    fs.put(SECOND, old)
    assert len(recovered(fs).entries) == 4
    assert SECOND not in fs.files()


def torn(content: bytes) -> bytes:
    return replaced(content, 30, b"\xff\xff")


def test_a_torn_header_proves_nothing() -> None:
    fs = half_rolled()
    fs.put(SECOND, torn(fs.files()[SECOND]))
    assert len(recovered(fs).entries) == 3
    assert SECOND not in fs.files()


def with_something_behind(content: bytes) -> bytes:
    return replaced(content, len(content) - 9, b"x")


def with_a_damaged_batch(content: bytes) -> bytes:
    """And no readable header: one of ours began there all the same."""
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    opened.wal.commit([Write(1, entries=(entry(1, 1),))])
    batch = batches_in(fs.files()[FIRST])[0]
    data = fs.files()[FIRST][batch.offset : batch.end - 3]
    return torn(replaced(content, 1500, data))


def of_another_directory(content: bytes) -> bytes:
    header = decode_header(content, "")
    data, _ = encode_header(7, *header[1:6], header.books, header.block)
    return replaced(content, 0, data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_something_behind, "segment 2 was in use"),
        (with_a_damaged_batch, "segment 2 was in use"),
        (of_another_directory, "of another data directory"),
    ],
)
def test_one_that_was_not_being_made_is_refused(
    change: Callable[[bytes], bytes], words: str
) -> None:
    fs = half_rolled()
    fs.put(SECOND, change(fs.files()[SECOND]))
    before = fs.files()
    with pytest.raises(CorruptLog, match=words):
        recovered(fs)
    assert fs.files() == before


def test_one_of_a_newer_raftd_is_refused() -> None:
    fs = half_rolled()
    header = decode_header(fs.files()[SECOND], "")
    data, _ = encode_header(*header[:6], header.books, header.block)
    newer = newer_version(data)
    fs.put(SECOND, replaced(fs.files()[SECOND], 0, newer))
    with pytest.raises(UnknownFormat):
        recovered(fs)


def newer_version(header: bytes) -> bytes:
    head = replaced(header, 8, (9).to_bytes(4, "little"))
    end = SEGMENT_HEADER.size
    crc = zlib.crc32(head[: end - 4] + bytes(4) + head[end:])
    return replaced(head, end - 4, crc.to_bytes(4, "little"))


def test_segments_without_an_identity_prove_that_there_was_one() -> None:
    """A later one, or one whose header remembers something, has been used even if it is empty."""
    fs = half_rolled(batches=1)
    second = fs.files()[SECOND]
    for path, content in ((SECOND, second), (FIRST, torn(second))):
        other = MemoryFileSystem()
        opened = directory(other)
        opened.recover()
        opened.close()
        other.remove(f"{ROOT}/identity")
        other.remove(FIRST)
        other.put(path, content)
        found = outcome(other)
        assert isinstance(found, CorruptIdentity) is (path == SECOND), path
