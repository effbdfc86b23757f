"""Random histories of a made-up store: honest ones, and the same with one thing wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from raftd.check.operations import INFINITY, Expect, Item, Op
from tests.check.brute import Store

KEYS = (b"k0", b"k1", b"k2")


@dataclass(frozen=True)
class Shape:
    """What a history looks like. values: how many different ones are written; 0: each once."""

    ops: int = 8
    clients: int = 3
    keys: int = 2
    values: int = 3
    unknown: float = 0.2
    versions: bool = True


class Maker:
    """Clients of one store, which does each operation at some moment between call and return."""

    def __init__(self, random: Random, shape: Shape) -> None:
        self._random = random
        self._shape = shape
        self._store: Store = {}
        self._revision = 1
        self._written = 0

    def history(self) -> list[Op]:
        shape, random = self._shape, self._random
        free = [0.0] * shape.clients
        ops: list[Op] = []
        moments: list[tuple[float, int]] = []
        for number in range(shape.ops):
            client = random.randrange(shape.clients)
            call = free[client] + random.random()
            moment = call + random.random() * 2
            free[client] = moment + random.random() * 2
            op = replace(self._request(), call=call, ret=free[client], client=f"c{client}")
            ops.append(op)
            if random.random() < shape.unknown:
                op.outcome, op.ret = "unknown", INFINITY
                moment += random.random() * 6
                if random.random() < 0.4:
                    continue  # it never happens
            moments.append((moment, number))
        for _, number in sorted(moments):
            self._do(ops[number])
        return ops

    def _key(self) -> bytes:
        return b"k%d" % self._random.randrange(self._shape.keys)

    def _value(self) -> bytes:
        self._written += 1
        values = self._shape.values
        return b"v%d" % (self._random.randrange(values) if values else self._written)

    def _request(self) -> Op:
        random = self._random
        kind = random.choices(
            ("put", "get", "delete", "cas", "range", "batch"), (6, 6, 2, 3, 1, 2)
        )[0]
        op = Op(kind, self._key() if kind != "range" else b"k", 0.0, 0.0, "ok")
        if kind == "put":
            op.value = self._value()
        elif kind == "cas":
            op.value = self._value() if random.random() < 0.8 else None
            op.expect = self._expect()
        elif kind == "batch":
            keys = random.sample(range(self._shape.keys), random.randint(1, self._shape.keys))
            op.operations = tuple(
                (b"k%d" % key, self._value() if random.random() < 0.6 else None) for key in keys
            )
            op.key = b""
        elif kind == "range" and random.random() < 0.3:
            op.limit = 1
        return op

    def _expect(self) -> Expect:
        kind = self._random.choice(("absent", "value", "version", "mod_revision"))
        number = self._random.randrange(4 if kind == "version" else 1 + self._shape.ops)
        if kind == "value":
            return Expect(kind, b"v%d" % self._random.randrange(3))
        return Expect(kind, number=number if kind != "absent" else 0)

    # -- the store ----------------------------------------------------------------------------

    def _do(self, op: Op) -> None:
        old = self._store.get(op.key)
        changed = False
        if op.kind == "put" or (op.kind == "cas" and self._holds(op, old)):
            changed = self._write(op.key, op.value)
            op.done = True if op.kind == "cas" else None
            if op.value is not None and self._shape.versions:
                op.version = self._store[op.key][1]
        elif op.kind == "get":
            op.found = self._item(old)
        elif op.kind == "cas":
            op.done, op.told, op.found = False, True, self._item(old)
        elif op.kind == "delete":
            op.done = changed = self._write(op.key, None)
        elif op.kind == "batch":
            changes = [self._write(key, value) for key, value in op.operations]
            changed = any(changes)
        else:
            there = [(key, self._item(self._store[key])) for key in sorted(self._store)]
            op.items = tuple(there[: op.limit or None])  # type: ignore[arg-type]
            op.more = len(there) > len(op.items)
        self._revision += changed
        op.revision = self._revision
        if op.outcome == "unknown":
            op.revision = op.version = op.done = op.found = op.more = None
            op.told, op.items = False, ()

    def _holds(self, op: Op, old: tuple[bytes, int, int] | None) -> bool:
        assert op.expect is not None
        value, version, mod = old or (None, 0, 0)
        kind, wanted, number = op.expect
        if kind == "absent":
            return old is None
        return (
            value == wanted if kind == "value" else number == (version if kind[0] == "v" else mod)
        )

    def _write(self, key: bytes, value: bytes | None) -> bool:
        old = self._store.pop(key, None)
        if value is not None:
            self._store[key] = (value, old[1] + 1 if old else 1, self._revision + 1)
        return value is not None or old is not None

    def _item(self, old: tuple[bytes, int, int] | None) -> Item | None:
        if old is None or self._shape.versions:
            return Item(*old) if old is not None else None
        return Item(old[0], None, old[2])


def spoil(ops: list[Op], random: Random) -> list[Op]:
    """One thing changed in one answer or in time. Often, not always, that cannot be explained."""
    spoilt = [replace(op) for op in ops]
    known = [op for op in spoilt if op.outcome == "ok"]
    if not known:
        return spoilt
    op = random.choice(known)
    what = random.randrange(6)
    if what == 0 and op.revision is not None:
        op.revision = max(1, op.revision + random.choice((-2, -1, 1)))
    elif what == 1 and op.kind == "get":
        op.found = random.choice([other.found for other in known if other.kind == "get"])
    elif what == 2:
        shift = random.choice((-4.0, -1.5, 1.5, 4.0))
        op.call, op.ret = op.call + shift, op.ret + shift
    elif what == 3 and op.kind in ("delete", "cas"):
        op.done, op.told = not op.done, False
    elif what == 4 and op.items:
        op.items = op.items[1:]
    else:
        op.outcome = "fail"
    return spoilt
