"""The formats of a release stay readable: a data directory of each, kept as text beside this file.

`python -m tests.storage.test_format` writes the file of the present version anew. A diff in it
means that the format has changed, and that needs a new version number.
"""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from raftd.core.types import HardState, Recovered, Write
from raftd.storage import framing, record
from raftd.storage.errors import NoSpace, StorageError, UnknownFormat
from raftd.storage.identity import IdentityFile, load_identity
from raftd.storage.reserve import RESERVE_NAME
from raftd.storage.segment import SEGMENT_HEADER, decode_header
from tests.conftest import Count
from tests.storage.corruption import replaced
from tests.storage.disks import (
    FIRST,
    FOUNDING,
    WRITES,
    batches_in,
    directory,
    disk_at_rest,
    last_segment,
    outcome,
    recovered,
    small_directory,
)
from tests.storage.memory_fs import MemoryFileSystem, PowerCut
from tests.storage.model import ROOT, entry
from tests.storage.test_crash import cut_at

GOLDEN = Path(__file__).with_name("golden")
PRESENT = GOLDEN / "format_3.json"


def as_text() -> str:
    fs, _ = small_directory()
    files = {path: content.hex() for path, content in fs.files().items()}
    return json.dumps(files, indent=1) + "\n"


def load(path: Path) -> MemoryFileSystem:
    files = json.loads(path.read_text())
    fs = disk_at_rest({name: bytes.fromhex(content) for name, content in files.items()})
    for above in ("/", "/data"):
        fs.sync_directory(above)
    return fs


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_released_format_is_read_upgraded_and_read_back(path: Path, count: Count) -> None:
    """As it was left: unmarked, after a stop, with a torn tail, with a half-made segment."""
    fs = load(path)
    check(outcome(fs))
    opened = directory(fs, 700, founding=FOUNDING)
    check(opened.recover())
    assert opened.first == FOUNDING.configuration
    assert load_identity(fs, ROOT) == IdentityFile(opened.identity, FOUNDING)
    assert version_of(fs, last_segment(fs)) == framing.FORMAT
    opened.wal.commit([Write(1, entries=(entry(7, 2),))])
    fs.crash(random.Random(0), keep=0.0)
    found = recovered(fs)
    assert found.entries[-1] == entry(7, 2)
    check(replace(found, entries=found.entries[:-1]))
    count("golden directories: of versions 1 to 3", 1)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("format_1*.json")), ids=lambda path: path.stem)
def test_the_upgrade_may_be_cut_off_anywhere(path: Path, count: Count) -> None:
    for number in range(200):
        fs = load(path)
        fs.before = cut_at(fs, number)
        try:
            directory(fs, 700, founding=FOUNDING).recover()
        except PowerCut:
            fs.crash(random.Random(number))
            check(recovered(fs))
            count("upgrades cut off", 1)
            continue
        break
    assert number > 4


def full(spare_bytes: int) -> tuple[MemoryFileSystem, dict[str, bytes]]:
    """A directory of version 1 on a disk with so much room, and its files."""
    fs = load(GOLDEN / "format_1_stopped.json")
    fs.capacity_bytes = fs.used_bytes() + spare_bytes
    return fs, fs.files()


def untouched(fs: MemoryFileSystem, before: dict[str, bytes]) -> bool:
    return {path: data for path, data in fs.files().items() if path in before} == before


NEXT = Write(1, entries=(entry(7, 2),))


def test_without_room_the_first_write_upgrades() -> None:
    """A start needs no room, and changes nothing then."""
    fs, before = full(0)
    opened = directory(fs, 700)
    check(opened.recover())
    opened.wal.idle()
    assert untouched(fs, before)
    with pytest.raises(NoSpace, match="make room"):
        opened.wal.commit([NEXT])
    opened.close()
    assert version_of(fs, last_segment(fs)) == 1
    opened = directory(fs, 700)
    assert opened.recover().entries[-1].index == 6
    fs.capacity_bytes = None
    opened.wal.commit([NEXT])
    fs.kill()
    assert version_of(fs, last_segment(fs)) == framing.FORMAT
    assert recovered(fs).entries[-1] == NEXT.entries[0]


def test_the_first_write_may_let_go_what_a_start_may_not() -> None:
    """What a snapshot covers goes only after the snapshot itself was looked at."""
    fs, before = full(100)
    opened = directory(fs, 700)
    check(opened.recover())
    assert untouched(fs, before)
    opened.wal.commit([NEXT])
    assert FIRST in before
    assert FIRST not in fs.files()
    fs.kill()
    assert recovered(fs).entries[-1] == NEXT.entries[0]


def test_an_upgrade_may_use_a_short_segment_and_the_room_that_was_kept_back() -> None:
    """Block by block as small as it gets: header, lanes, the batch, the seal."""
    fs, _ = full(1000)
    opened = directory(fs, 5000)
    check(opened.recover())
    assert version_of(fs, last_segment(fs)) == framing.FORMAT
    assert opened.wal.tight
    fs, before = full(20_000)
    fs.put(f"{ROOT}/{RESERVE_NAME}", bytes(1250))  # as an earlier life left it
    fs.capacity_bytes = fs.used_bytes()
    opened = directory(fs, 5000, reserve_bytes=1250)
    check(opened.recover())
    assert untouched(fs, before)
    assert fs.size(f"{ROOT}/{RESERVE_NAME}") == 1250
    opened.wal.commit([NEXT])
    assert opened.wal.spent
    assert opened.wal.tight
    fs.kill()
    assert recovered(fs).entries[-1] == NEXT.entries[0]


def test_an_older_raftd_says_that_it_is_too_old() -> None:
    """It finds its own kind of seal, goes on to the new header, and can check that."""
    fs = load(GOLDEN / "format_1.json")
    opened = directory(fs, 700)
    opened.recover()
    opened.close()
    files = fs.files()
    versions = {path: version_of(fs, path) for path in files if path.endswith(".wal")}
    assert sorted(versions.values()) == [1, 1, 1, 2]
    old = [path for path, version in versions.items() if version == 1]
    for path in old:
        seal = batches_in(files[path])[-1]
        assert seal.version == 1
    new = files[last_segment(fs)]
    head, length = new[: SEGMENT_HEADER.size], int.from_bytes(new[12:16], "little")
    body = new[SEGMENT_HEADER.size : SEGMENT_HEADER.size + length]
    assert zlib.crc32(head[:-4] + bytes(4) + body) == int.from_bytes(head[-4:], "little")


def test_a_newer_format_is_refused_in_one_line() -> None:
    fs = load(PRESENT)
    path = last_segment(fs)
    content = fs.files()[path]
    length = int.from_bytes(content[12:16], "little")
    newer = replaced(content, 8, (3).to_bytes(4, "little"))
    head, body = newer[: SEGMENT_HEADER.size - 4], newer[SEGMENT_HEADER.size :][:length]
    crc = zlib.crc32(head + bytes(4) + body)
    fs.put(path, replaced(newer, SEGMENT_HEADER.size - 4, crc.to_bytes(4, "little")))
    with pytest.raises(UnknownFormat, match="has format version 3, this raftd knows up to 2: use"):
        recovered(fs)


def version_of(fs: MemoryFileSystem, path: str) -> int:
    return decode_header(fs.files()[path], path).version


def check(found: Recovered | StorageError) -> None:
    assert isinstance(found, Recovered)
    assert found.hard_state == HardState(2, None)
    assert found.admitted
    assert found.records == (("n2", "ff00"),)
    assert [item.index for item in found.entries] == [1, 2, 3, 4, 5, 6]
    assert found.entries[3] == WRITES[3].entries[0]
    assert found.snapshot is not None
    assert (found.snapshot.index, found.snapshot.term) == (3, 2)


def test_the_present_format_is_what_is_written() -> None:
    assert PRESENT.read_text() == as_text(), "the format has changed: give it a new version number"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    PRESENT.write_text(as_text())


@pytest.mark.parametrize(("cut", "text"), [(1, "longer than its batch"), (6, "cut short")])
def test_a_record_never_reaches_beyond_its_batch(cut: int, text: str) -> None:
    """What lies behind may be read, and be anything."""
    data = record.encode_record(record.RecordType.ENTRY, 2, 1, 1, b"12345") + bytes(50)
    with pytest.raises(record.Malformed, match=text):
        list(record.decode_records(data, 0, record.RECORD.size + 5 - cut))
