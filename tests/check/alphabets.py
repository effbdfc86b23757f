"""Letters of small histories: operations with their answers, but without times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from raftd.check.history import FIRST_REVISION, History
from raftd.check.judge import LINEARIZABLE, NOT_LINEARIZABLE, judge
from raftd.check.model import Model
from raftd.check.operations import INFINITY, Expect, Item, Op
from raftd.check.search import Search, judged
from tests.check.brute import interval_orders, linearizable

A, B = b"a", b"b"
ONE, TWO = b"1", b"2"
Letters = Sequence[Op]


def ok(kind: str, key: bytes = A, **answer: Any) -> Op:
    return replace(Op(kind, key, 0.0, 0.0, "ok"), **answer)


def perhaps(kind: str, key: bytes = A, **request: Any) -> Op:
    return replace(Op(kind, key, 0.0, INFINITY, "unknown"), **request)


def batch(*pairs: tuple[bytes, bytes | None], outcome: str = "ok", **answer: Any) -> Op:
    return replace(Op("batch", b"", 0.0, INFINITY, outcome), operations=pairs, **answer)


def shows(*pairs: tuple[bytes, bytes], **answer: Any) -> Op:
    items = tuple((key, Item(value)) for key, value in pairs)
    return replace(Op("range", b"", 0.0, 0.0, "ok"), items=items, **answer)


IF_ONE = Expect("value", ONE)

REGISTER: Letters = [
    ok("put", value=ONE),
    ok("get", found=None),
    ok("get", found=Item(ONE)),
    ok("get", found=Item(TWO)),
    perhaps("put", value=TWO),
    ok("delete", done=True),
    ok("put", value=TWO),
    ok("delete", done=False),
    ok("cas", expect=IF_ONE, value=TWO, done=True),
    ok("cas", expect=IF_ONE, value=TWO, done=False),
    ok("cas", expect=Expect("absent"), value=ONE, done=True),
    perhaps("delete"),
    perhaps("cas", expect=IF_ONE, value=TWO),
    ok("get", found=Item(ONE, version=2)),
]

TWO_KEYS: Letters = [
    ok("put", value=ONE),
    shows(),
    shows((A, ONE)),
    shows((A, ONE), (B, ONE)),
    batch((A, ONE), (B, ONE)),
    batch((A, TWO), (B, None), outcome="unknown"),
    shows((A, ONE), limit=1, more=True),
    perhaps("put", B, value=TWO),
    ok("put", B, value=ONE),
    shows((A, TWO)),
    shows((B, ONE)),
    ok("get", B, found=None),
    batch((A, None), (B, None)),
]


def _at(revision: int, op: Op) -> Op:
    return replace(op, revision=revision)


REVISIONS: Letters = [
    _at(2, ok("put", value=ONE)),
    _at(3, ok("put", value=ONE)),
    _at(1, ok("get", found=None)),
    _at(2, ok("get", found=Item(ONE, mod_revision=2))),
    _at(3, ok("get", found=Item(ONE, mod_revision=2))),
    perhaps("put", value=TWO),
    perhaps("put", B, value=TWO),
    _at(3, ok("get", found=Item(TWO, 2, 3))),
    _at(2, ok("get", found=Item(TWO))),
    _at(2, ok("get", found=None)),
    _at(3, ok("delete", done=True)),
    _at(2, ok("delete", done=False)),
    _at(2, batch((A, None), (B, None))),
    _at(3, batch((A, None), (B, None))),
    _at(3, batch((A, ONE), (B, ONE))),
    _at(3, shows((A, ONE), (B, ONE))),
    _at(3, ok("cas", expect=IF_ONE, value=TWO, done=True)),
    _at(2, ok("cas", expect=IF_ONE, value=None, done=False, told=True, found=Item(TWO))),
    perhaps("delete"),
    perhaps("cas", expect=Expect("mod_revision", number=2), value=ONE),
]


def histories(letters: Letters, count: int) -> Iterator[list[Op]]:
    """All histories of `count` operations: every letter in every place of every order in time."""
    for events in interval_orders(count):
        for word in product(letters, repeat=count):
            yield [
                replace(op, call=call, ret=INFINITY if op.outcome == "unknown" else ret)
                for op, (call, ret) in zip(word, events)
            ]


def by_search(ops: list[Op]) -> bool:
    return judge(History(ops), "search").result == LINEARIZABLE


def by_revisions(ops: list[Op]) -> bool:
    verdict = judge(History(ops), "revisions")
    assert verdict.result in (LINEARIZABLE, NOT_LINEARIZABLE), verdict.lines()
    return verdict.result == LINEARIZABLE


def by_exact_search(ops: list[Op]) -> bool:
    """The search over the whole store, which explains every revision too."""
    kept = judged(ops)
    model = Model(key for op in kept for key in op.named())
    outcome = Search(kept, model, {}, FIRST_REVISION).run(10_000_000)
    assert outcome.linearizable is not None
    return outcome.linearizable


def by_definition(ops: list[Op]) -> bool:
    return linearizable(ops, revisions=False)


def by_definition_with_revisions(ops: list[Op]) -> bool:
    return linearizable(ops, revisions=True)


Judge = Callable[[list[Op]], bool]


def compare(letters: Letters, count: int, expected: Judge, *judges: Judge) -> tuple[int, int]:
    """(histories, how many of them are linearizable). Fails at the first disagreement."""
    total = good = 0
    for ops in histories(letters, count):
        wanted = expected(ops)
        total += 1
        good += wanted
        for one in judges:
            assert one(ops) == wanted, f"{one.__name__} says {not wanted}:\n" + "\n".join(
                map(str, ops)
            )
    return total, good
