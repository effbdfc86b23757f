"""What became of locks: was a write accepted with an older token than one before it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from raftd.check.operations import HOLD, OK, TXN, Op, shown

GUARDED = b"guarded/"


@dataclass
class Fencing:
    """stale: writes that were accepted after one with a greater token."""

    holds: int = 0
    accepted: int = 0
    refused: int = 0
    stale: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"locks: {self.holds} holds; {self.accepted} writes with a token accepted, "
            f"{self.refused} refused, {len(self.stale)} accepted with an older token"
        )


def look(ops: Iterable[Op]) -> Fencing:
    """By revision, so by the order in which the store took them."""
    found, greatest = Fencing(), Counter[bytes]()
    told = [op for op in ops if op.outcome == OK]
    found.holds = sum(op.kind == HOLD for op in told)
    for op in sorted(told, key=lambda op: op.revision or 0):
        guarded = _guarded(op)
        if guarded is None:
            continue
        key, token = guarded
        if not op.done:
            found.refused += 1
            continue
        found.accepted += 1
        if token < greatest[key]:
            found.stale.append(f"{shown(key)}: token {token} after {greatest[key]}: {op}")
        greatest[key] = max(greatest[key], token)
    return found


def _guarded(op: Op) -> tuple[bytes, int] | None:
    if op.kind != TXN or op.txn is None or not op.txn.then:
        return None
    key = op.txn.then[0].key
    return (key, op.txn.compares[0].number) if key.startswith(GUARDED) else None
