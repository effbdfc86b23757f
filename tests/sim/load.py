"""What a client asks for: which keys, which operation, and where the next page begins.

How much of it are batches, ranges and odd kinds of compare-and-set is the plan's. The choice of
what a read or a command becomes has a stream of its own: a seed's timing is the same without it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from raftd.check.operations import Expect
from raftd.wire import kv
from tests.sim.history import BATCH, CAS, DELETE, GET, PUT, RANGE, Op

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

BATCH_KEYS = tuple(b"m%d" % number for number in range(4))
"""Keys that only batches write, beside the plan's: a range passes from one group to the other."""
PREFIXES = (b"", b"", b"k", b"m", b"k1")
LIMITS = (0, 1, 1, 2, 3)
GO_ON = 0.85
"""Probability that the rest of a range is read as well."""


class Load:
    """One client's. rng: the client's own, which all that is older than batches draws from."""

    def __init__(self, cluster: Cluster, number: int, rng: random.Random) -> None:
        self._plan = cluster.plan
        self._world = cluster.world
        self._history = cluster.history
        self._number = number
        self._rng = rng
        self._own = cluster.world.stream(f"client {number} load")
        self._values = 0
        self._page: tuple[bytes, int, bytes] | None = None

    def command(self) -> tuple[Op, bytes]:
        rng = self._rng
        key = b"k%d" % rng.randrange(self._plan.keys)
        value = self._value()
        kind = rng.random()
        if self._own.random() < self._plan.batches:
            return self._batch(key, value)
        if kind < 0.7:
            return self._call(PUT, key, value), kv.encode_put(key, value)
        if kind < 0.78:
            return self._call(DELETE, key, None), kv.encode_delete(key)
        return self._cas(key, value)

    def _call(self, kind: str, key: bytes, value: bytes | None) -> Op:
        return self._history.call(self._number, kind, key, value, self._world.now)

    def _value(self) -> bytes:
        """No two are alike: a value that is seen says who wrote it."""
        self._values += 1
        return (b"c%d.%d" % (self._number, self._values)).ljust(self._plan.value_bytes, b".")

    def _batch(self, key: bytes, value: bytes) -> tuple[Op, bytes]:
        own = self._own
        keys = [*BATCH_KEYS, *(b"k%d" % number for number in range(self._plan.keys))]
        keys.remove(key)
        operations: list[tuple[bytes, bytes | None]] = [(key, value)]
        for other in own.sample(keys, own.randint(0, 4)):
            operations.append((other, self._value() if own.random() < 0.75 else None))
        own.shuffle(operations)
        history, now = self._history, self._world.now
        op = history.call(self._number, BATCH, b"", None, now, tuple(operations))
        return op, kv.encode_batch_ops(operations)

    def _cas(self, key: bytes, value: bytes) -> tuple[Op, bytes]:
        """Compares with the newest that any client has seen: about half of them succeed."""
        seen = self._history.last_seen(key)
        kind = "mod_revision"
        written: bytes | None = value
        if self._plan.cas_kinds:
            kind = self._own.choice(("mod_revision", "version", "value", "absent"))
            written = value if self._own.random() < 0.8 else None
        op = self._call(CAS, key, written)
        if kind == "absent" or (kind == "value" and seen is None):
            op.expect, expect = Expect("absent"), kv.expect_absent()
        elif kind == "value":
            assert seen is not None
            op.expect = Expect("value", seen.value or b"")
            expect = kv.expect_value(seen.value or b"")
        elif kind == "version":
            number = (seen.version or 0) if seen is not None else 0
            op.expect, expect = Expect(kind, number=number), kv.expect_version(number)
        else:
            number = (seen.mod_revision or 0) if seen is not None else 0
            op.expect, expect = Expect(kind, number=number), kv.expect_mod_revision(number)
        return op, kv.encode_cas(key, written, expect)

    # reads

    def read(self) -> tuple[Op, bytes]:
        key = b"k%d" % self._rng.randrange(self._plan.keys)
        if self._own.random() >= self._plan.ranges:
            return self._call(GET, key, None), kv.encode_get(key)
        if self._page is not None:
            prefix, limit, after = self._page
            self._page = None
            self._world.stats["pages after a page"] += 1
        else:
            prefix, limit, after = self._own.choice(PREFIXES), self._own.choice(LIMITS), b""
            if self._own.random() < 0.1:
                after = key
        op = self._call(RANGE, prefix, None)
        op.limit, op.after = limit, after
        return op, kv.encode_range(prefix, limit, after)

    def answered(self, op: Op) -> None:
        """The rest of a range is another read; what it shows is of another moment."""
        if op.more and op.items and self._own.random() < GO_ON:
            self._page = (op.key, op.limit, op.items[-1][0])
