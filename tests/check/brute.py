"""The definition of linearizable, tried out: every order, every choice of unknown operations.

Shares nothing with raftd.check but the operations: its own store, its own way. For five operations
or so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

from raftd.check.operations import Op

Store = dict[bytes, tuple[bytes, int, int]]
"""key -> (value, version, mod_revision)"""


def linearizable(ops: Sequence[Op], *, revisions: bool, start: int = 1) -> bool:
    """revisions: every answer's revision has to be explained too."""
    needed = [op for op in ops if op.outcome == "ok"]
    perhaps = [op for op in ops if op.outcome == "unknown"]
    for count in range(len(perhaps) + 1):
        for chosen in combinations(perhaps, count):
            for order in permutations([*needed, *chosen]):
                if _in_time(order) and _explains(order, revisions, start):
                    return True
    return False


def _in_time(order: Sequence[Op]) -> bool:
    return all(
        not later.ret < earlier.call
        for at, earlier in enumerate(order)
        for later in order[at + 1 :]
    )


def _explains(order: Sequence[Op], revisions: bool, start: int) -> bool:
    store: Store = {}
    revision = start
    for op in order:
        changed, agrees = execute(op, store, revision + 1)
        revision += changed
        told = op.outcome == "ok" and revisions and op.revision is not None
        if not agrees or (told and op.revision != revision):
            return False
    return True


def execute(op: Op, store: Store, revision: int) -> tuple[bool, bool]:
    """Do it to the store. (whether it changed anything, whether the answer agrees)"""
    known = op.outcome == "ok"
    old = store.get(op.key)
    if op.kind == "get":
        return False, not known or _same(op, old)
    if op.kind == "range":
        return False, not known or _same_range(op, store)
    if op.kind == "put":
        assert op.value is not None
        store[op.key] = (op.value, old[1] + 1 if old else 1, revision)
        return True, op.version is None or op.version == store[op.key][1]
    if op.kind == "delete":
        store.pop(op.key, None)
        return old is not None, op.done is None or op.done == (old is not None)
    if op.kind == "batch":
        changed = False
        for key, value in op.operations:
            before = store.pop(key, None)
            changed |= value is not None or before is not None
            if value is not None:
                store[key] = (value, before[1] + 1 if before else 1, revision)
        return changed, True
    return _compare_and_set(op, store, old, revision)


def _compare_and_set(
    op: Op, store: Store, old: tuple[bytes, int, int] | None, revision: int
) -> tuple[bool, bool]:
    assert op.expect is not None
    if op.expect.kind == "absent":
        holds = old is None
    elif op.expect.kind == "value":
        holds = old is not None and old[0] == op.expect.value
    else:
        number = (old or (b"", 0, 0))[1 if op.expect.kind == "version" else 2]
        holds = number == op.expect.number
    agrees = op.done is None or op.done == holds
    if not holds:
        return False, agrees and (not op.told or _same(op, old))
    store.pop(op.key, None)
    if op.value is not None:
        store[op.key] = (op.value, old[1] + 1 if old else 1, revision)
    return op.value is not None or old is not None, agrees


def _same(op: Op, old: tuple[bytes, int, int] | None) -> bool:
    found = op.found
    if found is None or old is None:
        return found is None and old is None
    return (
        found.value in (None, old[0])
        and found.version in (None, old[1])
        and found.mod_revision in (None, old[2])
    )


def _same_range(op: Op, store: Store) -> bool:
    there = [
        key for key in sorted(store) if key.startswith(op.key) and (not op.after or key > op.after)
    ]
    wanted = there[: op.limit or None]
    if op.more is not None and op.more != (len(there) > len(wanted)):
        return False
    return [(key, item.value) for key, item in op.items] == [(key, store[key][0]) for key in wanted]


def interval_orders(count: int) -> Iterator[list[tuple[int, int]]]:
    """(call, ret) for `count` operations: every way in which they can follow or overlap each
    other, once, up to exchanging operations."""
    seen: set[tuple[frozenset[int], ...]] = set()
    for events in _matchings(count):
        before = tuple(
            frozenset(i for i in range(count) if events[i][1] < events[j][0]) for j in range(count)
        )
        alike = _canonical(before, count)
        if alike not in seen:
            seen.add(alike)
            yield events


def _canonical(before: tuple[frozenset[int], ...], count: int) -> tuple[frozenset[int], ...]:
    names = []
    for order in permutations(range(count)):
        place = {old: new for new, old in enumerate(order)}
        names.append(tuple(frozenset(place[i] for i in before[old]) for old in order))
    return min(names, key=lambda name: [sorted(part) for part in name])


def _matchings(count: int) -> Iterator[list[tuple[int, int]]]:
    """Every way to pair 2 * count moments into (call, ret), calls ascending."""

    def pair(free: list[int]) -> Iterator[list[tuple[int, int]]]:
        if not free:
            yield []
            return
        for at in range(1, len(free)):
            for rest in pair(free[1:at] + free[at + 1 :]):
                yield [(free[0], free[at]), *rest]

    yield from pair(list(range(2 * count)))
