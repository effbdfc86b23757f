"""Violations planted in honest histories: each must be caught, and shown in a few operations."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from raftd.check.history import History
from raftd.check.judge import (
    LINEARIZABLE,
    NOT_LINEARIZABLE,
    UNDECIDED,
    Method,
    Verdict,
    judge,
)
from raftd.check.operations import INFINITY, Expect, Item, Op
from tests.check.generate import Maker, Shape

BOTH: list[Method] = ["revisions", "search"]


def at(time: float, kind: str, key: bytes = b"k", **fields: Any) -> Op:
    """An answered operation of a quarter of a second."""
    return replace(Op(kind, key, time, time + 0.25, "ok"), **fields)


def lost(time: float, value: bytes) -> Op:
    return Op("put", b"k", time, INFINITY, "unknown", value=value)


def put(time: float, value: bytes, revision: int, key: bytes = b"k", **fields: Any) -> Op:
    return at(time, "put", key, value=value, revision=revision, **fields)


def get(time: float, value: bytes | None, mod: int, revision: int, key: bytes = b"k") -> Op:
    found = Item(value, None, mod) if value is not None else None
    return at(time, "get", key, found=found, revision=revision)


def show(time: float, revision: int, *pairs: tuple[bytes, bytes, int]) -> Op:
    items = tuple((key, Item(value, None, mod)) for key, value, mod in pairs)
    return at(time, "range", b"", items=items, more=False, revision=revision)


def pair(time: float, value: bytes, revision: int) -> Op:
    return at(time, "batch", b"", operations=((b"a", value), (b"b", value)), revision=revision)


STALE_READ = [put(0, b"1", 2), put(1, b"2", 3), get(2, b"1", 2, 3)]
STALE_AND_SAYS_SO = [put(0, b"1", 2), put(1, b"2", 3), get(2, b"1", 2, 2)]
LOST_WRITE = [put(0, b"1", 2), get(1, None, 0, 1)]
LOST_AND_OVERWRITTEN = [put(0, b"1", 2), put(1, b"2", 2), get(2, b"2", 2, 2)]
DOUBLE_APPLY = [
    lost(0, b"1"), get(1, b"1", 2, 2), put(2, b"2", 3), get(3, b"1", 4, 4),
]  # fmt: skip
THIN_AIR = [put(0, b"1", 2), get(1, b"7", 3, 3)]
FAILED_IS_SEEN = [replace(put(0, b"1", 2), outcome="fail", revision=None), get(1, b"1", 2, 2)]
BATCHES_SWAPPED = [pair(0, b"1", 3), pair(1, b"2", 2), show(2, 3, (b"a", b"1", 3), (b"b", b"1", 3))]
TORN_RANGE = [pair(0, b"1", 2), pair(1, b"2", 3), show(2, 3, (b"a", b"2", 3), (b"b", b"1", 2))]
HALF_A_BATCH = [pair(0, b"1", 2), show(1, 2, (b"a", b"1", 2))]
DELETED_LIVES = [
    put(0, b"1", 2), at(1, "delete", done=True, revision=3), get(2, b"1", 2, 3),
]  # fmt: skip
CAS_WON_TWICE = [
    put(0, b"0", 2),
    at(1, "cas", expect=Expect("value", b"0"), value=b"1", done=True, revision=3),
    at(2, "cas", expect=Expect("value", b"0"), value=b"2", done=True, revision=4),
]
READS_GO_BACK = [lost(0, b"1"), get(1, b"1", 2, 2), get(2, None, 0, 1)]
PLANTED = {
    name.lower(): ops
    for name, ops in list(globals().items())
    if name.isupper() and isinstance(ops, list) and isinstance(ops[0], Op)
}
CASES = [
    (name, method)
    for name in PLANTED
    for method in BOTH
    if method == "revisions" or name != "lost_and_overwritten"  # only its revision shows it
]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_planted_violation_is_caught(name: str, method: Method) -> None:
    verdict = judge(History(PLANTED[name]), method, minimise=True)
    assert verdict.result == NOT_LINEARIZABLE
    assert verdict.window, verdict.lines()
    assert verdict.reason


@pytest.mark.parametrize(("name", "method"), CASES)
def test_it_is_caught_among_hundreds_of_others(name: str, method: Method) -> None:
    """And the window that is shown holds only operations that belong to it."""
    before = [put(t, b"x%d" % t, t + 2, b"other%d" % (t % 3)) for t in range(100)]
    moved = [_moved(op, 100.0, 100) for op in PLANTED[name]]
    top = max(op.revision or 0 for op in [*before, *moved])
    after = [put(t, b"x%d" % t, top + t - 199, b"other%d" % (t % 3)) for t in range(200, 300)]
    verdict = judge(History([*before, *moved, *after]), method, minimise=True)
    assert verdict.result == NOT_LINEARIZABLE
    assert 1 <= len(verdict.window) <= 4
    assert {id(op) for op in verdict.window} & {id(op) for op in [*moved, *after[:1]]}


def _moved(op: Op, seconds: float, revisions: int) -> Op:
    found = op.found
    if found is not None and found.mod_revision:
        found = found._replace(mod_revision=found.mod_revision + revisions)
    items = tuple(
        (key, item._replace(mod_revision=(item.mod_revision or 0) + revisions))
        for key, item in op.items
    )
    revision = op.revision + revisions if op.revision is not None else None
    changed: dict[str, Any] = {"found": found, "items": items, "revision": revision}
    if op.kind == "range":
        others = tuple((b"other%d" % n, Item(b"x%d" % (99 - (99 - n) % 3))) for n in range(3))
        changed["items"] = tuple(sorted([*items, *others]))
    return replace(op, call=op.call + seconds, ret=op.ret + seconds, **changed)


def test_windows_are_small_and_named() -> None:
    verdict = judge(History(STALE_READ), "search", minimise=True)
    assert verdict.window == STALE_READ
    text = "\n".join(verdict.lines())
    assert text.startswith("NOT LINEARIZABLE: 3 operations (3 ok, 0 unknown, 0 fail) on 1 keys")
    assert "smallest offending window: 3 operations, 0.000000 to 2.250000" in text
    stale = judge(History(STALE_READ))
    assert "it shows k=1 of revision 2, but revision 3 had changed that key" in stale.reason
    assert stale.window == STALE_READ[1:]
    double = judge(History(DOUBLE_APPLY))
    assert "so it was done twice" in double.reason
    assert DOUBLE_APPLY[0] in double.window
    assert "certainly had not done it" in judge(History(FAILED_IS_SEEN)).reason


def test_what_cannot_be_known_is_no_violation() -> None:
    """An unknown write may be done late, early or never; overlapping operations in any order."""
    late = [lost(0, b"1"), put(1, b"2", 2), get(2, b"2", 2, 2), get(3, b"1", 3, 3)]
    never = [lost(0, b"1"), get(9, None, 0, 1)]
    overlap = [replace(put(0, b"1", 2), ret=5.0), get(1, None, 0, 1), get(2, b"1", 2, 2)]
    unseen = [lost(0, b"1"), put(1, b"2", 3), get(2, b"2", 3, 3)]
    same_moment = [replace(put(0, b"1", 2), ret=1.0), replace(get(1, None, 0, 1), ret=2.0)]
    for ops in (late, never, overlap, unseen, same_moment):
        for method in BOTH:
            assert judge(History(ops), method).result == LINEARIZABLE, ops


def test_spent_budget_is_not_an_acquittal() -> None:
    ops = [replace(put(n / 10, b"%d" % n, 0), ret=20.0, revision=None) for n in range(14)]
    ops += [replace(get(30 + n, b"%d" % n, 0, 0), revision=None) for n in range(14)]
    ops = [replace(op, found=op.found and Item(op.found.value)) for op in ops]
    verdict = judge(History(ops), "search", steps=3000)
    assert verdict.result == UNDECIDED
    assert "gave up after" in verdict.reason


def test_too_little_told_goes_to_the_search() -> None:
    ops = [put(0, b"1", 2), replace(get(1, b"1", 2, 2), revision=None)]
    assert judge(History(ops)).method == "search"
    refused = judge(History(ops), "revisions")
    assert refused.result == UNDECIDED
    assert refused.window == [ops[1]]


def test_gaps_with_many_suspects_are_settled() -> None:
    """Unknown writes that nobody saw, on keys that are read later: who made which revision?"""
    for seed in range(20):
        shape = Shape(ops=400, clients=8, keys=3, values=0, unknown=0.15)
        verdict = judge(History(Maker(Random(seed), shape).history()))
        assert verdict.result == LINEARIZABLE, verdict.lines()
        assert verdict.steps < 40_000


def long_history(count: int) -> list[Op]:
    """One key, eight clients that overlap, one write in a thousand unknown."""
    shape = Shape(ops=count, clients=8, keys=1, values=0, unknown=0.001)
    return Maker(Random(1), shape).history()


def test_long_history_of_one_key_takes_seconds() -> None:
    ops = long_history(40_000)
    seconds, verdict = _timed(ops)
    assert verdict.result == LINEARIZABLE
    assert seconds < 10
    reads = [op for op in ops if op.kind == "get" and op.found is not None and op.outcome == "ok"]
    early, late = reads[len(reads) // 2], reads[-1]
    late.found = early.found
    assert judge(History(ops)).result == NOT_LINEARIZABLE


def _timed(ops: list[Op]) -> tuple[float, Verdict]:
    began = time.process_time()
    verdict = judge(History(ops), "revisions")
    return time.process_time() - began, verdict


if __name__ == "__main__":
    operations = long_history(200_000)
    taken, judged = _timed(operations)
    print(f"{taken:.2f} s of CPU", *judged.lines(), sep="\n")
