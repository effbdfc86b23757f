"""Holders of locks with fencing tokens, and leases that are left alone.

The client makes the key of a lock itself, under a lease of its own, so both are written down from
what it tells: the token is the revision at which the key was made.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress

from raftd.check.operations import (
    GET,
    GRANT,
    HOLD,
    PUT,
    RENEW,
    REVOKE,
    TXN,
    Compare,
    Item,
    Op,
    Part,
    Txn,
)  # fmt: skip
from raftd.client import Client, RaftdError
from raftd.client import operations as ops
from raftd.client.faces import held
from raftd.client.recipes.leases import draw_id
from raftd.client.recipes.locks import Ownership
from raftd.client.txn import put
from tests.chaos.book import Book

LOCKS = (b"lock/a", b"lock/b")
LOCK_TTL_S = 2
WAIT_SECONDS = 4.0
LEASE_TTL_S = 2
_drawn = threading.local()


def _draw_and_keep() -> int:
    lease = draw_id()
    _drawn.lease = lease
    return lease


setattr(held, "draw_id", _draw_and_keep)  # noqa: B010
"""So that a lease is known even where the lock was not to be had."""


class Holder:
    """Takes a lock, writes what it protects with its token, releases it or lets it go."""

    def __init__(self, name: str, client: Client, book: Book, seed: str) -> None:
        self._name = name
        self._client = client
        self._book = book
        self._draw = random.Random(seed)
        self._count = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._turn(self._draw.choice(LOCKS), stop)
            stop.wait(self._draw.uniform(0, 0.2))

    def _turn(self, lock_name: bytes, stop: threading.Event) -> None:
        lock = self._client.lock(lock_name, LOCK_TTL_S)
        begin, owner = time.monotonic(), None
        with suppress(RaftdError):
            owner = lock.acquire(WAIT_SECONDS)
        end = time.monotonic()
        lease, key = _drawn.lease, lock_name + b"/%x" % _drawn.lease
        self._book.write(self._op(GRANT, b"", begin, lease=lease, ttl=float(LOCK_TTL_S)))
        join = self._op(TXN, b"", begin)
        compare = Compare(key, "create_revision", "=")
        join.txn = Txn((compare,), (Part(PUT, key, b"", lease),), (Part(GET, key),))
        if owner is not None:
            join.ret, join.outcome, join.done, join.revision = end, "ok", True, owner.token
        self._book.write(join)
        if owner is not None:
            self._hold(lock_name, owner, stop)
        leaving = time.monotonic()
        lock.release()
        self._book.write(self._op(REVOKE, b"", leaving if owner else begin, lease=lease))

    def _hold(self, lock_name: bytes, owner: Ownership, stop: threading.Event) -> None:
        hold = self._op(HOLD, lock_name, time.monotonic(), token=owner.token)
        sure = 0.0
        for _ in range(self._draw.randint(1, 6)):
            now = time.monotonic()  # before the look: it was held then, if the look says so
            if not owner or stop.is_set():
                break
            sure = now
            self._write(lock_name, owner)
            stop.wait(self._draw.uniform(0, 0.4))
        if sure >= hold.call:
            hold.ret, hold.outcome = sure, "ok"
            self._book.write(hold)

    def _write(self, lock_name: bytes, owner: Ownership) -> None:
        self._count += 1
        key = b"guarded/" + lock_name
        value = b"%d by %s.%d" % (owner.token, self._name.encode(), self._count)
        op = self._op(TXN, b"", 0.0)
        compare = Compare(owner.key, "create_revision", "=", number=owner.token)
        op.txn = Txn((compare,), (Part(PUT, key, value),), ())

        def act() -> None:
            answer = self._client.txn(when=[owner.guard], then=[put(key, value)])
            op.revision, op.done = answer.revision, answer.succeeded

        self._book.do(op, act)

    def _op(
        self, kind: str, key: bytes, call: float, *, lease: int = 0, ttl: float = 0, token: int = 0
    ) -> Op:
        return Op(kind, key, call, client=self._name, lease=lease, ttl=ttl, token=token)


class Tenant:
    """Has a lease, puts a key under it, renews it some times, then revokes it or lets it end."""

    def __init__(self, name: str, client: Client, book: Book, seed: str) -> None:
        self._name = name
        self._client = client
        self._book = book
        self._draw = random.Random(seed)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._turn(draw_id(), stop)

    def _turn(self, lease: int, stop: threading.Event) -> None:
        key = b"leased/%x" % lease
        if not self._ask(self._op(GRANT, lease), float(LEASE_TTL_S)):
            return
        self._put(key, lease)
        for _ in range(self._draw.randint(0, 5)):
            stop.wait(self._draw.uniform(0.2, 0.8 * LEASE_TTL_S))
            self._ask(self._op(RENEW, lease), 0.0)
        if self._draw.random() < 0.3:
            self._revoke(lease)
        until = time.monotonic() + 2 * LEASE_TTL_S
        while time.monotonic() < until and not stop.is_set() and self._is_there(key):
            stop.wait(0.1)

    def _op(self, kind: str, lease: int = 0, key: bytes = b"") -> Op:
        return Op(kind, key, 0.0, client=self._name, lease=lease)

    def _ask(self, op: Op, ttl: float) -> bool:
        op.ttl = ttl

        def act() -> None:
            if op.kind == GRANT:
                granted = self._client.execute(ops.lease_grant(op.lease, LEASE_TTL_S))
                op.ttl = float(granted.answer.ttl_s)
            else:
                renewed = self._client.execute(ops.lease_renew(op.lease)).answer
                op.ttl, op.done = float(renewed.ttl_s), bool(renewed)

        return self._book.do(op, act)

    def _put(self, key: bytes, lease: int) -> None:
        op = self._op(PUT, lease, key)
        op.value = b"of %x" % lease

        def act() -> None:
            answer = self._client.put(key, b"of %x" % lease, lease=lease)
            op.revision, op.version = answer.revision, answer.version

        self._book.do(op, act)

    def _revoke(self, lease: int) -> None:
        op = self._op(REVOKE, lease)

        def act() -> None:
            op.revision = self._client.execute(ops.lease_revoke(lease)).answer.revision

        self._book.do(op, act)

    def _is_there(self, key: bytes) -> bool:
        op = self._op(GET, 0, key)

        def act() -> None:
            answer = self._client.get(key)
            op.revision = answer.revision
            if answer.kv is not None:
                pair = answer.kv
                op.found = Item(pair.value, pair.version, pair.mod_revision)

        return not self._book.do(op, act) or op.found is not None
