"""What every revision since the last compaction replaced: an undo log, and how to read back in it.

Theory of operation. One item a revision, in order, in chunks. A revision that made one key is that
key, the very object under which the table holds it: so what is never overwritten costs a pointer.
One that changed or deleted a key is (key, the record before); one that did several things is a list
of such. What a key was at a revision is what the first later change of it replaced, or what it is
now. A full chunk is a tuple (the collector looks at none): a capture copies a list of chunks, and
compaction drops whole ones, freed one at a time, since a million records in one go are a pause.
Some are held for watchers that had not come so far; for all others, and a snapshot, they are gone.

Which changes of a key a chunk holds is found by an index that is made when somebody first asks. A
revision may have changed a million keys, so the index says also which of them a key was.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Final

from raftd.machine.pieces import SOME, Effort, Pieces, some_of
from raftd.wire.spans import Span

Before = bytes | tuple[bytes, bytes]
Item = Before | list[Before]

CHUNK: Final = 512
"""Revisions; more, if one entry of the log made more."""
CHUNK_BYTES: Final = 1 << 20
"""And no more than about this: large values would else hide from the limits on the history."""
LOOK: Final = 32
"""Revisions after which the open chunk is measured."""
ITEM_BYTES: Final = 160
"""What a replaced record costs beside its bytes, roughly."""

FIRST_REVISION: Final = 1
"""Of an empty store."""
ITEM_SHIFT: Final = 32
"""A place in a chunk is the item's number shifted by this, and where in the item the change is."""
IN_ITEM: Final = (1 << ITEM_SHIFT) - 1


def changes_of(item: Item) -> Iterator[tuple[bytes, bytes | None]]:
    """(key, record before or None) of all that a revision changed."""
    for before in item if type(item) is list else (item,):
        yield (before, None) if type(before) is bytes else before  # type: ignore[misc]


class Index:
    """Where in one chunk the keys were changed. One thread."""

    __slots__ = ("_within", "done", "order", "places")

    def __init__(self) -> None:
        self.done = 0
        """Items of the chunk that are in it."""
        self._within = 0
        """Changes of the next item that are in it."""
        self.places: dict[bytes, int | list[int]] = {}
        """By key; ascending, if there are several. A list for each would take 90 bytes more."""
        self.order: list[bytes] = []

    def take_some(self, chunk: Sequence[Item]) -> int:
        """Take SOME changes in, or what there are: a revision may have deleted a million keys.

        Returns how many.
        """
        left = SOME
        while left > 0 and self.done < len(chunk):
            item, within = chunk[self.done], self._within
            some = item[within : within + left] if type(item) is list else [item]
            self._take(some, (self.done << ITEM_SHIFT) + within)  # type: ignore[arg-type]
            left -= len(some)
            self._within = within + len(some)
            if type(item) is not list or self._within == len(item):
                self.done, self._within = self.done + 1, 0
        return SOME - left

    def _take(self, changes: list[Before], first: int) -> None:
        """first: the place of the first of them."""
        places = self.places
        for place, (key, _) in enumerate(changes_of(changes), first):
            known = places.setdefault(key, place)
            if type(known) is list:
                known.append(place)
            elif known != place:
                places[key] = [known, place]  # type: ignore[list-item]

    def first(self, key: bytes, least: int) -> int | None:
        """The first place of a key that is changed in this chunk, at or behind `least`."""
        places = self.places[key]
        if type(places) is int:
            return places if places >= least else None
        found = bisect_left(places, least)  # type: ignore[arg-type]
        return places[found] if found < len(places) else None  # type: ignore[index,arg-type]

    def keys(self, span: Span) -> list[bytes]:
        """Those of a span, in order."""
        order = self.order
        if len(order) != len(self.places):  # keys come, none goes
            order = self.order = sorted(self.places)
        start = bisect_left(order, span.start)
        return order[start : None if span.stop is None else bisect_left(order, span.stop, start)]


class FrozenHistory:
    """The items as they were. Any thread."""

    def __init__(
        self, compacted: int, skip: int, chunks: Sequence[Sequence[Item]], last: int
    ) -> None:
        """skip: items of the first chunk that do not belong to it; last: length of the last one."""
        self.compacted = compacted
        self._skip = skip
        self._chunks = chunks
        self._last = last

    def __len__(self) -> int:
        return sum(map(len, self._chunks[:-1])) + self._last - self._skip

    def __iter__(self) -> Iterator[Item]:
        for piece in self.pieces():
            yield from piece

    def pieces(self) -> Iterator[Sequence[Item]]:
        """All items in order, some hundreds at a time."""
        for number, chunk in enumerate(self._chunks):
            end = self._last if number + 1 == len(self._chunks) else len(chunk)
            yield chunk[self._skip if number == 0 else 0 : end]


class History:
    """Items of the revisions `first` to `last`. One thread."""

    def __init__(self, chunk: int = CHUNK) -> None:
        self._chunk = chunk
        self._garbage: deque[Sequence[Item]] = deque()
        self.needed: Callable[[], int] = lambda: self.first
        """The first revision that somebody still needs."""
        self.clear(FIRST_REVISION, 0)

    def clear(self, revision: int, compacted: int, first: int = 0) -> None:
        """Begin anew behind `revision`, or with item `first`, which the caller is about to add."""
        self.compacted = compacted
        """Reads at a lower revision are refused."""
        self.first = first or revision + 1
        """The first revision whose changes are known."""
        self.bytes = 0
        """What the full chunks hold, roughly."""
        self.held_bytes = self._held = 0
        """Of what is compacted, and how many chunks it is."""
        self._firsts = [self.first]
        chunk: list[Item] = []
        self._chunks: list[Sequence[Item]] = [chunk]
        self._indexes = [Index()]
        self._sizes: list[int] = []
        self._measured = self._open_bytes = 0
        self.add = chunk.append
        """Note what the next revision replaced."""

    @property
    def last(self) -> int:
        """The newest revision in it."""
        return self._firsts[-1] + len(self._chunks[-1]) - 1

    @property
    def tidy_at(self) -> int:
        """The revision at which `roll` has something to do."""
        if self._garbage or self._held:
            return 0
        return self._firsts[-1] + min(self._chunk, self._measured + LOOK)

    def roll(self) -> bool:
        """Between two entries of the log: free what is over, start a chunk if this one is full.

        True: it did, and `add` is another one.
        """
        if self._garbage:
            self._garbage.popleft()
        if self._held:
            self._let_go(self.needed())
        chunk = self._chunks[-1]
        self._open_bytes += _size(chunk[self._measured :])
        self._measured = len(chunk)
        if self._measured < self._chunk and self._open_bytes < CHUNK_BYTES:
            return False
        self._sizes.append(self._open_bytes)
        self.bytes += self._open_bytes
        self._measured = self._open_bytes = 0
        self._firsts.append(self.last + 1)
        begun: list[Item] = []
        self._chunks[-1:] = [tuple(chunk), begun]
        self._indexes.append(Index())
        self.add = begun.append
        return True

    def compact(self, revision: int) -> None:
        """Forget what only reads below `revision` need. Its own changes stay, for watchers."""
        self.compacted = revision
        if revision <= self.first:
            return
        self.first = revision
        held = bisect_right(self._firsts, revision) - 1
        size = sum(self._sizes[self._held : held])
        self.bytes, self.held_bytes, self._held = self.bytes - size, self.held_bytes + size, held

    def start_of(self, revision: int) -> int:
        """Of the chunk that has, or will have, this revision."""
        firsts = self._firsts  # a restore, on a thread of its own, may put another in its place
        return firsts[max(bisect_right(firsts, revision) - 1, 0)]

    def held(self) -> list[int]:
        """The first revisions of the chunks that are compacted, and of the next one."""
        return self._firsts[: self._held + 1]

    def first_within(self, size_bytes: int) -> int:
        """The first revision from which on no more than this is held."""
        size, number = self.held_bytes, 0
        while size > size_bytes:
            size, number = size - self._sizes[number], number + 1
        return self._firsts[number]

    def _let_go(self, needed: int) -> None:
        """Of what is compacted, all before this revision."""
        whole = min(bisect_right(self._firsts, needed) - 1, self._held)
        self._garbage += self._chunks[:whole]
        self.held_bytes -= sum(self._sizes[:whole])
        self._held -= whole
        for column in (self._firsts, self._chunks, self._indexes, self._sizes):
            del column[:whole]

    def capture(self) -> FrozenHistory:
        """Costs a copy of a list with an item a chunk."""
        skip = self.first - self._firsts[self._held]
        chunks, last = self._chunks[self._held :], len(self._chunks[-1])
        return FrozenHistory(self.compacted, skip, chunks, last)

    def items(self, first: int) -> Iterator[tuple[int, Item]]:
        """(revision, item) from `first` on. Not to be used across a change."""
        at = max(bisect_right(self._firsts, first) - 1, 0)
        for number in range(at, len(self._chunks)):
            begin = self._firsts[number]
            skip = max(first - begin, 0)
            for offset, item in enumerate(islice(self._chunks[number], skip, None), skip):
                yield begin + offset, item

    def replaced_after(
        self, key: bytes, revision: int, effort: Effort
    ) -> Pieces[tuple[bytes | None] | None]:
        """(the record of `key` at `revision`,), if it was changed after it; None: it was not.

        Gives way while indexes are made: they stay, also if nobody waits for the rest of this.
        """
        for number in self._chunks_after(revision):
            chunk, index = self._chunks[number], self._indexes[number]
            while index.done < len(chunk):
                if effort.took(index.take_some(chunk)):
                    yield
            if key not in index.places:
                continue
            place = index.first(key, (revision + 1 - self._firsts[number]) << ITEM_SHIFT)
            if place is not None:
                return (_record_at(chunk, place),)
        return None

    def replaced_in(
        self, span: Span, revision: int, effort: Effort
    ) -> Pieces[dict[bytes, bytes | None]]:
        """The records at `revision` of all keys of a span that were changed after it.

        Costs a look at each chunk since, and one at each of these keys: not one at every change.
        """
        replaced: dict[bytes, bytes | None] = {}
        for number in self._chunks_after(revision):
            chunk, index = self._chunks[number], self._indexes[number]
            while index.done < len(chunk):
                if effort.took(index.take_some(chunk)):
                    yield
            least = (revision + 1 - self._firsts[number]) << ITEM_SHIFT
            for keys in some_of(iter(index.keys(span))):
                for key in keys:
                    if key not in replaced and (place := index.first(key, least)) is not None:
                        replaced[key] = _record_at(chunk, place)
                if effort.took(len(keys)):
                    yield
            if effort.took(1):
                yield
        return replaced

    def revision_keeping(self, size_bytes: int) -> int:
        """A revision to compact at, so that the full chunks behind it hold no more than this."""
        kept = 0
        for number in range(len(self._sizes) - 1, self._held - 1, -1):
            kept += self._sizes[number]
            if kept > size_bytes:  # never the next revision, which is not there yet: it is refused
                return min(self._firsts[number + 1], self.last)
        return self.first

    def _chunks_after(self, revision: int) -> range:
        """The numbers of the chunks that have anything of what came after `revision`."""
        return range(max(bisect_right(self._firsts, revision + 1) - 1, 0), len(self._chunks))


def _record_at(chunk: Sequence[Item], place: int) -> bytes | None:
    """What the change at this place replaced."""
    item = chunk[place >> ITEM_SHIFT]
    before = item[place & IN_ITEM] if type(item) is list else item
    return None if type(before) is bytes else before[1]  # type: ignore[return-value]


def _size(chunk: Sequence[Item]) -> int:
    """Roughly, and quickly: every put pays for its share of this."""
    pairs = [item for item in chunk if type(item) is tuple]
    for item in chunk:
        if type(item) is list:
            pairs += [before for before in item if type(before) is tuple]
    return 8 * len(chunk) + ITEM_BYTES * len(pairs) + sum(map(len, map(itemgetter(1), pairs)))
