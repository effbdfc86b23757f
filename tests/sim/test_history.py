"""The history checker: good histories pass, planted violations do not, and brute force agrees."""

from __future__ import annotations

import itertools
import random

import pytest

from raftd.wire import kv
from tests.sim.history import History, Op, check
from tests.sim.world import Violation

KEY = b"k"


def put(call: float, ret: float, value: bytes, revision: int, version: int) -> Op:
    op = Op(1, "put", KEY, value, call)
    op.ret, op.settled, op.outcome = ret, True, "ok"
    op.revision, op.version, op.changed = revision, version, True
    return op


def unknown(call: float, value: bytes) -> Op:
    op = Op(2, "put", KEY, value, call)
    op.settled, op.outcome = True, "unknown"
    return op


def get(call: float, ret: float, revision: int, seen: kv.KeyValue | None) -> Op:
    op = Op(3, "get", KEY, None, call)
    op.ret, op.settled, op.outcome, op.revision, op.seen = ret, True, "ok", revision, seen
    return op


def at(value: bytes, revision: int, version: int) -> kv.KeyValue:
    return kv.KeyValue(KEY, value, 2, revision, version)


GOOD = {
    "nothing": [],
    "put, get": [put(0, 1, b"a", 2, 1), get(2, 3, 2, at(b"a", 2, 1))],
    "a read that overlaps a put may miss it": [put(0, 9, b"a", 2, 1), get(1, 2, 1, None)],
    "an unknown put is seen": [unknown(0, b"a"), get(2, 3, 2, at(b"a", 2, 1))],
    "an unknown put is never seen": [unknown(0, b"a"), get(2, 3, 1, None)],
    "an unknown put fills a gap": [
        put(0, 1, b"a", 2, 1),
        unknown(2, b"b"),
        put(3, 4, b"c", 4, 3),
    ],
}

BAD = {
    "stale read": [put(0, 1, b"a", 2, 1), get(2, 3, 1, None)],
    "a read goes back": [
        put(0, 1, b"a", 2, 1),
        put(2, 9, b"b", 3, 2),
        get(3, 4, 3, at(b"b", 3, 2)),
        get(5, 6, 2, at(b"a", 2, 1)),
    ],
    "an acknowledged put is lost": [put(0, 1, b"a", 2, 1), get(2, 3, 2, None)],
    "two writes of one revision": [put(0, 1, b"a", 2, 1), put(0, 1, b"b", 2, 1)],
    "a value from nowhere": [get(0, 1, 2, at(b"x", 2, 1))],
    "applied twice, seen twice": [
        unknown(0, b"a"),
        get(2, 3, 2, at(b"a", 2, 1)),
        get(4, 5, 3, at(b"a", 3, 2)),
    ],
    "applied twice, shown by the version": [put(0, 1, b"a", 2, 1), put(2, 3, b"b", 4, 3)],
    "a write before what had returned": [put(0, 1, b"a", 3, 2), put(2, 3, b"b", 2, 1)],
    "two values at one revision": [put(0, 1, b"a", 2, 1), get(2, 3, 2, at(b"z", 2, 1))],
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    check(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    with pytest.raises(Violation):
        check(BAD[name])


def linearizable(ops: list[Op]) -> bool:
    """Brute force: is there an order that respects real time and that a register explains?

    Small histories of one key without unknown outcomes; revisions and versions are part of it.
    """
    for order in itertools.permutations(ops):
        if _respects_time(order) and _explained(order):
            return True
    return not ops


def _respects_time(order: tuple[Op, ...]) -> bool:
    return all(
        later.ret >= earlier.call for i, earlier in enumerate(order) for later in order[i + 1 :]
    )


def _explained(order: tuple[Op, ...]) -> bool:
    revision, version, held = 1, 0, None
    for op in order:
        if op.changed:
            revision, version, held = revision + 1, version + 1, op.value
            if (op.revision, op.version) != (revision, version):
                return False
        elif op.revision != revision or op.seen != (at(held, revision, version) if held else None):
            return False
    return True


def test_brute_force_agrees() -> None:
    """Random histories of up to five operations, made right and then often spoiled."""
    rng = random.Random(1)
    verdicts = {True: 0, False: 0}
    for _ in range(3_000):
        ops = _random_history(rng)
        expected = linearizable(ops)
        try:
            check(ops)
            got = True
        except Violation:
            got = False
        assert got == expected, [str(op) for op in ops]
        verdicts[expected] += 1
    assert min(verdicts.values()) > 500


def _random_history(rng: random.Random) -> list[Op]:
    ops = []
    revision, version, time = 1, 0, 0.0
    held: bytes | None = None
    for number in range(rng.randint(1, 5)):
        time += 1
        call, ret = time - rng.random(), time + rng.random()
        if rng.random() < 0.5:
            revision, version, held = revision + 1, version + 1, b"v%d" % number
            ops.append(put(call, ret, held, revision, version))
        else:
            ops.append(get(call, ret, revision, at(held, revision, version) if held else None))
    if rng.random() < 0.7:
        first, second = rng.choice(ops), rng.choice(ops)
        first.call, second.call = second.call, first.call
        first.ret, second.ret = second.ret, first.ret
    return ops


def test_last_seen_is_what_a_client_compares_with() -> None:
    history = History()
    op = history.call(1, "put", KEY, b"a", 0.0)
    history.done(op, kv.PUT_ANSWER.pack(kv.PUT, 7, 1), 1.0)
    assert history.last_seen(KEY) == 7
