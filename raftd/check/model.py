"""The store that a history is held against: one step of it, and whether an answer agrees.

A put, a delete of something and a batch that changes something make a new revision; a key's version
counts its puts since it was made. Answers are compared in what they tell, no more.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from raftd.check.attempt import Attempt
from raftd.check.cells import Cell, Changes, Lookup, Mismatch, agree, put_over
from raftd.check.operations import (
    BATCH,
    CAS,
    DELETE,
    GET,
    PUT,
    RANGE,
    REVOKE,
    TXN,
    Op,
    shown,
)  # fmt: skip


class Model:
    """Steps of a store that never holds other keys than `universe`."""

    def __init__(self, universe: Iterable[bytes]) -> None:
        self.keys: Sequence[bytes] = sorted(set(universe))
        self._steps = {
            PUT: self._put,
            GET: self._get,
            DELETE: self._delete,
            CAS: self._cas,
            BATCH: self._batch,
            RANGE: self._range,
            TXN: self._txn,
            REVOKE: self._revoke,
        }

    def step(self, op: Op, lookup: Lookup, revision: int) -> Changes:
        """What `op` changes in the state that `lookup` shows; `revision` is what a change gets.

        Raises Mismatch if the answer of `op` tells of another state. An operation without an
        answer agrees with every state.
        """
        return self._steps[op.kind](op, lookup, revision)

    def covered(self, op: Op) -> Sequence[bytes]:
        """All keys that a range or another operation looks at."""
        return self.within(op.key, op.after) if op.kind == RANGE else op.named()

    def within(self, prefix: bytes, after: bytes = b"") -> Sequence[bytes]:
        """All keys that begin so and come after that one."""
        keys = self.keys
        at = bisect_right(keys, after) if after >= prefix else bisect_left(keys, prefix)
        end = at
        while end < len(keys) and keys[end].startswith(prefix):
            end += 1
        return keys[at:end]

    def _txn(self, op: Op, lookup: Lookup, revision: int) -> Changes:
        return Attempt(lookup, self.within, revision).run(op)

    @staticmethod
    def _revoke(op: Op, lookup: Lookup, revision: int) -> Changes:
        """Also the end of a lease that nobody renewed."""
        changes: Changes = {}
        for key in op.keys:
            cell = lookup(key)
            if cell is not None and (cell.lease == op.lease or cell.lease in op.also):
                if op.done is False:
                    raise Mismatch(f"there was no such lease, but {shown(key)} was under it", key)
                changes[key] = None
        return changes

    @staticmethod
    def _put(op: Op, lookup: Lookup, revision: int) -> Changes:
        cell = lookup(op.key)
        version = cell.version + 1 if cell is not None else 1
        if op.version is not None and op.version != version:
            raise Mismatch(f"it was told version {op.version}, expected {version}", op.key)
        assert op.value is not None
        return {op.key: put_over(cell, op.value, revision, op.lease)}

    @staticmethod
    def _get(op: Op, lookup: Lookup, revision: int) -> Changes:
        if op.outcome == "ok":
            agree(op.found, lookup(op.key), op.key)
        return {}

    @staticmethod
    def _delete(op: Op, lookup: Lookup, revision: int) -> Changes:
        there = lookup(op.key) is not None
        if op.done is not None and op.done != there:
            raise Mismatch(f"it was told deleted={op.done}, but the key was {_is(there)}", op.key)
        return {op.key: None} if there else {}

    @staticmethod
    def _cas(op: Op, lookup: Lookup, revision: int) -> Changes:
        cell = lookup(op.key)
        holds = _holds(op, cell)
        if holds is None:  # cannot be told: as the answer says
            holds = op.done is not False
        if op.done is not None and op.done != holds:
            held = "held" if holds else "did not hold"
            raise Mismatch(f"it was told succeeded={op.done}, but its condition {held}", op.key)
        if not holds:
            if op.told:
                agree(op.found, cell, op.key)
            return {}
        if op.value is None:
            return {op.key: None} if cell is not None else {}
        version = cell.version + 1 if cell is not None else 1
        if op.version is not None and op.version != version:
            raise Mismatch(f"it was told version {op.version}, expected {version}", op.key)
        return {op.key: put_over(cell, op.value, revision, op.lease)}

    @staticmethod
    def _batch(op: Op, lookup: Lookup, revision: int) -> Changes:
        changes: Changes = {}
        versions: list[int] = []
        for key, value in op.operations:
            cell = lookup(key)
            if value is not None:
                versions.append(cell.version + 1 if cell is not None else 1)
                changes[key] = put_over(cell, value, revision)
            else:
                versions.append(0)
                if cell is not None:
                    changes[key] = None
        if op.versions is not None and list(op.versions) != versions:
            at = next((i for i, told in enumerate(op.versions) if told != versions[i]), 0)
            raise Mismatch(
                f"it was told versions {list(op.versions)}, expected {versions}",
                op.operations[at][0],
            )
        return changes

    def _range(self, op: Op, lookup: Lookup, revision: int) -> Changes:
        if op.outcome != "ok":
            return {}
        at = 0
        for key in self.covered(op):
            cell = lookup(key)
            if cell is None:
                continue
            if at == len(op.items):
                if op.more or (op.more is None and 0 < op.limit == at):
                    return {}
                raise Mismatch(f"key {shown(key)} is missing in it", key)
            shown_key, item = op.items[at]
            if shown_key != key:
                other = min(key, shown_key)
                what = "is missing in it" if other == key else "was not there"
                raise Mismatch(f"key {shown(other)} {what}", other)
            agree(item, cell, key)
            at += 1
        if at < len(op.items):
            key = op.items[at][0]
            raise Mismatch(f"key {shown(key)} was not there", key)
        if op.more:
            raise Mismatch("it was told that there is more, but there was not")
        return {}


def _holds(op: Op, cell: Cell | None) -> bool | None:
    expect = op.expect
    assert expect is not None
    if expect.kind == "absent":
        return cell is None
    if expect.kind == "value":
        return cell is not None and cell.value == expect.value
    if expect.kind == "version":
        return expect.number == (cell.version if cell is not None else 0)
    if cell is None:
        return expect.number == 0
    if not cell.mod:
        return False if expect.number == 0 else None
    return expect.number == cell.mod


def _is(there: bool) -> str:
    return "there" if there else "absent"
