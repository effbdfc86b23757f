"""The replicated log in memory (Figure 2, "log[]"), and how much of it is durable.

`base` is the position just before the first entry that is kept. It is at or below the snapshot: a
tail of applied entries stays so that a briefly absent follower needs no snapshot.

Durability is gated on write numbers, not on positions. Each entry remembers the write that *last*
wrote it, and `durable_index` ends the longest prefix whose numbers are at or below the watermark.
Without that: write 10 brings (5, t2); a leader of t3 overwrites it as write 11; t4 brings (5, t2)
again as write 12; the completion of write 10 then acknowledges an entry that no disk holds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from raftd.core.effects import BrokenInvariant
from raftd.core.types import Entry, Index, Term, WriteSeq


class RaftLog:
    """Entries `base_index + 1 .. last_index`, contiguous.

    Not thread-safe: the core's lock guards it.
    """

    __slots__ = ("_entries", "_runs", "base_index", "base_term", "bytes", "durable_index")

    def __init__(self, base_index: Index, base_term: Term, entries: Sequence[Entry]) -> None:
        """`entries` come from disk: they are durable."""
        self.base_index = base_index
        self.base_term = base_term
        self._entries = list(entries)
        self.bytes = sum(entry.size_bytes for entry in self._entries)
        self.durable_index: Index = self.last_index
        self._runs: deque[tuple[Index, WriteSeq]] = deque()
        """Not yet durable: (last index of a write, its number), both ascending."""

    @property
    def first_index(self) -> Index:
        return self.base_index + 1

    @property
    def last_index(self) -> Index:
        return self.base_index + len(self._entries)

    @property
    def last_term(self) -> Term:
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: Index) -> Term | None:
        """The term of the entry at `index`; None when it is compacted away or not there yet."""
        offset = index - self.base_index - 1
        if 0 <= offset < len(self._entries):
            return self._entries[offset].term
        return self.base_term if offset == -1 else None

    def entry(self, index: Index) -> Entry:
        """Raises IndexError outside first_index .. last_index."""
        offset = index - self.base_index - 1
        if offset < 0:
            raise IndexError(f"entry {index} is compacted: the log starts at {self.first_index}")
        return self._entries[offset]

    def between(self, first: Index, last: Index) -> list[Entry]:
        """Entries first .. last, both inclusive and present."""
        return self._entries[first - self.base_index - 1 : last - self.base_index]

    def bytes_between(self, first: Index, last: Index) -> int:
        """Of those entries first .. last that are present."""
        first = max(first, self.first_index)
        entries = self.between(first, last) if first <= last else ()
        return sum(entry.size_bytes for entry in entries)

    def batch_from(self, first: Index, entries_max: int, bytes_max: int) -> tuple[Entry, ...]:
        """Up to `entries_max` entries and `bytes_max` bytes from `first` on, at least one.

        One entry may exceed `bytes_max` by itself: otherwise it could never be replicated.
        """
        start = first - self.base_index - 1
        chosen = self._entries[start : start + entries_max]
        size = 0
        for count, entry in enumerate(chosen):
            size += entry.size_bytes
            if size > bytes_max and count:
                return tuple(chosen[:count])
        return tuple(chosen)

    def append(self, entries: Sequence[Entry], seq: WriteSeq) -> None:
        """Put `entries` where the first of them belongs; what was there and after it is gone."""
        first = entries[0].index
        if first <= self.last_index:
            self._truncate_from(first)
        self._entries.extend(entries)
        self.bytes += sum(entry.size_bytes for entry in entries)
        self._runs.append((self.last_index, seq))

    def _truncate_from(self, first: Index) -> None:
        offset = first - self.base_index - 1
        self.bytes -= sum(entry.size_bytes for entry in self._entries[offset:])
        del self._entries[offset:]
        self.durable_index = min(self.durable_index, first - 1)
        last_seq: WriteSeq | None = None
        while self._runs and self._runs[-1][0] >= first:
            last_seq = self._runs.pop()[1]
        before = self._runs[-1][0] if self._runs else self.durable_index
        if last_seq is not None and before < first - 1:
            self._runs.append(
                (first - 1, last_seq)
            )  # the part of that write that was not overridden

    def reset(
        self, base_index: Index, base_term: Term, seq: WriteSeq, still_durable: Index
    ) -> None:
        """Everything goes (Figure 13, step 7). `base_index` becomes durable with write `seq`.

        still_durable: up to where the old log and the new base say the same, committed entries.
        """
        self._entries.clear()
        self.bytes = 0
        self.base_index, self.base_term = base_index, base_term
        self.durable_index = min(self.durable_index, still_durable)
        self._runs.clear()
        self._runs.append((base_index, seq))

    def persisted(self, watermark: WriteSeq) -> None:
        """Every write up to and including `watermark` is durable."""
        while self._runs and self._runs[0][1] <= watermark:
            self.durable_index = max(self.durable_index, self._runs.popleft()[0])
        if self.durable_index > self.last_index:
            raise BrokenInvariant(
                f"entry {self.durable_index} is called durable, but the log ends at "
                f"{self.last_index}: durable is never more than there is"
            )

    def write_of(self, index: Index) -> WriteSeq:
        """The write on which entry `index` waits to be durable; 0 if it already is."""
        if index <= self.durable_index:
            return 0
        for last, seq in self._runs:
            if index <= last:
                return seq
        return 0

    def compact(self, to: Index) -> None:
        """Forget entries up to and including `to`, which must be present."""
        term = self.term_at(to)
        if term is None or to <= self.base_index:
            return
        count = to - self.base_index
        self.bytes -= sum(entry.size_bytes for entry in self._entries[:count])
        del self._entries[:count]
        self.base_index, self.base_term = to, term

    def tail_start(self, index: Index, entries_max: int, bytes_max: int) -> Index:
        """The position to compact to so that a bounded tail of entries before `index` stays."""
        size = 0
        at = index
        while at > self.base_index and index - at < entries_max:
            size += self.entry(at).size_bytes
            if size > bytes_max:
                break
            at -= 1
        return at

    def first_index_of_term(self, at: Index, floor: Index) -> Index:
        """The first index above `floor` of the run of equal terms that includes `at`."""
        term = self.term_at(at)
        while at - 1 > max(floor, self.base_index) and self.term_at(at - 1) == term:
            at -= 1
        return at

    def last_terms(self, runs_max: int) -> list[tuple[Index, Term]]:
        """(first index, term) of the last runs of equal terms, ascending. Terms never fall."""
        runs: list[tuple[Index, Term]] = []
        at = self.last_index
        while at > self.base_index and len(runs) < runs_max:
            term = self._entries[at - self.base_index - 1].term
            low = bisect_left(self._entries, term, key=lambda entry: entry.term)
            runs.append((self.base_index + 1 + low, term))
            at = self.base_index + low
        return runs[::-1]

    def last_index_of_term(self, term: Term, at_most: Index) -> Index | None:
        """The last index <= `at_most` whose entry has `term`; None if there is none.

        Terms never fall.
        """
        low, high = self.base_index, min(at_most, self.last_index)
        while low < high:
            middle = (low + high + 1) // 2
            if (self.term_at(middle) or 0) <= term:
                low = middle
            else:
                high = middle - 1
        return low if self.term_at(low) == term else None
