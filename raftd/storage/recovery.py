"""What the segments of a log say, and whether their damage is a torn write or lost data.

Only the last segment may have a torn tail: bytes after the last good batch with no later batch that
proves that they had been synced once. Everything else is damage, and then nothing is changed: to
cut a log in its middle loses acknowledged entries. `analyse` only reads; `repair` does the little
that a torn tail needs, and may itself be cut off anywhere and started again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from raftd.core.types import Entry, EntryType, Index, Recovered
from raftd.storage import record
from raftd.storage.errors import CorruptLog
from raftd.storage.fs import File, FileSystem
from raftd.storage.record import Batch, Malformed, Record, RecordType
from raftd.storage.segment import (
    BadHeader,
    Books,
    Header,
    decode_header,
    segment_name,
    segment_numbers,
)

ENTRY_TYPES = {int(kind): kind for kind in EntryType}
NOTHING_BELOW = 1 << 63
"""Larger than any index: no entry was overridden."""


class Seal(NamedTuple):
    """The last batch of a segment that has a successor."""

    number: int
    header_crc: int
    sequence: int
    previous: int


class Closed(NamedTuple):
    """A segment that takes nothing more. high: the last index that is still its own."""

    number: int
    high: Index


@dataclass(slots=True)
class Replay:
    """The log as the records so far tell it. `base`: the index before `entries[0]`."""

    books: Books = field(default_factory=Books)
    base: Index = 0
    entries: list[Entry] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)

    @property
    def last_index(self) -> Index:
        return self.base + len(self.entries)

    def apply(self, item: Record) -> None:
        """Raises Malformed."""
        kind = item.type
        if kind == RecordType.ENTRY:
            self._entry(item)
        elif kind == RecordType.HARD_STATE:
            self.books.hard_state = record.decode_hard_state(item)
        elif kind == RecordType.MARKER:
            self._marker(item)
        elif kind == RecordType.INCARNATION:
            self.books.record(*record.decode_incarnation(item))
        elif kind == RecordType.ADMITTED:
            self.books.admitted = True
        else:
            raise Malformed(f"record type {kind}, unknown to this raftd: use a newer one")

    def _entry(self, item: Record) -> None:
        index = item.position
        last = self.last_index
        if index != last + 1:
            floor = 0 if self.books.snapshot is None else self.books.snapshot.index
            if index > last or index <= floor:
                raise Malformed(f"entry {index} does not follow entry {last} (snapshot {floor})")
            self._override(index)
        kind = ENTRY_TYPES.get(item.subtype)
        if kind is None:
            raise Malformed(f"entry type {item.subtype}, unknown to this raftd: use a newer one")
        self.entries.append(Entry(index, item.term, kind, item.payload))

    def _override(self, index: Index) -> None:
        if index <= self.base:
            self.base, self.entries = index - 1, []
        else:
            del self.entries[index - self.base - 1 :]
        self.closed = cut_closed(self.closed, index)

    def _marker(self, item: Record) -> None:
        marker = record.decode_marker(item)
        self.books.snapshot = marker.meta
        if marker.reset or marker.meta.index > self.last_index:
            self.base, self.entries = marker.meta.index, []
            self.closed = cut_closed(self.closed, 1)

    def recovered(self) -> Recovered:
        books = self.books
        return Recovered(
            books.hard_state,
            books.admitted,
            tuple(sorted(books.records.items())),
            books.snapshot,
            tuple(self.entries),
        )


class Tail(NamedTuple):
    """Where the last segment ends and the next batch goes.

    offset: in bytes; dirty_end: bytes up to there are a torn write, to be zeroed (or = offset).
    """

    header: Header
    offset: int
    dirty_end: int
    sequence: int
    previous: int
    idle: bool


class Analysis(NamedTuple):
    replay: Replay
    tail: Tail
    leftover: str | None
    """A segment that was being made when the power went: nothing in it, to be removed."""


def cut_closed(closed: list[Closed], index: Index) -> list[Closed]:
    """After an entry `index` was written anew: what the closed segments hold of it is void."""
    return [Closed(number, min(high, index - 1)) for number, high in closed]


def read_whole(fs: FileSystem, path: str) -> bytes:
    file = fs.open(path)
    try:
        return file.read(0, file.size())
    finally:
        file.close()


def settle(fs: FileSystem, directory: str) -> None:
    """Make sure that what `analyse` will read is on disk, and not in a cache only.

    A process that was killed between a write and its sync, or whose sync failed, leaves bytes that
    can be read but may be gone tomorrow; a promise must not rest on them. Only the last segment and
    the one that it took over from can have such bytes.
    """
    numbers = segment_numbers(fs.listdir(directory))
    for number in numbers[-2:]:
        file = fs.open(f"{directory}/{segment_name(number)}", writable=True)
        try:
            file.datasync()
            file.forget()
        finally:
            file.close()


def analyse(fs: FileSystem, directory: str, directory_id: int) -> Analysis:
    """Read the whole log. Changes nothing. Raises CorruptLog, UnknownFormat, OSError."""
    numbers = segment_numbers(fs.listdir(directory))
    if not numbers:
        raise CorruptLog(directory, 0, 0, "there is an identity but no log segment (*.wal)")
    for before, after in pairwise(numbers):
        if after != before + 1:
            path = f"{directory}/{segment_name(before + 1)}"
            raise CorruptLog(path, 0, 0, "the file is missing")
    reader = _Reader(fs, directory, directory_id)
    leftover: str | None = None
    for position, number in enumerate(numbers):
        seal = reader.seal
        if position > 0 and seal is None:
            reader.check_leftover(number, is_last=number == numbers[-1])
            leftover = f"{directory}/{segment_name(number)}"
            break
        reader.segment(number)
    return Analysis(reader.replay, reader.finish(), leftover)


class _Reader:
    """Segment after segment, with what links them."""

    def __init__(self, fs: FileSystem, directory: str, directory_id: int) -> None:
        self._fs = fs
        self._directory = directory
        self._id = directory_id
        self.replay = Replay()
        self.seal: Seal | None = None
        self.tail: Tail | None = None
        self._path = directory

    def segment(self, number: int) -> None:
        self._path = f"{self._directory}/{segment_name(number)}"
        data = read_whole(self._fs, self._path)
        header = self._header(data, number)
        if self.seal is None:
            self.replay.books, self.replay.base = header.books, header.last_index
        else:
            self.replay.closed.append(Closed(number - 1, self.replay.last_index))
        self.seal = None
        self._batches(data, header)

    def _header(self, data: bytes, number: int) -> Header:
        try:
            header = decode_header(data, self._path)
        except BadHeader as error:
            raise self._corrupt(0, str(error)) from None
        if header.directory != self._id:
            raise self._corrupt(0, "it belongs to another data directory")
        if header.number != number:
            raise self._corrupt(0, f"it is segment {header.number} under another's name")
        if len(data) < header.allocated:
            raise self._corrupt(
                len(data), f"the file is shorter than the {header.allocated} bytes it was made with"
            )
        seal = self.seal
        if seal is not None and (header.crc, header.sequence, header.seed) != (
            seal.header_crc,
            seal.sequence + 1,
            seal.previous,
        ):
            raise self._corrupt(0, "it is not the segment that the one before names")
        return header

    def _batches(self, data: bytes, header: Header) -> None:
        offset, sequence, previous, idle = header.size, header.sequence, header.crc, False
        limit = header.allocated
        while self.seal is None:
            batch = record.batch_at(data, offset, limit, self._id)
            if batch is None or batch.sequence != sequence or batch.previous != previous:
                break
            self._apply(data, batch)
            offset, sequence, previous, idle = batch.end, sequence + 1, batch.crc, batch.idle
        if self.seal is None:
            dirty_end = self._judge_tail(data, offset, limit, sequence)
            self.tail = Tail(header, offset, dirty_end, sequence, previous, idle)

    def _apply(self, data: bytes, batch: Batch) -> None:
        start = batch.offset + record.BATCH_HEADER.size
        try:
            for item in record.decode_records(data, start, batch.end):
                if item.type == RecordType.SEAL:
                    self.seal = Seal(item.position, item.term, batch.sequence, batch.previous)
                else:
                    self.replay.apply(item)
        except Malformed as error:
            raise self._corrupt(batch.offset, str(error)) from None

    def _judge_tail(self, data: bytes, offset: int, limit: int, sequence: int) -> int:
        """The end of a torn tail (`offset`: there is none). Raises CorruptLog if it is no such."""
        end = len(data[:limit].rstrip(b"\0"))
        if end <= offset:
            return offset
        for later in record.find_batches(data, offset, limit, self._id):
            if later.synced_before > sequence:
                raise self._corrupt(
                    offset,
                    f"batch {sequence} is damaged or missing, and batch {later.sequence} at offset "
                    f"{later.offset} says that it had been synced",
                )
        return end

    def check_leftover(self, number: int, *, is_last: bool) -> None:
        """A segment after an unsealed one may only be one that was being made."""
        assert self.tail is not None
        data = read_whole(self._fs, f"{self._directory}/{segment_name(number)}")
        held = next(record.find_batches(data, 0, len(data), self._id), None)
        if held is not None or not is_last:
            raise self._corrupt(
                self.tail.offset,
                f"no seal here, but segment {number} was in use: the end of this one is damaged",
            )

    def finish(self) -> Tail:
        """Raises CorruptLog if the log is not whole."""
        if self.seal is not None or self.tail is None:
            missing = (
                f"{self._directory}/{segment_name(0 if self.seal is None else self.seal.number)}"
            )
            self._path = missing
            raise self._corrupt(0, "the file is missing: the segment before is sealed and names it")
        snapshot = self.replay.books.snapshot
        covered = 0 if snapshot is None else snapshot.index
        if self.replay.base > covered:
            raise self._corrupt(
                0,
                f"entries {covered + 1} to {self.replay.base} are missing: "
                f"earlier segments are gone, and the newest snapshot ends at {covered}",
            )
        return self.tail

    def _corrupt(self, offset: int, what: str) -> CorruptLog:
        return CorruptLog(self._path, offset, self.replay.last_index, what)


def repair(fs: FileSystem, directory: str, analysis: Analysis) -> File:
    """Zero a torn tail, remove a half-made segment; returns the last segment, open for writing."""
    tail = analysis.tail
    file = fs.open(f"{directory}/{segment_name(tail.header.number)}", writable=True)
    try:
        if tail.dirty_end > tail.offset:
            file.write(tail.offset, bytes(tail.dirty_end - tail.offset))
            file.datasync()
        if analysis.leftover is not None:
            fs.unlink(analysis.leftover)  # should it come back, it is removed again
    except BaseException:
        file.close()
        raise
    return file
