"""Damage to files at rest: a torn tail is cut, everything else refuses to start."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from raftd.core.types import HardState, Recovered, Write
from raftd.storage.errors import CorruptIdentity, CorruptLog, CorruptSnapshot, StorageError
from raftd.storage.segment import decode_header, encode_header
from tests.conftest import Count
from tests.storage.corruption import replaced
from tests.storage.disks import (
    FIRST,
    SECOND,
    WRITES,
    directory,
    disk_at_rest,
    filled,
    flips,
    last_segment,
    outcome,
    recovered,
    small_directory,
    states,
)
from tests.storage.memory_fs import MemoryFileSystem
from tests.storage.model import ROOT, entry


def damaged(content: bytes, at: int, kind: str, rng: random.Random) -> bytes:
    """The file from `at` on lost, in one of the ways in which a tail is lost."""
    if kind == "zeros":
        return content[:at] + bytes(len(content) - at)
    return content[:at] + rng.randbytes(len(content) - at)


@pytest.mark.parametrize("kind", ["zeros", "garbage"])
def test_tail_torn_at_every_byte(kind: str, count: Count) -> None:
    fs, ends = filled()
    content = fs.files()[FIRST]
    models = states(WRITES)
    tried = 0
    for at in range(ends[1], ends[-1] + 1):
        torn = fs.clone()
        torn.put(FIRST, damaged(content, at, kind, random.Random(at)))
        whole = sum(end <= at for end in ends)
        if whole < len(WRITES) and content[at : ends[whole]].strip(b"\0") == b"":
            continue
        tried += 1
        assert models[whole].differs(recovered(torn)) == "", at
        assert models[whole].differs(recovered(torn)) == "", "another start finds something else"
        again = directory(torn)
        again.recover()
        last = models[whole].last
        again.wal.commit([Write(1, entries=(entry(last + 1, 2),))])
        torn.crash(random.Random(at), keep=0.0)
        assert recovered(torn).entries[-1] == entry(last + 1, 2)
    count(f"torn tails: {kind}", tried)


def test_file_cut_at_every_byte_refuses(count: Count) -> None:
    """A segment is made with its full size: a shorter one has lost what nobody can name."""
    fs, _ = filled()
    files = fs.files()
    content = files[FIRST]
    for at in range(len(content)):
        cut = disk_at_rest({**files, FIRST: content[:at]})
        with pytest.raises(CorruptLog) as caught:
            recovered(cut)
        assert caught.value.path == FIRST
        assert str(caught.value).count("\n") == 0
    count("torn tails: cut", len(content))


def test_same_tail_damage_after_an_idle_marker_refuses() -> None:
    """Once something later says that a batch was synced, its damage is not a torn write."""
    fs, ends = filled()
    recovered(fs)  # writes an idle marker behind the last batch
    content = fs.files()[FIRST]
    for at in range(ends[-2], ends[-1]):
        bad = fs.clone()
        bad.poke(FIRST, at, bytes((content[at] ^ 0x40,)))
        with pytest.raises(CorruptLog) as caught:
            recovered(bad)
        assert (caught.value.path, caught.value.offset) == (FIRST, ends[-2])
        assert caught.value.index == 3
        assert f"{FIRST} at offset {ends[-2]}, after log index 3" in str(caught.value)


def test_parts_of_an_unsynced_batch_behind_a_hole_are_no_proof() -> None:
    """An idle marker and the batch after it may be in flight together, and either survive alone."""
    fs, ends = filled()
    opened = directory(fs)
    opened.recover()
    idle_end = len(fs.files()[FIRST].rstrip(b"\0"))
    opened.wal.commit([Write(1, entries=(entry(5, 2),))])
    fs.kill()
    for at in range(ends[-1], idle_end):
        torn = fs.clone()
        torn.poke(FIRST, at, b"\xee")
        assert states(WRITES)[-1].differs(recovered(torn)) == ""


def test_every_bit_of_a_directory_flipped(count: Count) -> None:
    fs, (before_last, last) = small_directory()
    files = fs.files()
    counts = {"refused": 0, "a tail that nothing proves dropped": 0, "no effect": 0}
    for path, content in files.items():
        for at, changed in flips(content):
            found = outcome(disk_at_rest({**files, path: replaced(content, at, changed)}))
            if isinstance(found, StorageError):
                counts["refused"] += 1
                assert str(found).count("\n") == 0
            elif last.differs(found) == "":
                counts["no effect"] += 1
            else:
                assert path == last_segment(fs)
                assert before_last.differs(found) == "", (path, at)
                counts["a tail that nothing proves dropped"] += 1
    assert counts["refused"] > 1000
    count("every bit of a directory: flipped", sum(counts.values()))
    for came_out, number in counts.items():
        count(f"every bit of a directory: {came_out}", number)


def test_every_bit_flipped_after_an_orderly_stop_has_no_effect_or_refuses(count: Count) -> None:
    """With the idle marker there is no window left: nothing acknowledged is ever dropped."""
    fs, (_, last) = small_directory()
    opened = directory(fs, 700)
    opened.recover()
    opened.close()
    files = fs.files()
    counts = {"refused": 0, "no effect": 0}
    path = last_segment(fs)
    for at, changed in flips(files[path]):
        bad = {**files, path: replaced(files[path], at, changed)}
        found = outcome(disk_at_rest(bad))
        assert not isinstance(found, Recovered) or last.differs(found) == "", at
        counts["no effect" if isinstance(found, Recovered) else "refused"] += 1
    for came_out, number in counts.items():
        count(f"every bit of the last segment after a stop: {came_out}", number)


def test_two_batches_swapped_or_one_repeated_refuses() -> None:
    fs, ends = filled()
    recovered(fs)
    content = fs.files()[FIRST]
    one, two = content[ends[0] : ends[1]], content[ends[1] : ends[2]]
    for middle in (two + one, one + one):
        bad = fs.clone()
        rest = content[ends[0] + len(middle) :]
        bad.put(FIRST, content[: ends[0]] + middle + rest)
        with pytest.raises(CorruptLog):
            recovered(bad)


def test_batches_of_one_size_in_another_order_refuse() -> None:
    """Each is right by itself, and all records make sense: only the chain tells."""
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    ends = []
    for term in range(1, 5):
        opened.wal.commit([Write(term, hard_state=HardState(term, "n1"))])
        ends.append(len(fs.files()[FIRST].rstrip(b"\0")))
    opened.close()
    content = fs.files()[FIRST]
    size = ends[1] - ends[0]
    for target in ends[:3]:
        for source in ends[:3]:
            if source != target:
                bad = fs.clone()
                bad.poke(FIRST, target, content[source : source + size])
                with pytest.raises(CorruptLog, match="damaged or missing"):
                    recovered(bad)


def test_a_right_header_that_the_seal_does_not_name_is_refused() -> None:
    fs, _ = small_directory()
    header = decode_header(fs.files()[SECOND], SECOND)
    books = replace(header.books, hard_state=HardState(2, "n3"))
    data, _ = encode_header(
        header.directory,
        header.number,
        header.allocated,
        header.sequence,
        header.seed,
        header.last_index,
        books,
    )
    content = fs.files()[SECOND]
    fs.put(SECOND, (data + content[header.size :]).ljust(len(content), b"\0"))
    with pytest.raises(CorruptLog, match="not the segment that the one before names"):
        recovered(fs)


def test_first_segments_missing_whose_entries_no_snapshot_covers() -> None:
    fs = MemoryFileSystem()
    opened = directory(fs, 400)
    opened.recover()
    for index in range(1, 10):
        opened.wal.commit([Write(index, entries=(entry(index, 1, 100),))])
    opened.close()
    fs.remove(FIRST)
    fs.remove(SECOND)
    with pytest.raises(CorruptLog, match=r"entries 1 to \d are missing"):
        recovered(fs)


def test_old_content_of_a_block_returns() -> None:
    """A lost write in the middle: the block holds what it held before."""
    fs, ends = filled()
    recovered(fs)
    content = fs.files()[FIRST]
    for start in range(0, ends[-1], 16):
        stale = fs.clone()
        stale.poke(FIRST, start, bytes(min(16, ends[-1] - start)))
        found = outcome(stale)
        same = content[start : start + 16].strip(b"\0") == b""
        assert isinstance(found, CorruptLog) or same


def test_refusal_changes_nothing() -> None:
    fs, _ = small_directory()
    bad = fs.clone()
    bad.poke(FIRST, 200, b"\xff\xff")
    before = bad.files()
    for _ in range(2):
        with pytest.raises(CorruptLog):
            recovered(bad)
    assert bad.files() == before


def test_batch_copied_into_an_entry_is_no_proof() -> None:
    """Somebody stores a copy of our own log in our own log, and the batch after it is torn."""
    fs, ends = filled()
    copy = fs.files()[FIRST][: ends[-1]]
    opened = directory(fs)
    opened.recover()
    opened.wal.commit([Write(1, entries=(entry(5, 2)._replace(payload=copy),))])
    fs.kill()
    at = fs.files()[FIRST].rindex(copy)
    fs.poke(FIRST, at - 3, b"\xff")
    assert states(WRITES)[-1].differs(recovered(fs)) == ""


def test_another_nodes_log_copied_into_an_entry_is_no_proof() -> None:
    other = MemoryFileSystem()
    theirs = directory(other, 4000, node="n2")
    theirs.recover()
    for index in range(1, 20):
        theirs.wal.commit([Write(index, entries=(entry(index, 1),))])
    theirs.close()
    fs, _ = filled()
    opened = directory(fs)
    opened.recover()
    copy = other.files()[FIRST]
    opened.wal.commit([Write(1, entries=(entry(5, 2)._replace(payload=copy),))])
    fs.kill()
    path = last_segment(fs)
    fs.poke(path, fs.files()[path].index(copy) - 3, b"\xff")
    assert states(WRITES)[-1].differs(recovered(fs)) == ""


def test_errors_say_which_kind() -> None:
    fs, _ = small_directory()
    snapshot = next(path for path in fs.files() if path.endswith(".snap"))
    for path, kind in (
        (f"{ROOT}/identity", CorruptIdentity),
        (snapshot, CorruptSnapshot),
        (FIRST, CorruptLog),
    ):
        bad = fs.clone()
        bad.poke(path, 60, b"\xf0\xf1\xf2")
        with pytest.raises(kind):
            recovered(bad)
