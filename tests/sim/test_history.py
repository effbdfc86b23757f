"""What clients saw is judged: good histories pass, planted violations do not, unknown outcomes are
unknown, and the log's word for them is one explanation and no excuse.

That the checker itself agrees with brute force is shown in tests/check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from raftd.check.operations import UNKNOWN
from raftd.machine.kv.store import KvStore
from raftd.wire import kv
from tests.sim.history import (
    BATCH,
    CAS,
    DELETE,
    GET,
    PUT,
    RANGE,
    History,
    Item,
    Op,
    check,
    check_told,
)  # fmt: skip
from tests.sim.world import Violation

KEY = b"k"


def put(call: float, ret: float, value: bytes, revision: int, version: int) -> Op:
    return Op(PUT, KEY, call, ret, "ok", value=value, revision=revision, version=version)


def unknown(call: float, value: bytes) -> Op:
    return Op(PUT, KEY, call, value=value)


def get(call: float, ret: float, revision: int, found: Item | None) -> Op:
    return Op(GET, KEY, call, ret, "ok", revision=revision, found=found)


def batch(call: float, ret: float, revision: int) -> Op:
    operations = ((b"a", b"1"), (b"b", b"2"))
    made = {"operations": operations, "versions": (1, 1), "revision": revision}
    return Op(BATCH, b"", call, ret, "ok", **made)  # type: ignore[arg-type]


def scan(call: float, ret: float, revision: int, *keys: bytes, more: bool = False) -> Op:
    held = {b"a": Item(b"1", 1, 2), b"b": Item(b"2", 1, 2)}
    items = tuple((key, held[key]) for key in keys)
    return Op(RANGE, b"", call, ret, "ok", items=items, more=more, revision=revision)


GOOD = {
    "nothing": [],
    "put, get": [put(0, 1, b"a", 2, 1), get(2, 3, 2, Item(b"a", 1, 2))],
    "a read that overlaps a put may miss it": [put(0, 9, b"a", 2, 1), get(1, 2, 1, None)],
    "an unknown put is seen": [unknown(0, b"a"), get(2, 3, 2, Item(b"a", 1, 2))],
    "an unknown put is never seen": [unknown(0, b"a"), get(2, 3, 1, None)],
    "an unknown put fills a gap": [
        put(0, 1, b"a", 2, 1),
        unknown(2, b"b"),
        put(3, 4, b"c", 4, 3),
    ],
    "a batch, all of it": [batch(0, 1, 2), scan(2, 3, 2, b"a", b"b")],
    "a page of it": [batch(0, 1, 2), scan(2, 3, 2, b"a", more=True)],
}

BAD = {
    "stale read": [put(0, 1, b"a", 2, 1), get(2, 3, 1, None)],
    "a read goes back": [
        put(0, 1, b"a", 2, 1),
        put(2, 9, b"b", 3, 2),
        get(3, 4, 3, Item(b"b", 2, 3)),
        get(5, 6, 2, Item(b"a", 1, 2)),
    ],
    "an acknowledged put is lost": [put(0, 1, b"a", 2, 1), get(2, 3, 2, None)],
    "two writes of one revision": [put(0, 1, b"a", 2, 1), put(0, 1, b"b", 2, 1)],
    "a value from nowhere": [get(0, 1, 2, Item(b"x", 1, 2))],
    "applied twice, seen twice": [
        unknown(0, b"a"),
        get(2, 3, 2, Item(b"a", 1, 2)),
        get(4, 5, 3, Item(b"a", 2, 3)),
    ],
    "applied twice, shown by the version": [put(0, 1, b"a", 2, 1), put(2, 3, b"b", 4, 3)],
    "a write before what had returned": [put(0, 1, b"a", 3, 2), put(2, 3, b"b", 2, 1)],
    "two values at one revision": [put(0, 1, b"a", 2, 1), get(2, 3, 2, Item(b"z", 1, 2))],
    "half a batch": [batch(0, 1, 2), scan(2, 3, 2, b"a")],
    "a stale range": [batch(0, 1, 2), scan(2, 3, 1)],
    "a key skipped at the border": [batch(0, 1, 2), scan(2, 3, 2, b"b")],
    "more, where nothing is": [batch(0, 1, 2), scan(2, 3, 2, b"a", b"b", more=True)],
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    check(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    with pytest.raises(Violation, match="NOT LINEARIZABLE"):
        check(BAD[name])


OPERATIONS = ((b"a", b"1"), (b"b", b"2"), (b"c", None))


class Told:
    """One client and a real store: every call is answered at once, and noted."""

    def __init__(self) -> None:
        self.history = History()
        self._store = KvStore()
        self.now = 0.0

    def do(self, kind: str, key: bytes, value: bytes | None, request: bytes) -> Op:
        op = self.history.call(1, kind, key, value, self.now, OPERATIONS if kind == BATCH else ())
        handle: Callable[[bytes], bytes] = self._store.apply
        if kind in (GET, RANGE):
            handle = self._store.query
        self.history.done(op, handle(request), self.now + 1)
        self.now += 2
        return op


def test_every_kind_of_answer_is_noted() -> None:
    told = Told()
    op = told.do(BATCH, b"", None, kv.encode_batch_ops(OPERATIONS))
    assert (op.revision, op.versions) == (2, (1, 1, 0))
    assert told.history.last_seen(b"b") == Item(b"2", 1, 2)
    assert told.history.last_seen(b"c") is None
    op = told.do(RANGE, b"", None, kv.encode_range(b"", 1))
    assert (op.items, op.more) == (((b"a", Item(b"1", 1, 2)),), True)
    op = told.do(CAS, b"a", b"3", kv.encode_cas(b"a", b"3", kv.expect_version(1)))
    assert (op.done, op.version, op.told) == (True, 2, False)
    assert told.history.last_seen(b"a") == Item(b"3", 2, 3)
    op = told.do(CAS, b"b", None, kv.encode_cas(b"b", None, kv.expect_value(b"x")))
    assert (op.done, op.told, op.found) == (False, True, Item(b"2", 1, 2))
    op = told.do(DELETE, b"b", None, kv.encode_delete(b"b"))
    assert (op.revision, op.done) == (4, True)
    op = told.do(GET, b"b", None, kv.encode_get(b"b"))
    assert (op.revision, op.found) == (4, None)


def test_what_the_log_says_of_an_unknown_write() -> None:
    """It may stand at the revision that it made, or have made none; not before it was called."""
    history, stats = History(), Counter[str]()
    first = history.call(1, PUT, KEY, b"a", 0.0)
    history.sent(first, b"9", 1)
    history.call(1, PUT, KEY, b"b", 0.0)
    history.ops.append(get(2, 3, 2, Item(b"a", 1, 2)))
    assert {op.outcome for op in history.ops[:2]} == {UNKNOWN}
    check_told(history, {(b"9", 1): 2}, stats)
    assert stats == {"ops judged": 3, "unknown writes judged": 2, "get judged": 1}
    with pytest.raises(Violation, match="clients alone: LINEARIZABLE"):
        check_told(history, {(b"9", 1): 3}, stats)
    first.call = 4.0
    with pytest.raises(Violation, match="clients alone: NOT LINEARIZABLE"):
        check_told(history, {(b"9", 1): 2}, stats)


def test_what_certainly_did_not_happen_is_not_seen() -> None:
    history = History()
    op = history.call(1, PUT, KEY, b"a", 0.0)
    history.lost(op, 1.0, unsure=False)
    history.ops.append(get(2, 3, 2, Item(b"a", 1, 2)))
    with pytest.raises(Violation, match="certainly had not done it"):
        check_told(history, {}, Counter())


def test_the_log_says_nothing_of_a_read() -> None:
    """Nobody knows at which revision one without an answer stood. A leader's own commands have
    number 0 of no session, and are no read's (seed 1013180).
    """
    history = History()
    history.call(1, RANGE, b"", None, 0.0)
    history.ops.append(put(0, 1, b"a", 2, 1))
    check_told(history, {(b"", 0): 2}, Counter())
