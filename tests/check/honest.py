"""A store of its own, one step after the other, whose clients and watchers tell the truth."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

from raftd.check.history import History
from raftd.check.notices import BEGIN, EVENTS, PROGRESS, Change, Notice
from raftd.check.operations import (
    DELETE,
    GET,
    GRANT,
    HOLD,
    PUT,
    REVOKE,
    TXN,
    Branch,
    Compare,
    Item,
    Op,
    Part,
    Txn,
)  # fmt: skip

KEYS = tuple(b"k%d" % number for number in range(4))
TTL = 30.0


class Honest:
    """Shares nothing with the checker but the values that both speak of."""

    def __init__(self, seed: int, operations: int) -> None:
        self._random = Random(seed)
        self._count = operations
        self._now = 0.0
        self._revision = 1
        self._cells: dict[bytes, Item] = {}
        self._past: list[dict[bytes, Item]] = [{}, {}]
        self._log: list[tuple[float, list[Change]]] = []
        self._leases: dict[int, float] = {}
        self._ops: list[Op] = []

    def history(self) -> History:
        acts = (self._put, self._put, self._get, self._delete, self._txn, self._txn, self._past_get)
        for number in range(self._count):
            self._expire()
            if number % 20 == 5:
                self._grant()
            elif number % 20 == 15:
                self._revoke()
            else:
                self._random.choice(acts)(number)
        for token in range(1, 4):
            begin = token * 10.0
            self._ops.append(Op(HOLD, b"lock", begin, begin + 9, "ok", token=token))
        watches = [n for name in ("w0", "w1", "w2") for n in self._watch(name)]
        return History(self._ops, watches)

    # -- operations -----------------------------------------------------------------------------

    def _op(self, kind: str, key: bytes = b"") -> Op:
        """It is done between call and return, which touch those of others."""
        self._now += 1.0
        back, ahead = self._random.random(), self._random.random()
        op = Op(kind, key, self._now - back, self._now + ahead, "ok", "c")
        self._ops.append(op)
        return op

    def _finish(self, op: Op, changes: dict[bytes, Item | None]) -> None:
        self._commit(changes)
        op.revision = self._revision
        if changes and self._random.random() < 0.1:
            op.outcome, op.ret, op.revision = "unknown", float("inf"), None
            op.version = op.done = op.branch = None

    def _commit(self, changes: dict[bytes, Item | None]) -> None:
        if not changes:
            return
        self._revision += 1
        told = []
        for key, item in changes.items():
            told.append(Change(key, self._revision, item, self._cells.get(key), True))
            self._cells.pop(key, None)
            if item is not None:
                self._cells[key] = item
        self._past.append(dict(self._cells))
        self._log.append((self._now, told))

    def _made(self, key: bytes, value: bytes, lease: int = 0) -> Item:
        old, revision = self._cells.get(key), self._revision + 1
        if old is None:
            return Item(value, 1, revision, revision, lease)
        return Item(value, (old.version or 0) + 1, revision, old.create_revision, lease)

    def _put(self, number: int) -> None:
        op = self._op(PUT, self._random.choice(KEYS))
        op.value = b"v%d" % number
        op.lease = self._lease() if self._random.random() < 0.3 else 0
        item = self._made(op.key, op.value, op.lease)
        op.version = item.version
        self._finish(op, {op.key: item})

    def _get(self, number: int) -> None:
        op = self._op(GET, self._random.choice(KEYS))
        op.found = self._cells.get(op.key)
        self._finish(op, {})

    def _past_get(self, number: int) -> None:
        op = self._op(GET, self._random.choice(KEYS))
        op.at = self._random.randint(1, self._revision)
        op.found = self._past[op.at].get(op.key)
        self._finish(op, {})

    def _delete(self, number: int) -> None:
        op = self._op(DELETE, self._random.choice(KEYS))
        op.done = op.key in self._cells
        self._finish(op, {op.key: None} if op.done else {})

    def _txn(self, number: int) -> None:
        """Compare one key; put two others and read one, or delete one in a transaction within."""
        op, (one, two, three) = self._op(TXN), self._random.sample(KEYS, 3)
        cell = self._cells.get(three)
        version = cell.version if cell is not None else 0
        wanted = self._random.choice((version, 1))
        inner = Txn((), (Part(DELETE, two),), ())
        value, lease = b"t%d" % number, self._lease()
        puts = (Part(PUT, one, value, lease), Part(PUT, two, value), Part(GET, one))
        op.txn = Txn(
            (Compare(three, "version", "=", number=wanted or 0),), puts, (Part(TXN, txn=inner),)
        )
        op.done = wanted == version
        if op.done:
            changes: dict[bytes, Item | None] = {
                one: self._made(one, value, lease), two: self._made(two, value)
            }  # fmt: skip
            op.branch = Branch(True, (None, None, changes[one]))
        else:
            there = two in self._cells
            changes = {two: None} if there else {}
            op.branch = Branch(False, (Branch(True, (int(there),)),))
        self._finish(op, changes)

    # -- leases ---------------------------------------------------------------------------------

    def _lease(self) -> int:
        return self._random.choice([0, *self._leases])

    def _grant(self) -> None:
        op = self._op(GRANT)
        op.lease, op.ttl = len(self._ops), TTL
        self._leases[op.lease] = self._now + TTL

    def _revoke(self) -> None:
        if self._leases:
            op = self._op(REVOKE)
            op.lease, op.done = self._random.choice([*self._leases]), True
            self._finish(op, self._end(op.lease))

    def _end(self, lease: int) -> dict[bytes, Item | None]:
        del self._leases[lease]
        return {key: None for key, item in self._cells.items() if item.lease == lease}

    def _expire(self) -> None:
        for lease in [lease for lease, end in self._leases.items() if end < self._now]:
            self._commit(self._end(lease))

    # -- watchers -------------------------------------------------------------------------------

    def _watch(self, name: str) -> list[Notice]:
        """Some of one key, some of all; it resumes now and then."""
        random, key = self._random, self._random.choice((b"k", b"k1", b""))
        begin = Notice(name, BEGIN, 0.0, 2, key, prefix=key != b"k1", previous=True)
        if name == "w0":
            begin.key, begin.prefix = b"", True
        notices = [begin]
        for revision, (when, told) in enumerate(self._log, 2):
            wanted = tuple(
                one for one in told if one.key.startswith(begin.key) or one.key == begin.key
            )
            if wanted:
                notices.append(Notice(name, EVENTS, when + 3, changes=wanted))
            if random.random() < 0.1:
                notices.append(Notice(name, PROGRESS, when + 4, revision))
            elif random.random() < 0.1:
                notices.append(replace(begin, time=when + 4, revision=revision + 1))
        return notices

    # -- lies -----------------------------------------------------------------------------------

    def spoil(self, history: History) -> str:
        """One thing that a watcher of all keys was told, or was not told, is made wrong."""
        told = [n for n in history.watches if n.watch == "w0"]
        deliveries = [a for a, b in pairwise(told) if a.kind == EVENTS and b.kind != BEGIN]
        one = self._random.choice(deliveries)  # what is left out before a beginning nobody misses
        at = history.watches.index(one)
        what = self._random.randrange(4)
        if what == 0:
            del history.watches[at]
        elif what == 1:
            history.watches.insert(at, one)
        elif what == 2:
            first = one.changes[0]
            lie = Item(b"lie", 1, first.revision) if first.item is None else None
            one.changes = (first._replace(item=lie), *one.changes[1:])
        else:
            first = one.changes[0]
            lie = Item(b"lie") if first.previous is None else None
            one.changes = (first._replace(previous=lie), *one.changes[1:])
        return f"{('left out', 'twice', 'another value', 'another previous')[what]}: {one}"
