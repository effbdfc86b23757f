"""Ranges: which keys, as of which revision, in which order. Machine's thread; changes nothing."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple

from raftd.machine.kv.history import Before, History, changes_of
from raftd.machine.kv.table import SPLIT_AT, Table
from raftd.machine.pieces import SOME, Effort, Pieces, at_once, in_order, some_of
from raftd.machine.protocol import MachineError
from raftd.wire import refusals
from raftd.wire.kv import RECORD_HEAD
from raftd.wire.spans import Span, span_of
from raftd.wire.txn import (
    CREATE_REVISION,
    DESCEND,
    EQUAL,
    GREATER,
    KEY,
    LEASE,
    LESS,
    MOD_REVISION,
    VALUE,
    VERSION,
    Compare,
    RangeOp,
)
from raftd.wire.txn_answers import LEASED, lease_of, value_at

Pair = tuple[bytes, bytes]
Then = tuple[bytes, bytes | None]
"""A key with its record at a revision; None: it was not there."""
Overlay = dict[bytes, bytes | None]
_head = RECORD_HEAD.unpack_from


class Found(NamedTuple):
    """What a range found. total: of all keys in it, whatever limit and bounds left out. size_bytes:
    of the pairs.
    """

    pairs: list[Pair]
    more: bool
    total: int
    size_bytes: int = 0


class Reader:
    """Reads of the table and its history."""

    def __init__(self, table: Table, history: History) -> None:
        self._table = table
        self._history = history

    def check(self, op: RangeOp) -> None:
        """Raises MachineError if its revision cannot be read."""
        last, compacted = self._history.last, self._history.compacted
        if op.revision > last:
            raise MachineError(f"{refusals.FUTURE_REVISION}; asked {op.revision}, there is {last}")
        if 0 < op.revision < compacted:
            raise MachineError(
                f"{refusals.COMPACTED}; asked {op.revision}, compacted at {compacted}"
            )

    def knows(self, op: RangeOp) -> bool:
        """Is the history of its revision here? The log alone does not say: a store that was read
        from a snapshot of version 1 lacks what replicas that applied those entries have.
        """
        return not 0 < op.revision < self._history.first - 1

    def at(self, key: bytes, revision: int) -> bytes | None:
        """The record of a key as of a revision that is not compacted."""
        return at_once(self.looking(key, revision, Effort()))

    def looking(self, key: bytes, revision: int, effort: Effort) -> Pieces[bytes | None]:
        """`at`, in pieces: if it is the first that asks for what was then, indexes are made."""
        known = self.now(key, revision)
        if known is None:
            known = yield from self._history.replaced_after(key, revision, effort)
        return self._table.get(key) if known is None else known[0]

    def now(self, key: bytes, revision: int) -> tuple[bytes | None] | None:
        """(the record of a key at a revision,), where the table tells; None: only the history does.

        Not within a transaction, which has changed the table and is not in the history yet.
        """
        record = self._table.get(key)
        if revision >= self._history.last or (record is not None and _head(record)[1] <= revision):
            return (record,)
        return None

    def range(
        self, op: RangeOp, undone: Iterable[Before], room_bytes: int, effort: Effort
    ) -> Pieces[Found]:
        """undone: what the transaction that asks has changed so far; reads at a revision are before
        it. Ends when it has passed `room_bytes`; it is for the caller to see that.
        """
        span = span_of(op.key, op.range_end)
        over: Overlay = {}
        if op.revision:
            over = yield from self._overlay(span, op.revision, undone, effort)
        gone, more = yield from self._compared(over, effort)
        total = self._table.count_in(span) + more
        if effort.took(SPLIT_AT):  # which is what a count may have to sort
            yield
        if op.count_only:
            return Found([], False, total)
        descend = op.order == DESCEND
        by_key = op.sort == KEY
        lists = self._lists(span, over, by_key and descend, _size(op))
        if gone:
            then = yield from in_order(gone, effort, descend=by_key and descend)
            lists = _merged(lists, then, by_key and descend)
        if not by_key:
            pairs: list[Pair] = []
            for some in lists:
                pairs += _bounded(op, some)
                if effort.took(len(some)):
                    yield
            lists = some_of((yield from in_order(pairs, effort, _SORT_BY[op.sort], descend)))
        return (yield from _limited(op, lists, total, room_bytes, effort))

    def _overlay(
        self, span: Span, revision: int, undone: Iterable[Before], effort: Effort
    ) -> Pieces[Overlay]:
        """What the keys that were changed after `revision` were at it."""
        over: Overlay = {}
        if span.stop == span.start + b"\0":  # one key: by the index
            record = self._table.get(span.start)
            if record is not None and _head(record)[1] <= revision:
                return over
            replaced = yield from self._history.replaced_after(span.start, revision, effort)
            if replaced is not None:
                over[span.start] = replaced[0]
        else:
            over = yield from self._history.replaced_in(span, revision, effort)
        for some in some_of(iter(undone)):
            for key, before in changes_of(some):
                if key not in over and span.holds(key):
                    over[key] = before
            if effort.took(len(some)):
                yield
        return over

    def _compared(self, over: Overlay, effort: Effort) -> Pieces[tuple[list[Pair], int]]:
        """(the pairs that are not there any more, how many more keys there were)."""
        get = self._table.get
        gone: list[Pair] = []
        more = 0
        for some in some_of(iter(over.items())):
            for key, record in some:
                if get(key) is None:
                    if record is not None:
                        gone.append((key, record))
                        more += 1
                elif record is None:
                    more -= 1
            if effort.took(len(some)):
                yield
        return gone, more

    def _lists(self, span: Span, over: Overlay, descend: bool, size: int) -> Iterator[list[Then]]:
        """The keys that are there now, with what they were, in order, up to `size` at a time."""
        table = self._table
        runs = table.descend(span) if descend else table.ascend(span.start, False, span.stop)
        for keys, run in runs:
            for at in range(0, len(keys), size):
                some = keys[at : at + size]
                if over:
                    yield [(key, over[key] if key in over else run[key]) for key in some]
                else:
                    yield [(key, run[key]) for key in some]


def _size(op: RangeOp) -> int:
    """Of which few are wanted, no more are fetched than tell that there are more."""
    return min(op.limit + 1, SOME) if op.limit else SOME


def _merged(
    lists: Iterator[list[Then]], then: Iterator[Pair], descend: bool
) -> Iterator[list[Then]]:
    """No key is in both. Those that were not there yet stand among the others without a record, for
    a merge that passed over thousands of them would give way to nobody meanwhile.
    """
    now = chain.from_iterable(lists)
    return some_of(heapq.merge(now, then, key=itemgetter(0), reverse=descend))


def _bounded(op: RangeOp, pairs: list[Then]) -> list[Pair]:
    """Those that were there, and within the bounds."""
    if not any(op[8:]):
        return [pair for pair in pairs if pair[1] is not None]  # type: ignore[misc]
    low_mod, high_mod, low_made, high_made = op[8:]

    def within(record: bytes) -> bool:
        made, mod, _ = _head(record)
        return bool(
            low_mod <= mod
            and (not high_mod or mod <= high_mod)
            and low_made <= made
            and (not high_made or made <= high_made)
        )

    return [(key, record) for key, record in pairs if record is not None and within(record)]


def _limited(
    op: RangeOp, lists: Iterator[list[Then]], total: int, room_bytes: int, effort: Effort
) -> Pieces[Found]:
    found: list[Pair] = []
    size = 0
    for some in lists:
        for key, record in _bounded(op, some):
            if op.limit and len(found) == op.limit:
                return Found(found, True, total, size)
            shown = record[: value_at(record)] if op.keys_only else record
            found.append((key, shown))
            size += len(key) + len(shown)
            if size > room_bytes:
                return Found(found, False, total, size)
        if effort.took(len(some)):
            yield
    return Found(found, False, total, size)


_SORT_BY: Final[dict[int, Callable[[Pair], Any]]] = {
    VERSION: lambda pair: _head(pair[1])[2] & ~LEASED,
    CREATE_REVISION: lambda pair: _head(pair[1])[0],
    MOD_REVISION: lambda pair: _head(pair[1])[1],
    VALUE: lambda pair: pair[1][value_at(pair[1]) :],
}

_FIELDS: Final[dict[int, Callable[[bytes], int]]] = {
    VERSION: lambda record: RECORD_HEAD.unpack_from(record)[2] & ~LEASED,
    CREATE_REVISION: lambda record: RECORD_HEAD.unpack_from(record)[0],
    MOD_REVISION: lambda record: RECORD_HEAD.unpack_from(record)[1],
    LEASE: lease_of,
}


def holds(compare: Compare, record: bytes | None) -> bool:
    """Does it hold for a key with this record? One that is not there compares as zeros."""
    if compare.target == VALUE:
        if record is None:
            return False
        value = record[value_at(record) :]
        equal, greater = value == compare.value, value > compare.value
    else:
        number = _FIELDS[compare.target](record) if record is not None else 0
        equal, greater = number == compare.number, number > compare.number
    if compare.result == EQUAL:
        return equal
    if compare.result == GREATER:
        return greater
    if compare.result == LESS:
        return not equal and not greater
    return not equal
