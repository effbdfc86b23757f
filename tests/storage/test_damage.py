"""Damage to files at rest: a torn tail is cut, everything else refuses to start."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from raftd.core.types import HardState, Recovered, Write
from raftd.storage.errors import CorruptIdentity, CorruptLog, CorruptSnapshot, StorageError
from raftd.storage.framing import MARK, MARK_MAGIC, encode_batch
from raftd.storage.record import encode_seal
from raftd.storage.segment import decode_header, encode_header
from tests.conftest import Count
from tests.storage.corruption import replaced
from tests.storage.disks import (
    FIRST,
    SECOND,
    WRITES,
    batches_in,
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


def torn_at(content: bytes, at: int, end: int, kind: str, rng: random.Random) -> bytes:
    """The last write from `at` to its `end` lost, in one of the ways in which such are lost."""
    new = bytes(end - at) if kind == "zeros" else rng.randbytes(end - at)
    return replaced(content, at, new)


@pytest.mark.parametrize("kind", ["zeros", "garbage"])
@pytest.mark.parametrize("number", range(1, len(WRITES) + 1))
def test_every_batch_torn_at_every_byte(number: int, kind: str, count: Count) -> None:
    """While it was the last one."""
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    for write in WRITES[:number]:
        opened.wal.commit([write])
    fs.kill()
    content = fs.files()[FIRST]
    last = batches_in(content)[-1]
    model = states(WRITES)[number - 1]
    for at in range(last.offset, last.end):
        torn = fs.clone()
        left = torn_at(content, at, last.end, kind, random.Random(at))
        if left == content:
            continue
        torn.put(FIRST, left)
        assert model.differs(recovered(torn)) == "", at
        assert model.differs(recovered(torn)) == "", "another start finds something else"
        again = directory(torn)
        again.recover()
        again.wal.commit([Write(1, entries=(entry(model.last + 1, 2),))])
        torn.crash(random.Random(at), keep=0.0)
        assert recovered(torn).entries[-1] == entry(model.last + 1, 2)
    count(f"torn tails: {kind}", last.end - last.offset)


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


def test_same_tail_damage_after_a_mark_refuses() -> None:
    """Once something says that a batch was synced, its damage is not a torn write."""
    fs, batches = filled()
    recovered(fs)  # marks the last batch
    last, content = batches[-1], fs.files()[FIRST]
    for at in range(last.offset, last.end):
        bad = fs.clone()
        bad.poke(FIRST, at, bytes((content[at] ^ 0x40,)))
        with pytest.raises(CorruptLog) as caught:
            recovered(bad)
        assert (caught.value.path, caught.value.offset) == (FIRST, last.offset)
        assert caught.value.index == 3
        assert f"{FIRST} at offset {last.offset}, after log index 3" in str(caught.value)


def test_a_rotten_mark_takes_nothing_with_it() -> None:
    fs, _ = filled()
    recovered(fs)
    content = fs.files()[FIRST]
    at = content.find(MARK_MAGIC)
    tried = 0
    while at >= 0:
        for byte in range(at, at + MARK.size):
            bad = fs.clone()
            bad.poke(FIRST, byte, b"\xee")
            assert states(WRITES)[-1].differs(recovered(bad)) == ""
            tried += 1
        at = content.find(MARK_MAGIC, at + 1)
    assert tried >= 2 * MARK.size


@pytest.mark.long
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
    """With the mark there is no window left: nothing acknowledged is ever dropped."""
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
    fs, batches = filled()
    recovered(fs)
    content = fs.files()[FIRST]
    one, two = (content[it.offset : it.end] for it in batches[1:3])
    for first, second in ((two, one), (one, one)):
        bad = replaced(content, batches[1].offset, first)
        fs.put(FIRST, replaced(bad, batches[2].offset, second))
        with pytest.raises(CorruptLog):
            recovered(fs)


def test_batches_of_one_size_in_another_order_refuse() -> None:
    """Each is right by itself, and all records make sense: only the chain tells."""
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    for term in range(1, 5):
        opened.wal.commit([Write(term, hard_state=HardState(term, "n1"))])
    opened.close()
    content = fs.files()[FIRST]
    places = [(it.offset, it.end) for it in batches_in(content)]
    for target, _ in places:
        for source, end in places:
            if source != target:
                bad = fs.clone()
                bad.poke(FIRST, target, content[source:end])
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
        header.block,
    )
    content = fs.files()[SECOND]
    fs.put(SECOND, (data + content[header.size :]).ljust(len(content), b"\0"))
    with pytest.raises(CorruptLog, match="not the segment that the one before names"):
        recovered(fs)


def test_a_header_that_repeats_another_state_is_refused() -> None:
    """Seal and header agree with each other, and not with the segment that they follow."""
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    opened.wal.commit([Write(1, HardState(4, "n1"), entries=(entry(1, 4),))])
    opened.wal._roll(opened.wal._usable(), 10)
    fs.kill()
    seal = batches_in(fs.files()[FIRST])[-1]
    header = decode_header(fs.files()[SECOND], SECOND)
    for last, state in ((1, HardState(4, "n1")), (2, HardState(4, "n1")), (1, HardState(3, None))):
        books = replace(header.books, hard_state=state)
        data, crc = encode_header(*header[:5], last, books, header.block)
        fs.put(SECOND, data.ljust(header.allocated, b"\0"))
        body = encode_seal(2, crc)
        named, _ = encode_batch(
            [b"", body], len(body), header.directory, seal.sequence, seal.previous
        )
        fs.poke(FIRST, seal.offset, bytes(named))
        if (last, state) == (1, HardState(4, "n1")):
            assert len(recovered(fs).entries) == 1
            continue
        with pytest.raises(CorruptLog, match="repeats another state"):
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
    fs, _ = filled()
    recovered(fs)
    content = fs.files()[FIRST]
    refused = 0
    for start in range(0, len(content), 16):
        stale = fs.clone()
        stale.poke(FIRST, start, bytes(16))
        found = outcome(stale)
        if isinstance(found, StorageError):
            refused += 1
        else:
            assert states(WRITES)[-1].differs(found) == ""
    assert refused > 20


def test_refusal_changes_nothing() -> None:
    fs, _ = small_directory()
    bad = fs.clone()
    bad.poke(FIRST, batches_in(bad.files()[FIRST])[0].end - 4, b"\xff\xff")
    before = bad.files()
    for _ in range(2):
        with pytest.raises(CorruptLog):
            recovered(bad)
    assert bad.files() == before


def test_batch_copied_into_an_entry_is_no_proof() -> None:
    """Somebody stores a copy of our own log in our own log, and the batch after it is torn."""
    fs, _ = filled()
    recovered(fs)
    copy = fs.files()[FIRST].rstrip(b"\0")
    opened = directory(fs)
    opened.recover()
    opened.wal.commit([Write(1, entries=(entry(5, 2)._replace(payload=copy),))])
    fs.kill()
    path = last_segment(fs)
    fs.poke(path, fs.files()[path].rindex(copy) - 3, b"\xff")
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
