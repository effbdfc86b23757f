"""What the segments of a log say, and whether their damage is a torn write or lost data.

Only the last segment may have a torn tail: bytes after the last good batch where nothing proves
that it had been synced. Everything else is damage, and then nothing is changed: to cut a log in its
middle loses acknowledged entries. Nothing is thrown away unread: neither a torn tail nor a segment
that was being made, for either may prove that something before it is missing.

`analyse` only reads; `repair` does the little that a torn tail needs, and may itself be cut off
anywhere and started again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from raftd.storage import framing, leftover, record
from raftd.storage.errors import CorruptLog
from raftd.storage.framing import BATCH_HEADER, MARK, Batch
from raftd.storage.fs import File, FileSystem
from raftd.storage.lanes import Lanes, Packed
from raftd.storage.record import Malformed, RecordType
from raftd.storage.replay import Closed, Replay
from raftd.storage.segment import (
    BadHeader,
    Header,
    load_header,
    segment_name,
    segment_numbers,
)
from raftd.storage.zeros import read_used, used_end


class Seal(NamedTuple):
    """The last batch of a segment that has a successor."""

    number: int
    header_crc: int
    sequence: int
    previous: int


class Tail(NamedTuple):
    """Where the last segment ends and the next batch goes.

    offset: where that batch lies, should there be a damaged one. dirt: start and end of what a torn
    write has left, in bytes, to be zeroed. marked: there is a mark already.
    """

    header: Header
    layout: Lanes | Packed
    offset: int
    dirt: tuple[tuple[int, int], ...]
    sequence: int
    previous: int
    marked: bool

    @property
    def torn_bytes(self) -> int:
        return sum(end - start for start, end in self.dirt)


class Analysis(NamedTuple):
    replay: Replay
    tail: Tail
    leftover: str | None
    """A segment that was being made when the power went. The log before it has all that its header
    names, and nothing is in it: to be removed.
    """


def read_whole(fs: FileSystem, path: str, size_bytes: int | None = None) -> bytes:
    """Of a segment: no more than `size_bytes`, if its size is known."""
    file = fs.open(path)
    try:
        return file.read(0, file.size() if size_bytes is None else size_bytes)
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
    half_made: str | None = None
    for position, number in enumerate(numbers):
        if position > 0 and reader.seal is None:
            reader.check_leftover(number, is_last=number == numbers[-1])
            half_made = f"{directory}/{segment_name(number)}"
            break
        reader.segment(number)
    return Analysis(reader.replay, reader.finish(), half_made)


def next_batch(
    data: bytes,
    header: Header,
    layout: Lanes | Packed,
    sequence: int,
    previous: int,
    directory_id: int | None,
) -> Batch | None:
    """That batch, if it lies whole in one of the places where it may be."""
    for offset in layout.places(sequence):
        batch = framing.batch_at(data, offset, header.allocated, directory_id)
        if (
            batch is not None
            and (batch.sequence, batch.previous) == (sequence, previous)
            and batch.version == header.version
        ):
            return batch
    return None


def _place_of(data: bytes, layout: Lanes | Packed, sequence: int) -> int:
    """Where batch `sequence` lies that cannot be read: where anything is but a mark."""
    places = layout.places(sequence)
    for start, end in layout.rests():
        free = framing.mark_at(data, start, None) is not None or used_end(data, start, end) == start
        if start in places and not free:
            return start
    return places[0]


class _Reader:
    """Segment after segment, with what links them."""

    def __init__(self, fs: FileSystem, directory: str, directory_id: int) -> None:
        self._fs = fs
        self._directory = directory
        self._id = directory_id
        self.replay = Replay()
        self.seal: Seal | None = None
        self.tail: Tail | None = None
        self._checksums: list[int] = []
        """Of the batches of the newest segment, beginning with its header's."""
        self._path = directory

    def segment(self, number: int) -> None:
        self._path = f"{self._directory}/{segment_name(number)}"
        header = self._header(number)
        data = read_used(self._fs, self._path, header.allocated)
        if self.seal is None:
            self.replay.books, self.replay.base = header.books, header.last_index
        else:
            self._check_link(header, self.seal)
            self.replay.closed.append(Closed(number - 1, self.replay.last_index))
        self.seal = None
        self._batches(data, header)

    def _header(self, number: int) -> Header:
        """Read before the rest: a file of another size may be too large to be read."""
        file = self._fs.open(self._path)
        try:
            header = load_header(file, self._path)
            size = file.size()
        except BadHeader as error:
            raise self._corrupt(0, str(error)) from None
        finally:
            file.close()
        if header.directory != self._id:
            raise self._corrupt(0, "it belongs to another data directory")
        if header.number != number:
            raise self._corrupt(0, f"it is segment {header.number} under another's name")
        if size != header.allocated:
            raise self._corrupt(
                min(size, header.allocated),
                f"the file has {size} bytes instead of the {header.allocated} it was made with",
            )
        return header

    def _check_link(self, header: Header, seal: Seal) -> None:
        named = (seal.header_crc, seal.sequence + 1, seal.previous)
        if (header.crc, header.sequence, header.seed) != named:
            raise self._corrupt(0, "it is not the segment that the one before names")
        if (header.last_index, header.books) != (self.replay.last_index, self.replay.books):
            raise self._corrupt(0, "its header repeats another state than the segments before it")

    def _batches(self, data: bytes, header: Header) -> None:
        layout, sequence, previous = header.layout(), header.sequence, header.crc
        idle = False
        self._checksums = [previous]
        while self.seal is None:
            batch = next_batch(data, header, layout, sequence, previous, self._id)
            if batch is None:
                if len(data) == header.allocated or not self._dirt(data, layout, sequence):
                    break
                # It may be a batch that ends with zeros which were left out.
                data = read_whole(self._fs, self._path, header.allocated)
                continue
            self._apply(data, batch)
            layout.take(sequence, batch.offset, batch.end)
            sequence, previous = sequence + 1, batch.crc
            idle = batch.idle
            self._checksums.append(previous)
        if self.seal is None:
            dirt = self._judge_tail(data, layout, sequence)
            marked = idle or self._marked(data, layout, sequence)
            offset = _place_of(data, layout, sequence)
            self.tail = Tail(header, layout, offset, dirt, sequence, previous, marked)

    def _apply(self, data: bytes, batch: Batch) -> None:
        start = batch.offset + BATCH_HEADER.size
        try:
            for item in record.decode_records(data, start, batch.end):
                if item.type == RecordType.SEAL:
                    self.seal = Seal(item.position, item.term, batch.sequence, batch.previous)
                else:
                    self.replay.apply(item)
        except Malformed as error:
            raise self._corrupt(batch.offset, str(error)) from None

    def _judge_tail(
        self, data: bytes, layout: Lanes | Packed, sequence: int
    ) -> tuple[tuple[int, int], ...]:
        """What a torn write has left, to be zeroed. Raises CorruptLog if it is no such."""
        dirt = self._dirt(data, layout, sequence)
        if dirt:
            self._refuse_proven(data, layout, sequence)
        return tuple(dirt)

    def _dirt(self, data: bytes, layout: Lanes | Packed, sequence: int) -> list[tuple[int, int]]:
        """Where anything lies but marks behind the last good batch."""
        dirt = []
        for start, end in layout.rests():
            synced = framing.mark_at(data, start, self._id)
            start += MARK.size if synced is not None and synced <= sequence else 0
            used = used_end(data, start, end)
            if used > start:
                dirt.append((start, used))
        return dirt

    def _refuse_proven(self, data: bytes, layout: Lanes | Packed, sequence: int) -> None:
        """Raises CorruptLog if anything there says that batch `sequence` had been synced."""
        lowest = min(start for start, _ in layout.rests())
        for proof in framing.find_proofs(data, lowest, len(data), self._id):
            if proof.synced_before > sequence:
                raise self._corrupt(
                    _place_of(data, layout, sequence),
                    f"batch {sequence} is damaged or missing, and {proof.what} at offset "
                    f"{proof.offset} says that it had been synced",
                )

    def _marked(self, data: bytes, layout: Lanes | Packed, sequence: int) -> bool:
        return isinstance(layout, Lanes) and all(
            framing.mark_at(data, offset, self._id) == sequence
            for offset in layout.places(sequence)
        )

    def check_leftover(self, number: int, *, is_last: bool) -> None:
        """One after an unsealed one may only be one that was being made. Raises CorruptLog."""
        tail = self.tail
        assert tail is not None
        why = f"no seal here, but segments {number} and later exist"
        if is_last:
            path = f"{self._directory}/{segment_name(number)}"
            checksums = dict(enumerate(self._checksums, tail.header.sequence - 1))
            why = leftover.refusal(self._fs, path, self._id, number, checksums)
        if why:
            raise self._corrupt(tail.offset, why)

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
        for start, end in tail.dirt:  # it means nothing; else each later start would find it again
            file.write(start, bytes(end - start))
        if analysis.leftover is not None:
            fs.unlink(analysis.leftover)  # should it come back, it is removed again
    except BaseException:
        file.close()
        raise
    return file
