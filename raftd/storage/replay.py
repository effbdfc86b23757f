"""What the records of a log add up to: entries that override others, and the state beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from raftd.core.types import Entry, EntryType, Index, Recovered
from raftd.storage import record
from raftd.storage.record import Malformed, Record, RecordType
from raftd.storage.segment import Books

ENTRY_TYPES = {int(kind): kind for kind in EntryType}
NOTHING_BELOW = 1 << 63
"""Larger than any index: no entry was overridden."""


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


def cut_closed(closed: list[Closed], index: Index) -> list[Closed]:
    """After an entry `index` was written anew: what the closed segments hold of it is void."""
    return [Closed(number, min(high, index - 1)) for number, high in closed]
