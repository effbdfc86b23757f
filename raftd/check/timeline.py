"""Revisions against real time: what is wrong without a look at any value."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from raftd.check.operations import BATCH, CAS, DELETE, PUT, READS, REVOKE, Op, Txn, parts_of

LATE_MAX = 200
"""Faults, and revisions after each, that are looked at for the plainest one."""


class Fault(NamedTuple):
    """What does not fit. ops: the smallest set of operations that shows it."""

    reason: str
    ops: list[Op]


class Timeline:
    """Answered operations by revision, and when the first of each revision and up returned."""

    def __init__(self, known: Sequence[Op]) -> None:
        self.writer: dict[int, Op] = {}
        self.maybe: dict[int, list[Op]] = {}
        self.readers: dict[int, list[Op]] = {}
        self.twice: tuple[Op, Op] | None = None
        for op in known:
            revision = op.revision
            assert revision is not None
            writes = _writes(op)
            if writes:
                other = self.writer.setdefault(revision, op)
                if other is not op and self.twice is None:
                    self.twice = (other, op)
                continue
            if writes is None:
                self.maybe.setdefault(revision, []).append(op)
            self.readers.setdefault(op.level, []).append(op)
        self.levels = sorted({op.revision or 0 for op in known})
        self.last = self.levels[-1] if self.levels else 0
        self._known = known
        self._first = self._suffix_minima()

    def first_return(self, revision: int) -> Op | None:
        """Of those at `revision` or above, the one that returned first."""
        at = bisect_right(self.levels, revision - 1)
        return self._first[at] if at < len(self._first) else None

    def _suffix_minima(self) -> list[Op]:
        first: dict[int, Op] = {}
        for op in self._known:
            best = first.get(op.revision or 0)
            if best is None or op.ret < best.ret:
                first[op.revision or 0] = op
        minima: list[Op] = []
        for level in reversed(self.levels):
            op = first[level]
            minima.append(op if not minima or op.ret < minima[-1].ret else minima[-1])
        minima.reverse()
        return minima

    def fault(self, start: int) -> Fault | None:
        """What is wrong with revisions and times alone."""
        if self.twice is not None:
            return Fault(
                f"revision {self.twice[0].revision} was given to two writes", [*self.twice]
            )
        late: list[tuple[Op, Op]] = []
        for op in self._known:
            revision = op.revision or 0
            writes = op is self.writer.get(revision)
            if revision < start + writes:
                return Fault(f"revision {revision}, but the history began at {start}", [op])
            if op.at is not None and op.at > revision:
                return Fault(f"revision {op.at} was read before it was there", [op])
            first = self.first_return(revision if writes else revision + 1)
            if first is not None and first.ret < op.call and len(late) < LATE_MAX:
                late.append((first, op))
        if not late:
            return None
        first, op = self._plainest(late)
        return Fault(_back_in_time(op, first), [first, op])

    def _plainest(self, late: Sequence[tuple[Op, Op]]) -> tuple[Op, Op]:
        """Where a key was shown as it was before a write to that very key, if there is such a
        read; the first, otherwise.
        """
        for _, op in late:
            if op.kind not in READS:
                continue
            keys = set(op.named())
            for revision in range((op.revision or 0) + 1, self.last + 1):
                writer = self.writer.get(revision)
                if writer is not None and writer.ret < op.call and keys & set(writer.named()):
                    return writer, op
                if revision > (op.revision or 0) + LATE_MAX:
                    break
        return late[0]


def _writes(op: Op) -> bool | None:
    """Whether it made its revision; None: that depends on the state."""
    if op.kind in READS:
        return False
    if op.kind == PUT:
        return True
    if op.kind == BATCH:
        if any(value is not None for _, value in op.operations):
            return True
        return None if op.operations else False
    if op.txn is not None:
        return _txn_writes(op.txn, op.done)
    if op.kind == REVOKE:
        return None if op.keys else False
    if not op.done:
        return False
    if op.kind == CAS and op.value is None and op.expect is not None:
        absent = op.expect.kind == "absent"
        return not absent and (op.expect.kind == "value" or op.expect.number > 0)
    return True


def _txn_writes(txn: Txn, succeeded: bool | None) -> bool | None:
    branch = txn.then if succeeded else txn.otherwise
    if any(part.kind == PUT for part in branch):
        return True
    perhaps = any(part.kind in (PUT, DELETE) for part in parts_of(txn, succeeded))
    return None if perhaps else False


def _back_in_time(op: Op, late: Op) -> str:
    if late.revision == op.revision:
        return f"a write made revision {op.revision}, which had been seen before it was called"
    return (
        f"answered with revision {op.revision}, but revision {late.revision} had been answered "
        "before it was called"
    )
