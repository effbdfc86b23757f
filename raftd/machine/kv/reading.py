"""Ranges: which keys, as of which revision, in which order. Machine's thread; changes nothing."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, Final, NamedTuple

from raftd.machine.kv.history import Before, History, changes_of
from raftd.machine.kv.table import Table
from raftd.machine.protocol import MachineError
from raftd.wire import refusals
from raftd.wire.kv import RECORD_HEAD
from raftd.wire.spans import Span, span_of
from raftd.wire.txn import (
    CREATE_REVISION,
    DESCEND,
    KEY,
    MOD_REVISION,
    VALUE,
    VERSION,
    RangeOp,
)
from raftd.wire.txn_answers import LEASED, value_at

FEW: Final = 64
"""Keys that are looked up one by one."""

Pair = tuple[bytes, bytes]
Overlay = dict[bytes, bytes | None]
_head = RECORD_HEAD.unpack_from


class Found(NamedTuple):
    """What a range found. total: of all keys in it, whatever limit and bounds left out."""

    pairs: list[Pair]
    more: bool
    total: int


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

    def at(self, key: bytes, revision: int) -> bytes | None:
        """The record of a key as of a revision that is not compacted."""
        record = self._table.get(key)
        if record is not None and _head(record)[1] <= revision:
            return record
        replaced = self._history.replaced_after(key, revision)
        return record if replaced is None else replaced[0]

    def range(self, op: RangeOp, undone: Iterable[Before], room_bytes: int) -> Found:
        """undone: what the transaction that asks has changed so far; reads at a revision are before
        it. Ends when it has passed `room_bytes`; it is for the caller to see that.
        """
        span = span_of(op.key, op.range_end)
        over: Overlay = self._overlay(span, op.revision, undone) if op.revision else {}
        total = self._table.count_in(span) + self._added(span, over)
        if op.count_only:
            return Found([], False, total)
        pairs = _bounded(op, self._pairs(span, over, op.order == DESCEND and op.sort == KEY))
        if op.sort != KEY:
            ordered = sorted(pairs, key=_SORT_BY[op.sort], reverse=op.order == DESCEND)
            pairs = iter(ordered)
        return _limited(op, pairs, total, room_bytes)

    def _overlay(self, span: Span, revision: int, undone: Iterable[Before]) -> Overlay:
        """What the keys that were changed after `revision` were at it."""
        over: Overlay = {}
        if span.stop == span.start + b"\0":  # one key: by the index
            record = self._table.get(span.start)
            if record is not None and _head(record)[1] <= revision:
                return over
            replaced = self._history.replaced_after(span.start, revision)
            if replaced is not None:
                over[span.start] = replaced[0]
        else:
            over = self._history.replaced_in(span, revision)
        for pending in undone:
            for key, before in changes_of(pending):
                if key not in over and span.holds(key):
                    over[key] = before
        return over

    def _added(self, span: Span, over: Overlay) -> int:
        """How many more keys there were."""
        there = sum(record is not None for record in over.values())
        if len(over) <= FEW:
            return there - sum(self._table.get(key) is not None for key in over)
        runs = self._table.ascend(span.start, False, span.stop)
        return there - sum(len(over.keys() & keys) for keys, _ in runs)

    def _pairs(self, span: Span, over: Overlay, descend: bool) -> Iterator[Pair]:
        table = self._table
        runs = table.descend(span) if descend else table.ascend(span.start, False, span.stop)
        now = ((key, run[key]) for keys, run in runs for key in keys)
        if not over:
            return now
        then = sorted(((k, r) for k, r in over.items() if r is not None), reverse=descend)
        kept = (pair for pair in now if pair[0] not in over)
        return heapq.merge(kept, then, key=itemgetter(0), reverse=descend)


def _bounded(op: RangeOp, pairs: Iterator[Pair]) -> Iterator[Pair]:
    low_mod, high_mod, low_made, high_made = op[8:]
    if not any(op[8:]):
        return pairs

    def within(pair: Pair) -> bool:
        made, mod, _ = _head(pair[1])
        return bool(
            low_mod <= mod
            and (not high_mod or mod <= high_mod)
            and low_made <= made
            and (not high_made or made <= high_made)
        )

    return filter(within, pairs)


def _limited(op: RangeOp, pairs: Iterator[Pair], total: int, room_bytes: int) -> Found:
    found: list[Pair] = []
    for key, record in pairs:
        if op.limit and len(found) == op.limit:
            return Found(found, True, total)
        shown = record[: value_at(record)] if op.keys_only else record
        found.append((key, shown))
        room_bytes -= len(key) + len(shown)
        if room_bytes < 0:
            break
    return Found(found, False, total)


_SORT_BY: Final[dict[int, Callable[[Pair], Any]]] = {
    VERSION: lambda pair: _head(pair[1])[2] & ~LEASED,
    CREATE_REVISION: lambda pair: _head(pair[1])[0],
    MOD_REVISION: lambda pair: _head(pair[1])[1],
    VALUE: lambda pair: pair[1][value_at(pair[1]) :],
}
