"""Looking at a directory tells what is there and changes nothing, whatever state it is in."""

from __future__ import annotations

import io
import json
from pathlib import Path

from raftd.core.configuration_format import encode_configuration
from raftd.core.types import Entry, EntryType, HardState, Write
from raftd.storage.directory import open_directory
from raftd.storage.fs import OsFileSystem
from raftd.storage.inspect import inspect, inspect_directory, json_lines, record_lines, text_lines
from tests.storage.disks import (
    FIRST,
    SECOND,
    directory,
    filled,
    flips,
    last_segment,
    recovered,
    small_directory,
)
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation
from tests.storage.model import CONFIGURATION, ROOT, entry


def look(fs: MemoryFileSystem) -> str:
    """The report as text, with proof that looking changed nothing and took no lock."""
    before, names = fs.files(), []

    def hook(operation: Operation) -> None:
        names.append(operation.name)

    fs.before = hook
    report = inspect_directory(fs, ROOT)
    text = "\n".join(text_lines(report))
    for line in [*json_lines(report), *record_lines(fs, ROOT)]:
        assert "kind" in json.loads(line)
    fs.before = None
    assert not CHANGING & set(names)
    assert "lock" not in names
    assert fs.files() == before
    return text


def test_a_healthy_directory() -> None:
    fs, _ = small_directory()
    text = look(fs)
    assert "node=n1" in text
    assert "term=2 vote=- admitted=yes recorded: n2=ff00" in text
    assert "entries 1..6 (6), last term 2, snapshot 3 of term 2" in text
    assert "0000000000000001.wal sealed" in text
    assert "marked=yes, voters n1,n2,n3, learners n4" in text
    assert text.endswith("verdict   ok")


def test_a_directory_in_use() -> None:
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    opened.wal.commit([Write(1, hard_state=HardState(9, "n3"), entries=(entry(1, 9),))])
    assert "term=9 vote=n3" in look(fs)
    opened.wal.commit([Write(2, entries=(entry(2, 9),))])
    opened.close()


def test_records_one_by_one() -> None:
    fs, _ = small_directory()
    found = [json.loads(line) for line in record_lines(fs, ROOT)]
    kinds = {item["type"] for item in found if item["kind"] == "record"}
    assert kinds == {"hard_state", "entry", "incarnation", "admitted", "marker", "seal"}
    sequences = [item["sequence"] for item in found if item["kind"] == "batch"]
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_torn_tail_is_no_damage() -> None:
    fs, batches = filled()
    fs.poke(FIRST, batches[-1].end - 3, b"\xff\xff")
    text = look(fs)
    assert "bytes of a write that was never acknowledged" in text
    assert "0000000000000001.wal torn" in text
    assert text.endswith("verdict   ok")
    recovered(fs)
    text = look(fs)
    assert "0000000000000001.wal open" in text, "a start leaves nothing torn behind"
    assert "never acknowledged" not in text


def test_damage_is_told_with_the_refusal_of_a_start() -> None:
    fs, _ = small_directory()
    snapshot = next(path for path in fs.files() if path.endswith(".snap"))
    for path, at, words in (
        (SECOND, 300, f"DAMAGE    log is damaged: {SECOND} at offset"),
        (f"{ROOT}/identity", 30, "DAMAGE    identity is damaged"),
        (snapshot, 100, "DAMAGE    snapshot is damaged"),
        (FIRST, 3, f"DAMAGE    log is damaged: {FIRST} at offset 0"),
    ):
        bad = fs.clone()
        bad.poke(path, at, b"\xee")
        text = look(bad)
        assert words in text
        assert text.endswith("verdict   a start would be refused")


def test_missing_files_are_told() -> None:
    fs, _ = small_directory()
    for path in fs.files():
        if path.endswith(("/lock", FIRST)):
            continue
        bad = fs.clone()
        bad.remove(path)
        assert path.rsplit("/", 1)[1] in look(bad).split("DAMAGE", 1)[1]


def test_no_flipped_bit_makes_it_stumble() -> None:
    fs, _ = small_directory()
    for path in (FIRST, last_segment(fs), f"{ROOT}/identity"):
        for position, (at, changed) in enumerate(flips(fs.files()[path])):
            if position % 17 == 0:
                bad = fs.clone()
                bad.poke(path, at, changed)
                look(bad)


def test_on_real_files(tmp_path: Path) -> None:
    root = str(tmp_path / "n1")
    opened = open_directory(
        OsFileSystem(),
        root,
        cluster="c",
        node="n1",
        new_incarnation=lambda: "ab" * 8,
        segment_bytes=4096,
    )
    opened.recover()
    out = io.StringIO()
    assert inspect(root, out=out, records=True) == 0
    assert out.getvalue().count("\n") >= 6
    opened.close()
    (tmp_path / "n1" / "identity").unlink()
    out = io.StringIO()
    assert inspect(root, as_json=True, out=out) == 1
    assert json.loads(out.getvalue().splitlines()[0])["damage"]
    out = io.StringIO()
    assert inspect(str(tmp_path / "nowhere"), out=out) == 2
    assert "No such file" in out.getvalue()


def test_the_directory_above_is_not_called_damaged(tmp_path: Path) -> None:
    """`raftd inspect .run/nodes/n1` of a node that is well: a missing identity, a refused start."""
    fs, root = OsFileSystem(), str(tmp_path / "data")
    open_directory(fs, root, cluster="c", node="n1", new_incarnation=lambda: "ab" * 8).close()
    (tmp_path / "node.yaml").write_text("id: n1\n")
    out = io.StringIO()
    assert inspect(str(tmp_path), out=out) == 2
    told = f"{tmp_path}: nothing of raftd is in it, but in {tmp_path}/data: name a raftd data"
    assert told in out.getvalue()
    assert "DAMAGE" not in out.getvalue()


def test_a_configuration_entry_says_who_is_in_it() -> None:
    fs = MemoryFileSystem()
    opened = directory(fs)
    opened.recover()
    payload = encode_configuration(CONFIGURATION)
    entries = (Entry(1, 1, EntryType.CONFIGURATION, payload),)
    opened.wal.commit([Write(1, hard_state=HardState(1, None), entries=entries)])
    lines = [json.loads(line) for line in record_lines(fs, ROOT)]
    found = [line["configuration"] for line in lines if "configuration" in line]
    assert found == ["voters n1,n2,n3, learners n4"]
