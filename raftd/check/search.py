"""Is there an order of these operations that explains every answer? The search of Wing and Gong,
with Lowe's memory of configurations that failed.

Works without revisions. Objects that share no operation are searched one by one (a history is
linearizable if each of its objects is); a batch or a range ties its keys into one object. What it
costs depends on how many operations overlap: it counts steps, and gives up, aloud, at a budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from raftd.check.cells import Cell, Changes, Mismatch
from raftd.check.model import Model
from raftd.check.operations import (
    ASIDE,
    BATCH,
    CAS,
    GET,
    INFINITY,
    OK,
    PUT,
    RANGE,
    READS,
    REVOKE,
    TXN,
    UNKNOWN,
    Op,
)  # fmt: skip

State = tuple[Cell | None, ...]


class Outcome(NamedTuple):
    """linearizable None: the budget ran out. blocked: where the best attempt could not go on."""

    linearizable: bool | None
    steps: int
    blocked: Op | None = None
    reason: str = ""


def judged(ops: Iterable[Op]) -> list[Op]:
    """Those that say something: what certainly never happened and reads without an answer do
    not.
    """
    return [
        op
        for op in ops
        if op.kind not in ASIDE
        and (op.outcome == OK or (op.outcome == UNKNOWN and op.kind not in READS))
    ]


def objects(ops: Sequence[Op], model: Model) -> list[list[Op]]:
    """The operations by connected keys, each in the order given."""
    parent: dict[bytes, bytes] = {}

    def root(key: bytes) -> bytes:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for op in ops:
        keys = model.covered(op)
        for key in keys:
            parent[root(key)] = root(keys[0])
    groups: dict[bytes, list[Op]] = {}
    for op in ops:
        keys = model.covered(op)
        if keys:
            groups.setdefault(root(keys[0]), []).append(op)
    return list(groups.values())


class Search:
    """One object's operations against the model.

    revision: the store's before all of it, if every answer's revision is to be explained too (then
    all operations of the store have to be here); None: revisions are only compared where a key's
    last put told its own.
    """

    def __init__(
        self, ops: Sequence[Op], model: Model, initial: dict[bytes, Cell], revision: int | None
    ) -> None:
        self._model = model
        self._exact = revision is not None
        self._required = [op for op in ops if op.outcome == OK]
        unknown = [op for op in ops if op.outcome == UNKNOWN and op.kind not in READS]
        self._perhaps = sorted(
            _useful(unknown, self._required, self._exact), key=lambda op: op.call
        )
        keys = sorted({key for op in ops for key in model.covered(op)})
        self._at = {key: number for number, key in enumerate(keys)}
        self._start: State = tuple(initial.get(key) for key in keys)
        self._revision = revision or 0
        self._steps = 0
        self._reason = ""
        self._chain()

    def run(self, budget: int) -> Outcome:
        """At most `budget` steps of the model."""
        mask, state, revision, left = 0, self._start, self._revision, len(self._required)
        seen: set[tuple[int, State, int]] = set()
        best, blocked, reason = left + 1, None, ""
        stack: list[tuple[int, State, int, int, Iterator[int]]] = []
        choices = self._choices(mask)
        while left:
            if left < best:
                best, blocked, self._reason = left, self._first_return(), ""
            number = next(choices, None)
            if number is None:
                if left == best and not reason:
                    reason = self._reason
                if not stack:
                    return Outcome(False, self._steps, blocked, reason or self._reason)
                undone, state, revision, mask, choices = stack.pop()
                if undone < len(self._required):
                    self._unlift(undone)
                    left += 1
                continue
            if self._steps >= budget:
                return Outcome(None, self._steps, blocked, reason)
            step = self._step(number, state, revision)
            if step is None:
                continue
            after = (mask | 1 << number, *step)
            if after in seen:
                continue
            seen.add(after)
            stack.append((number, state, revision, mask, choices))
            mask, state, revision = after
            if number < len(self._required):
                self._lift(number)
                left -= 1
            choices = self._choices(mask)
        return Outcome(True, self._steps)

    # -- one step -----------------------------------------------------------------------------

    def _step(self, number: int, state: State, revision: int) -> tuple[State, int] | None:
        self._steps += 1
        known = number < len(self._required)
        op = self._required[number] if known else self._perhaps[number - len(self._required)]
        at = self._at
        made = revision + 1 if self._exact else op.revision or 0
        try:
            changes = self._model.step(op, lambda key: state[at[key]], made)
        except Mismatch as mismatch:
            self._note(op, mismatch.reason)
            return None
        if not changes and not known:
            return None  # the same as if it never happened
        after = revision + bool(changes) if self._exact else 0
        if self._exact and known and op.revision is not None and op.revision != after:
            self._note(op, f"it was told revision {op.revision}, expected {after}")
            return None
        return (self._changed(state, changes) if changes else state), after

    def _note(self, op: Op, reason: str) -> None:
        if op is self._first_return():
            self._reason = reason

    def _changed(self, state: State, changes: Changes) -> State:
        cells = list(state)
        for key, cell in changes.items():
            cells[self._at[key]] = cell
        return tuple(cells)

    # -- who may come next ----------------------------------------------------------------------

    def _chain(self) -> None:
        """Calls and returns of required operations in a linked list: number n stands for the call
        of operation n, count + n for its return, the last is the list's end on both sides. Calls
        come before returns of the same moment.
        """
        count = len(self._required)
        events = [(op.call, 0, n) for n, op in enumerate(self._required)]
        events += [(op.ret, 1, count + n) for n, op in enumerate(self._required)]
        order = [2 * count, *(number for _, _, number in sorted(events)), 2 * count]
        self._next = [0] * (2 * count + 1)
        self._before = [0] * (2 * count + 1)
        for left, right in pairwise(order):
            self._next[left], self._before[right] = right, left

    def _lift(self, number: int) -> None:
        for place in (number, number + len(self._required)):
            before, after = self._before[place], self._next[place]
            self._next[before], self._before[after] = after, before

    def _unlift(self, number: int) -> None:
        for place in (number + len(self._required), number):
            self._next[self._before[place]] = self._before[self._next[place]] = place

    def _first_return(self) -> Op | None:
        count = len(self._required)
        place = self._next[2 * count]
        while place < count:
            place = self._next[place]
        return self._required[place - count] if place < 2 * count else None

    def _choices(self, mask: int) -> Iterator[int]:
        """Operations that were called before any that is left returned; the sure ones first."""
        count = len(self._required)
        place = self._next[2 * count]
        calls = []
        while place < count:
            calls.append(place)
            place = self._next[place]
        yield from calls
        limit = self._required[place - count].ret if place < 2 * count else INFINITY
        tried = set()
        for at, op in enumerate(self._perhaps):
            if op.call > limit:
                return
            number = count + at
            alike = (op.kind, op.key, op.value, op.expect, op.operations, op.txn, op.lease, op.also)
            if mask >> number & 1 or alike in tried:
                continue
            tried.add(alike)
            yield number


def _useful(unknown: Sequence[Op], required: Sequence[Op], exact: bool) -> list[Op]:
    """Without those whose effect nobody can have seen: to leave them out loses no explanation, and
    each of them doubles the search.
    """
    if exact or any(_sees_indirectly(op) for op in required):
        return list(unknown)
    seen: set[bytes] = set()
    for op in (*required, *unknown):
        shown = [op.found] if op.kind == GET or op.told else [item for _, item in op.items]
        for item in shown:
            if item is not None:
                if item.value is None or item.version is not None:
                    return list(unknown)
                seen.add(item.value)
        if op.expect is not None:
            if op.expect.kind in ("version", "mod_revision"):
                return list(unknown)
            seen.add(op.expect.value)
    return [op for op in unknown if not _writes_unseen(op, seen)]


def _sees_indirectly(op: Op) -> bool:
    """It learned of a put without being shown its value."""
    if op.kind in (TXN, REVOKE):
        return True
    if op.version is not None or op.versions is not None or op.more:
        return True
    if op.kind == CAS:
        return not op.done and not op.told
    return op.kind == "delete" and op.done is not False


def _writes_unseen(op: Op, seen: set[bytes]) -> bool:
    if op.kind in (PUT, CAS):
        return op.value is not None and op.value not in seen
    if op.kind == BATCH:
        return all(value is not None and value not in seen for _, value in op.operations)
    return op.kind == RANGE
