"""The write-ahead log: one write and one fdatasync for everything that is queued.

Only one batch is ever unsynced; recovery relies on that. Whatever fails in a write or a sync fails
for good: what the disk holds is then unknown until the next start reads it back. The one exception
is a disk without room (or a process without a descriptor) for the next segment, which is noticed
before anything is written.

On a full disk the log first lets go what the newest marked snapshot covers, then goes on in short
segments, and last in the room that was kept back (reserve.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from raftd.core.types import INDEX_MAX, Index, Recovered, Write, WriteSeq
from raftd.storage import recovery
from raftd.storage.errors import LogFailed, NoFiles, NoSpace, is_no_space
from raftd.storage.framing import (
    BATCH_HEADER,
    BATCH_RECORDS_MAX_BYTES,
    FORMAT,
    encode_batch,
    encode_mark,
)
from raftd.storage.fs import File, FileSystem, Lock
from raftd.storage.lanes import BLOCK_BYTES, BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, Lanes, Packed
from raftd.storage.order import follow
from raftd.storage.record import append_write, encode_seal
from raftd.storage.replay import NOTHING_BELOW, Closed, cut_closed
from raftd.storage.reserve import Reserve
from raftd.storage.rolling import Made, make_named, next_segment
from raftd.storage.segment import Books, segment_name

SEGMENT_BYTES = 64 << 20


@dataclass(slots=True)
class LogStats:
    """Counters since `open`, for metrics. bytes: as written, headers included."""

    batches: int = 0
    writes: int = 0
    bytes: int = 0
    syncs: int = 0
    segments: int = 0


class Wal:
    """A `raftd.node.ports.LogStore`. `open` first, then one thread at a time.

    directory_id: the number that every batch carries (identity.directory_id). segment_bytes: size
    of a segment, more for a batch that is larger. block_bytes: what is taken to go bad together
    (lanes.py); only tests have another. reserve_bytes: kept back for a full disk. lock: released
    by `close`. now, observe: every write-and-sync is reported as observe(seconds), measured with
    `now`.
    """

    def __init__(
        self,
        fs: FileSystem,
        directory: str,
        directory_id: int,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        block_bytes: int = BLOCK_BYTES,
        reserve_bytes: int = 0,
        lock: Lock | None = None,
        now: Callable[[], float] | None = None,
        observe: Callable[[float], None] | None = None,
    ) -> None:
        if segment_bytes < 1:
            raise ValueError(f"segment_bytes is {segment_bytes}, must be at least 1")
        if not BLOCK_BYTES_MIN <= block_bytes <= BLOCK_BYTES_MAX:
            raise ValueError(f"block_bytes is {block_bytes}, must be {BLOCK_BYTES_MIN} or more")
        self.stats = LogStats()
        self.tight = False
        """There was no room for a full segment when this one was made."""
        self._reserve = Reserve(fs, directory, reserve_bytes)
        self._written: WriteSeq = 0
        """The number of the last write that `commit` took. The next one follows, or is refused."""
        self._fs = fs
        self._directory = directory
        self._id = directory_id
        self._segment_bytes = segment_bytes
        self._block_bytes = block_bytes
        self._lock = lock
        self._now = now
        self._observe = observe
        self._file: File | None = None
        self._failed: BaseException | None = None
        self._books = Books()
        self._closed: list[Closed] = []
        self._last: Index = 0
        self._number = 0
        self._layout: Lanes | Packed = Packed(0, 0)
        self._sequence = 1
        """Of the next batch. All before it are synced."""
        self._previous = 0
        self._marked = False
        """Nothing was written since the last mark."""
        self._unsynced = False
        """There are marks that no sync has made durable."""

    def open(self) -> Recovered:
        """Recover. Raises StorageError (nothing was changed then), OSError."""
        if self._file is not None or self._failed is not None:
            raise LogFailed(self._directory, self._failed)
        recovery.settle(self._fs, self._directory)
        analysis = recovery.analyse(self._fs, self._directory, self._id)
        replay, tail = analysis.replay, analysis.tail
        self._file = recovery.repair(self._fs, self._directory, analysis)
        self._books, self._closed, self._last = replay.books, replay.closed, replay.last_index
        self._number, self._layout = tail.header.number, tail.layout
        self._sequence, self._previous, self._marked = tail.sequence, tail.previous, tail.marked
        self.stats.segments = len(self._closed) + 1
        if tail.header.version < FORMAT:
            self._upgrade(self._file)
        self.idle()
        self._reserve.take()
        return replay.recovered()

    def _upgrade(self, file: File) -> None:
        """Go on in a segment of this version; without room for one the first write does that.

        A start needs no room, and nothing is let go before its snapshot is known to be whole.
        """
        with suppress(NoSpace, NoFiles):
            self._roll(file, 0, relieve=lambda: False)

    @property
    def spent(self) -> bool:
        """The room kept back is in use, or could not be had. See `make_room`."""
        return self._reserve.missing

    def make_room(self) -> bool:
        """Take back what was kept in reserve, if there is room now. True: nothing is spent."""
        self._usable()
        return self._reserve.take()

    def commit(self, writes: Sequence[Write]) -> None:
        """See LogStore. Raises NoSpace, NoFiles (nothing changed), OSError, LogFailed,
        BrokenInvariant.
        """
        file = self._usable()
        snapshot = self._books.snapshot
        floor = 0 if snapshot is None else snapshot.index
        last, cut = follow(writes, self._written, self._last, floor)
        parts = [b""]
        for write in writes:
            append_write(parts, write)
        length = sum(map(len, parts))
        if not length:
            self._written += len(writes)
            return
        if length > BATCH_RECORDS_MAX_BYTES:
            raise ValueError(f"{length} bytes in one batch, at most {BATCH_RECORDS_MAX_BYTES}")
        layout = self._layout
        if isinstance(layout, Packed) or not layout.fits(
            self._sequence, BATCH_HEADER.size + length
        ):
            file = self._roll(file, length)
        self._append(file, parts, length)
        stats = self.stats
        stats.batches += 1
        stats.writes += len(writes)
        self._remember(writes, last, cut)

    def idle(self) -> None:
        """Mark the last batch as synced, in two places (lanes.py). Not synced. Raises OSError."""
        file = self._usable()
        if self._marked or isinstance(self._layout, Packed):  # one of version 1 takes no mark
            return
        mark = encode_mark(self._id, self._sequence)
        try:
            for offset in self._layout.places(self._sequence):
                file.write(offset, mark)
        except BaseException as error:
            self._failed = error
            raise
        self._marked = self._unsynced = True

    def release(self, index: Index) -> None:
        """Drop segments that hold nothing after `index`, nor after the newest marked snapshot.

        One after the other, oldest first, each gone for good before the next: a hole between two
        segments would look like lost data. Raises OSError, LogFailed.
        """
        self._usable()
        snapshot = self._books.snapshot
        limit = min(index, 0 if snapshot is None else snapshot.index)
        while self._closed and self._closed[0].high <= limit:
            path = f"{self._directory}/{segment_name(self._closed[0].number)}"
            try:
                self._fs.unlink(path)
            except OSError as error:
                if is_no_space(error):
                    return  # some file systems need room to let a name go: later, then
                self._failed = error
                raise
            try:
                self._fs.sync_directory(self._directory)
            except BaseException as error:
                self._failed = error
                raise
            del self._closed[0]
            self.stats.segments -= 1

    def close(self) -> None:
        """Mark, sync, close, unlock; after a failure only the last two. Harmless again."""
        file = self._file
        try:
            if file is not None and self._failed is None:
                self.idle()
                if self._unsynced:
                    self._sync(file)
        finally:
            self._file = None
            if file is not None:
                file.close()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _usable(self) -> File:
        if self._file is None or self._failed is not None:
            raise LogFailed(self._directory, self._failed or ValueError("it is not open"))
        return self._file

    def _remember(self, writes: Sequence[Write], last: Index, cut: Index) -> None:
        books = self._books
        for write in writes:
            if write.hard_state is not None:
                books.hard_state = write.hard_state
            if write.marker is not None:
                books.snapshot = write.marker.meta
            for node, incarnation in write.records:
                books.record(node, incarnation)
            if write.admitted:
                books.admitted = True
        self._last = last
        self._written = writes[-1].seq
        if cut != NOTHING_BELOW:
            self._closed = cut_closed(self._closed, cut)

    def _append(self, file: File, parts: list[bytes], length: int, version: int = FORMAT) -> None:
        """Write one batch and sync it."""
        sequence, layout = self._sequence, self._layout
        data, crc = encode_batch(parts, length, self._id, sequence, self._previous, version)
        offset = layout.place(sequence, len(data))
        started = 0.0 if self._now is None else self._now()
        try:
            file.write(offset, data)
        except BaseException as error:
            self._failed = error
            raise
        layout.take(sequence, offset, offset + len(data))
        self._sync(file)
        self._sequence, self._previous, self._marked = sequence + 1, crc, False
        self.stats.bytes += len(data)
        if self._observe is not None and self._now is not None:
            self._observe(self._now() - started)

    def _sync(self, file: File) -> None:
        try:
            file.datasync()
        except BaseException as error:
            self._failed = error
            raise
        self._unsynced = False
        self.stats.syncs += 1

    def _roll(self, file: File, length: int, relieve: Callable[[], bool] | None = None) -> File:
        """Go on in a new segment with room for a batch of `length` bytes of records.

        The seal is of the old segment's version: a raftd that knows no other must read on from it
        to the new header, which it then refuses.
        """
        number = self._number + 1

        def make(size_bytes: int) -> Made:
            return make_named(
                self._fs, self._directory, self._id, number, size_bytes, self._sequence + 1,
                self._previous, self._last, self._books, BATCH_HEADER.size + length,
                self._block_bytes,
            )  # fmt: skip

        try:
            made = next_segment(make, self._segment_bytes, relieve or self._relieve, self._reserve)
        except (NoSpace, NoFiles):
            self.tight = True
            raise
        except BaseException as error:
            self._failed = error
            raise
        fresh, header = made
        self.tight = header.allocated < self._segment_bytes
        seal = encode_seal(number, header.crc)
        self._append(file, [b"", seal], len(seal), self._layout.version)
        self._closed.append(Closed(self._number, self._last))
        self._file, self._number, self._layout = fresh, number, header.layout()
        self._previous, self._marked = header.crc, False
        self.stats.segments += 1
        file.close()
        return fresh

    def _relieve(self) -> bool:
        """Let go all that the newest marked snapshot covers, also what was kept for others: they
        get it from memory. True: something went.
        """
        segments = self.stats.segments
        self.release(INDEX_MAX)
        return self.stats.segments < segments
