"""The formats of a release stay readable: a data directory of each, kept as text beside this file.

`python -m tests.storage.test_format` writes the file of the present version anew. A diff in it
means that the format has changed, and that needs a new version number.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raftd.core.types import HardState, Recovered
from raftd.storage import record
from tests.conftest import Count
from tests.storage.disks import WRITES, disk_at_rest, outcome, small_directory
from tests.storage.memory_fs import MemoryFileSystem

GOLDEN = Path(__file__).with_name("golden")
PRESENT = GOLDEN / "format_1.json"


def as_text() -> str:
    fs, _ = small_directory()
    files = {path: content.hex() for path, content in fs.files().items()}
    return json.dumps(files, indent=1) + "\n"


def load(path: Path) -> MemoryFileSystem:
    files = json.loads(path.read_text())
    return disk_at_rest({name: bytes.fromhex(content) for name, content in files.items()})


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_released_format_is_read(path: Path, count: Count) -> None:
    found = outcome(load(path))
    assert isinstance(found, Recovered)
    assert found.hard_state == HardState(2, None)
    assert found.admitted
    assert found.records == (("n2", "ff00"),)
    assert [item.index for item in found.entries] == [1, 2, 3, 4, 5, 6]
    assert found.entries[3] == WRITES[3].entries[0]
    assert found.snapshot is not None
    assert (found.snapshot.index, found.snapshot.term) == (3, 2)
    count("golden directories: formats", 1)


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
