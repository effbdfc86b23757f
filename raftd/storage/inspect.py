"""What is in a data directory, for people and scripts. Reads only: no lock, no repair, no write.

Of a directory in use it shows a moment; the end of its log may then look torn.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

from raftd.core import describe
from raftd.core.types import EntryType
from raftd.storage import framing, record, recovery
from raftd.storage.compare import comparison_json, comparison_lines
from raftd.storage.directory import SNAPSHOTS_NAME
from raftd.storage.errors import CorruptSnapshot, StorageError
from raftd.storage.framing import BATCH_HEADER, MARK, Batch
from raftd.storage.fs import FileSystem, OsFileSystem
from raftd.storage.identity import IdentityFile, directory_id, load_identity
from raftd.storage.lanes import Lanes, Packed
from raftd.storage.record import Malformed, Record, RecordType
from raftd.storage.report import (
    LogReport,
    Report,
    SegmentReport,
    SnapshotReport,
    json_line,
    json_lines,
    text_lines,
)
from raftd.storage.segment import BadHeader, Header, load_header, segment_name, segment_numbers
from raftd.storage.snapshot_file import file_crc, read_header
from raftd.storage.snapshots import SNAPSHOT_NAME, snapshot_name

__all__ = ["Report", "inspect", "inspect_directory", "json_lines", "record_lines", "text_lines"]


def inspect_directory(fs: FileSystem, root: str) -> Report:
    """Describe a data directory. Raises OSError if it cannot be read; damage is in the report."""
    damage: list[str] = []
    names = fs.listdir(root)
    identity: IdentityFile | None = None
    try:
        identity = load_identity(fs, root)
        if identity is None:
            damage.append(f"{root}/identity: the file is missing")
    except StorageError as error:
        damage.append(str(error))
    owner = None if identity is None else directory_id(identity.identity)
    segments = tuple(_segment(fs, root, n, owner) for n in segment_numbers(names))
    log, marked = None, ""
    if owner is not None:
        try:
            analysis = recovery.analyse(fs, root, owner)
            log = _log(analysis)
            snapshot = analysis.replay.books.snapshot
            marked = "" if snapshot is None else snapshot_name(snapshot)
        except StorageError as error:
            damage.append(str(error))
    snapshots = _snapshots(fs, f"{root}/{SNAPSHOTS_NAME}", marked, damage)
    known = {item.name for item in segments} | {"identity", "lock", SNAPSHOTS_NAME}
    others = tuple(name for name in names if name not in known)
    return Report(root, identity, segments, snapshots, others, log, tuple(damage))


def inspect(
    roots: str | Sequence[str],
    *,
    as_json: bool = False,
    records: bool = False,
    out: TextIO | None = None,
) -> int:
    """`raftd inspect`: write the report to `out` (standard output).

    roots: one directory, or several to be compared. Returns 0 if nodes could start from them, 1 if
    one is damaged, 2 if one cannot be read.
    """
    fs = OsFileSystem()
    stream = sys.stdout if out is None else out
    reports, root = [], ""
    try:
        for root in [roots] if isinstance(roots, str) else roots:
            _refuse_directory_above(fs, root)
            report = inspect_directory(fs, root)
            reports.append(report)
            for line in json_lines(report) if as_json else text_lines(report):
                stream.write(line + "\n")
            if records:
                for line in record_lines(fs, root):
                    stream.write(line + "\n")
    except OSError as error:
        stream.write(f"{root}: {error.strerror or error}: name a raftd data directory\n")
        return 2
    if len(reports) > 1:
        found = [comparison_json(reports)] if as_json else comparison_lines(reports)
        for line in found:
            stream.write(line + "\n")
    return 1 if any(report.damage for report in reports) else 0


def _refuse_directory_above(fs: FileSystem, root: str) -> None:
    """Raises OSError: the directory above the data of a node that is well is not damaged."""
    names = fs.listdir(root)
    if segment_numbers(names) or {"identity", SNAPSHOTS_NAME} & set(names):
        return
    for name in sorted(names):
        if "identity" in _names_in(fs, f"{root}/{name}"):
            told = f"nothing of raftd is in it, but in {root}/{name}"
            raise FileNotFoundError(errno.ENOENT, told)


def _names_in(fs: FileSystem, path: str) -> list[str]:
    """Nothing, if it is a file or not ours to read."""
    try:
        return fs.listdir(path)
    except OSError:
        return []


def record_lines(fs: FileSystem, root: str) -> Iterator[str]:
    """Every batch and record as JSON, oldest first, up to the damage in a segment. No payloads."""
    owner: int | None = None
    with suppress(StorageError):  # of whomever, then: damage is not told here
        identity = load_identity(fs, root)
        owner = None if identity is None else directory_id(identity.identity)
    for number in segment_numbers(fs.listdir(root)):
        walk = _walk(fs, root, number, owner)
        for batch in walk.batches:
            place = {"segment": number, "offset": batch.offset, "sequence": batch.sequence}
            more = {"bytes": batch.end - batch.offset, "synced_before": batch.synced_before}
            yield json_line("batch", {**place, **more})
            for item in walk.records(batch):
                yield json_line("record", {**place, **_describe(item)})


@dataclass(slots=True)
class _Walk:
    """The good batches of one segment. rests: where the next may go and something else lies."""

    size_bytes: int
    data: bytes = b""
    header: Header | None = None
    batches: list[Batch] = field(default_factory=list)
    rests: tuple[tuple[int, int], ...] = ()
    damage: str = ""

    def records(self, batch: Batch) -> list[Record]:
        try:
            start = batch.offset + BATCH_HEADER.size
            return list(record.decode_records(self.data, start, batch.end))
        except Malformed as error:
            self.damage = str(error)
            return []


def _walk(fs: FileSystem, root: str, number: int, owner: int | None) -> _Walk:
    path = f"{root}/{segment_name(number)}"
    walk = _Walk(fs.size(path))
    file = fs.open(path)
    try:
        walk.header = header = load_header(file, path)
        walk.data = file.read(0, header.allocated)
    except (BadHeader, StorageError) as error:
        walk.damage = str(error)
        return walk
    finally:
        file.close()
    layout, sequence, previous = header.layout(), header.sequence, header.crc
    while True:
        batch = recovery.next_batch(walk.data, header, layout, sequence, previous, owner)
        if batch is None:
            break
        walk.batches.append(batch)
        layout.take(sequence, batch.offset, batch.end)
        sequence, previous = sequence + 1, batch.crc
    walk.rests = _used_rests(walk.data, layout)
    return walk


def _used_rests(data: bytes, layout: Lanes | Packed) -> tuple[tuple[int, int], ...]:
    """Where the next batch may go and something lies already that is no mark."""
    found = []
    for start, end in layout.rests():
        start += MARK.size if framing.mark_at(data, start, None) is not None else 0
        if data[start:end].strip(b"\0"):
            found.append((start, end))
    return tuple(found)


def _segment(fs: FileSystem, root: str, number: int, owner: int | None) -> SegmentReport:
    walk = _walk(fs, root, number, owner)
    indexes: list[int] = []
    state = "open"
    for batch in walk.batches:
        for item in walk.records(batch):
            if item.type == RecordType.ENTRY:
                indexes.append(item.position)
            elif item.type == RecordType.SEAL:
                state = "sealed"
    used = max((batch.end for batch in walk.batches), default=0)
    if walk.header is not None and not walk.batches:
        used = walk.header.size
    if walk.header is None or walk.damage:
        state = "damaged"
    elif state == "open" and walk.rests:
        walk.damage = f"bytes after offset {walk.rests[0][0]} are no batch that follows"
        state = "torn"
    return SegmentReport(
        segment_name(number),
        walk.size_bytes,
        used,
        len(walk.batches),
        walk.batches[0].sequence if walk.batches else 0,
        walk.batches[-1].sequence if walk.batches else 0,
        min(indexes, default=0),
        max(indexes, default=0),
        state,
        walk.damage,
    )


def _log(analysis: recovery.Analysis) -> LogReport:
    replay, tail = analysis.replay, analysis.tail
    books = replay.books
    covered = (books.snapshot.index, books.snapshot.term) if books.snapshot else (0, 0)
    return LogReport(
        books.hard_state.term,
        books.hard_state.vote,
        books.admitted,
        dict(sorted(books.records.items())),
        *covered,
        replay.base + 1,
        replay.last_index,
        replay.entries[-1].term if replay.entries else covered[1],
        len(replay.entries),
        tail.torn_bytes,
        analysis.leftover,
    )


def _snapshots(
    fs: FileSystem, directory: str, marked: str, damage: list[str]
) -> tuple[SnapshotReport, ...]:
    try:
        names = [name for name in fs.listdir(directory) if SNAPSHOT_NAME.fullmatch(name)]
    except FileNotFoundError:
        damage.append(f"{directory}: the directory is missing")
        return ()
    if marked and marked not in names:
        damage.append(str(CorruptSnapshot(f"{directory}/{marked}", "the file is missing")))
    reports = tuple(_snapshot(fs, f"{directory}/{name}", name == marked) for name in names)
    damage += [item.damage for item in reports if item.damage and item.marked]
    return reports


def _snapshot(fs: FileSystem, path: str, marked: bool) -> SnapshotReport:
    name = path.rsplit("/", 1)[1]
    size = fs.size(path)
    file = fs.open(path)
    try:
        header = read_header(file, path)
        crc = file_crc(file, 0, size)
        if name.split("-")[2] != f"{crc:08x}.snap":
            raise CorruptSnapshot(path, f"its checksum is {crc:08x}")
    except StorageError as error:
        return SnapshotReport(name, size, 0, 0, (), (), 0, 0, marked, str(error))
    finally:
        file.close()
    voters, learners = header.configuration.voters, header.configuration.learners
    parts = (header.sessions_bytes, header.body_bytes)
    return SnapshotReport(name, size, header.index, header.term, voters, learners, *parts, marked)


def _describe(item: Record) -> dict[str, Any]:
    try:
        kind = RecordType(item.type).name.lower()
    except ValueError:
        kind = f"unknown {item.type}"
    found: dict[str, Any] = {"type": kind, "index": item.position, "term": item.term}
    if item.type == RecordType.ENTRY:
        known = {int(one): one.name.lower() for one in EntryType}
        found["entry"] = known.get(item.subtype, f"unknown {item.subtype}")
        found["payload_bytes"] = len(item.payload)
        if item.subtype == EntryType.CONFIGURATION:
            found["configuration"] = describe.configuration(item.payload)
    elif item.type in (RecordType.HARD_STATE, RecordType.INCARNATION):
        found["text"] = item.payload.replace(b"\0", b" ").decode("utf-8", "replace")
    elif item.type == RecordType.MARKER:
        found["reset"] = bool(item.subtype)
    return found
