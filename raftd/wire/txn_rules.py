"""No key is written twice by one transaction; so a key changes at most once per revision.

As in etcd, the two branches of one nested transaction may write the same key, since only one of
them runs. Unlike in etcd, a nested delete after a nested put of the same key is refused as well,
not only the other way round.

Every node asks this of every transaction, so it takes n log n steps for n operations: with a look
at each delete for each put, a batch of large transactions held up all nodes for 20 s.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from raftd.wire.errors import WireError
from raftd.wire.spans import Span, span_of
from raftd.wire.txn_types import DeleteOp, Op, PutOp, Txn

DUPLICATE = "duplicate key given in txn request"

_start: Final = attrgetter("start")


def check_writes(success: Sequence[Op], failure: Sequence[Op]) -> None:
    """Raises WireError if a branch writes a key twice."""
    for ops in (success, failure):
        if len(ops) > 1 or (ops and isinstance(ops[0], Txn)):
            _written(ops)


class _Written:
    """What a branch writes: keys that are put, keys and ranges that are deleted, none twice."""

    __slots__ = ("_in_order", "deleted", "puts", "ranges")

    def __init__(self) -> None:
        self.puts: set[bytes] = set()
        self.deleted: set[bytes] = set()
        self.ranges: list[Span] = []
        """In order, and apart from each other."""
        self._in_order: list[bytes] | None = None
        """The keys that are put, once there is a range to look for them."""

    def __len__(self) -> int:
        return len(self.puts) + len(self.deleted) + len(self.ranges)

    def put(self, key: bytes) -> None:
        """Raises WireError if it is written already."""
        if key in self.puts or key in self.deleted or (self.ranges and self._in_ranges(key)):
            raise WireError(DUPLICATE)
        self._has_put(key)

    def delete(self, key: bytes, range_end: bytes) -> None:
        """Raises WireError if it is, or one of them is, put already."""
        if not range_end:
            if key in self.puts:
                raise WireError(DUPLICATE)
            self.deleted.add(key)
            return
        span = span_of(key, range_end)
        if span.stop is None or span.start < span.stop:
            if self.puts and self._puts_any_of(span):
                raise WireError(DUPLICATE)
            self._join(span)

    def add(self, other: _Written) -> None:
        """Whatever of it is written here already."""
        for key in other.puts:
            self._has_put(key)
        self.deleted |= other.deleted
        for span in other.ranges:
            self._join(span)

    def takes_from(self, other: _Written) -> bool:
        """Does this delete what the other puts?"""
        if not self.deleted.isdisjoint(other.puts):
            return True
        if len(self.ranges) <= len(other.puts):
            return any(map(other._puts_any_of, self.ranges))
        return any(map(self._in_ranges, other.puts))

    def _has_put(self, key: bytes) -> None:
        if self._in_order is not None and key not in self.puts:
            insort(self._in_order, key)
        self.puts.add(key)

    def _puts_any_of(self, span: Span) -> bool:
        if self._in_order is None:
            self._in_order = sorted(self.puts)
        at = bisect_left(self._in_order, span.start)
        return at < len(self._in_order) and span.holds(self._in_order[at])

    def _in_ranges(self, key: bytes) -> bool:
        at = bisect_right(self.ranges, key, key=_start)
        return at > 0 and self.ranges[at - 1].holds(key)

    def _join(self, span: Span) -> None:
        """Keep a range, as one with those that it meets."""
        ranges, (start, stop) = self.ranges, span
        first = bisect_left(ranges, start, key=_start)
        if first and _reaches(ranges[first - 1].stop, start):
            first -= 1
        last = first
        while last < len(ranges) and _reaches(stop, ranges[last].start):
            start = min(start, ranges[last].start)
            theirs = ranges[last].stop
            stop = None if stop is None or theirs is None else max(stop, theirs)
            last += 1
        ranges[first:last] = [Span(start, stop)]


def _reaches(stop: bytes | None, start: bytes) -> bool:
    return stop is None or stop >= start


def _written(ops: Sequence[Op]) -> _Written:
    """By a branch, in which no key is written twice. Raises WireError if one is."""
    found = _Written()
    for op in ops:
        if isinstance(op, PutOp):
            found.put(op.key)
        elif isinstance(op, DeleteOp):
            found.delete(op.key, op.range_end)
        elif isinstance(op, Txn):
            this = _joined(_written(op.success), _written(op.failure))
            twice = not this.puts.isdisjoint(found.puts)
            if twice or this.takes_from(found) or found.takes_from(this):
                raise WireError(DUPLICATE)
            found = _joined(found, this)
    return found


def _joined(one: _Written, other: _Written) -> _Written:
    """The larger takes the smaller: deep in each other, all would be copied at each level."""
    small, large = (one, other) if len(one) < len(other) else (other, one)
    large.add(small)
    return large
