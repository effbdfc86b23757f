"""A transaction in one state: which branch runs, what it changes, and whether its answer agrees.

All compares, also those of nested ones, look at the state before; the operations of the branch see
what earlier ones wrote. So it is one step, done whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from raftd.check.cells import Cell, Changes, Lookup, Mismatch, agree, put_over
from raftd.check.operations import (
    DELETE,
    GET,
    PUT,
    RANGE,
    Branch,
    Compare,
    Item,
    Op,
    Part,
    Txn,
    shown,
)  # fmt: skip

Within = Callable[[bytes], Sequence[bytes]]


class Attempt:
    """One try, at one revision. within: all keys with a prefix."""

    def __init__(self, lookup: Lookup, within: Within, revision: int) -> None:
        self._before = lookup
        self._within = within
        self._revision = revision
        self._changes: Changes = {}

    def run(self, op: Op) -> Changes:
        """What it changes. Raises Mismatch."""
        assert op.txn is not None
        self._decide(op.txn, op.done, op.branch)
        return {key: cell for key, cell in self._changes.items() if cell or self._before(key)}

    def _decide(self, txn: Txn, told: bool | None, branch: Branch | None) -> None:
        holds: bool | None = True
        for compare in txn.compares:
            one = self._holds(compare)
            if one is False and told:
                what = f"it was told succeeded, but {compare.target} of {shown(compare.key)} is not"
                raise Mismatch(what, b"" if compare.prefix else compare.key)
            holds = False if one is False or holds is False else (one and holds)
        if holds is True and told is False:
            raise Mismatch("it was told that its condition did not hold, but it did")
        if holds is None:  # cannot be told: as the answer says
            holds = told is not False
        parts = txn.then if holds else txn.otherwise
        responses = branch.responses if branch is not None else (None,) * len(parts)
        if len(responses) != len(parts):
            raise Mismatch(f"it has {len(responses)} responses, expected {len(parts)}")
        for part, response in zip(parts, responses, strict=True):
            self._part(part, response, branch is not None)

    def _lookup(self, key: bytes) -> Cell | None:
        return self._changes[key] if key in self._changes else self._before(key)

    def _part(self, part: Part, response: object, told: bool) -> None:
        if part.txn is not None:
            inner = response if isinstance(response, Branch) else None
            self._decide(part.txn, inner.succeeded if inner is not None else None, inner)
        elif part.kind == PUT:
            cell = put_over(self._lookup(part.key), part.value, self._revision, part.lease)
            self._changes[part.key] = cell
        elif part.kind == DELETE:
            self._delete(part, response)
        elif part.kind == GET and told:
            item = response if isinstance(response, Item) else None
            agree(item, self._lookup(part.key), part.key)
        elif part.kind == RANGE and isinstance(response, tuple):
            self._range(part, dict(response))

    def _delete(self, part: Part, response: object) -> None:
        keys = self._within(part.key) if part.prefix else (part.key,)
        there = [key for key in keys if self._lookup(key) is not None]
        self._changes.update(dict.fromkeys(there))
        if isinstance(response, int) and response != len(there):
            what = f"it was told that {response} keys were deleted, expected {len(there)}"
            raise Mismatch(what, b"" if part.prefix else part.key)

    def _range(self, part: Part, items: dict[bytes, Item]) -> None:
        for key in self._within(part.key):
            agree(items.pop(key, None), self._lookup(key), key)
        for key in items:
            raise Mismatch(f"key {shown(key)} was not there", key)

    # -- compares -----------------------------------------------------------------------------

    def _holds(self, compare: Compare) -> bool | None:
        """None: it cannot be told, since a revision is not known."""
        if not compare.prefix:
            return _compared(compare, self._before(compare.key))
        cells = [cell for key in self._within(compare.key) if (cell := self._before(key))]
        each = [_compared(compare, cell) for cell in cells] or [_compared(compare, None)]
        return False if False in each else None if None in each else True


def _compared(compare: Compare, cell: Cell | None) -> bool | None:
    if compare.target == "value":
        return cell is not None and _sign(compare.sign, cell.value, compare.value)
    number = _number(compare.target, cell)
    return None if number is None else _sign(compare.sign, number, compare.number)


def _number(target: str, cell: Cell | None) -> int | None:
    if cell is None:
        return 0
    if target == "version":
        return cell.version
    if target == "lease":
        return cell.lease
    return (cell.create if target == "create_revision" else cell.mod) or None


def _sign(sign: str, left: bytes | int, right: bytes | int) -> bool:
    if sign in ("=", "!="):
        return (left == right) is (sign == "=")
    less = left < right  # type: ignore[operator]
    return less if sign == "<" else not less and left != right
