"""Random commands and queries of the store, such that they meet each other: few keys and leases."""

from __future__ import annotations

import random

from raftd.wire import kv, leases, txn
from raftd.wire.errors import WireError

ENDS = (b"", b"", b"", b"\0", b"k3", b"k6", b"l")
LEASES = (1, 2, -3)


def key(rng: random.Random) -> bytes:
    return rng.choice((b"k%d", b"l%d")) % rng.randrange(8)


def command(rng: random.Random, revision: int) -> bytes:
    """revision: the store's, so that some requests are about its past."""
    number = rng.random()
    if number < 0.2:
        return kv.encode_put(key(rng), rng.randbytes(2))
    if number < 0.26:
        return kv.encode_delete(key(rng))
    if number < 0.32:
        expect = rng.choice(
            (
                kv.expect_absent(),
                kv.expect_version(rng.randrange(3)),
                kv.expect_mod_revision(max(revision - rng.randrange(4), 0)),
                kv.expect_value(rng.randbytes(1)),
            )
        )
        return kv.encode_cas(key(rng), rng.choice((None, rng.randbytes(2))), expect)
    if number < 0.37:
        wanted = {key(rng): rng.choice((None, rng.randbytes(2))) for _ in range(3)}
        return kv.encode_batch_ops(list(wanted.items()))
    if number < 0.42:
        return leases.encode_lease_grant(rng.choice(LEASES), rng.randrange(1, 9))
    if number < 0.46:
        return leases.encode_lease_revoke(rng.choice(LEASES))
    if number < 0.48:
        ended = [(lease, rng.randrange(1, 30)) for lease in rng.sample(LEASES, 2)]
        return leases.encode_lease_expire(ended)
    if number < 0.5:
        return leases.encode_compact(max(revision - rng.randrange(-1, 12), 0))
    return transaction(rng, revision, writes=True)


def query(rng: random.Random, revision: int) -> bytes:
    if rng.random() < 0.1:
        return rng.choice((kv.encode_get(key(rng)), leases.encode_lease_list()))
    return transaction(rng, revision, writes=False)


def transaction(rng: random.Random, revision: int, *, writes: bool) -> bytes:
    while True:
        try:
            return txn.encode_txn(_txn(rng, revision, writes, 0))
        except WireError:
            continue  # it would write a key twice


def _txn(rng: random.Random, revision: int, writes: bool, depth: int) -> txn.Txn:
    compares = [_compare(rng, revision) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
    branches = [
        [_op(rng, revision, writes, depth) for _ in range(rng.randrange(4))] for _ in range(2)
    ]
    return txn.Txn(compares, *branches)


def _compare(rng: random.Random, revision: int) -> txn.Compare:
    target, result = rng.randrange(5), rng.randrange(4)
    if target == txn.VALUE:
        return txn.Compare(key(rng), target, result, 0, rng.randbytes(2), rng.choice(ENDS))
    number = {
        txn.VERSION: rng.randrange(3),
        txn.LEASE: rng.choice((0, *LEASES)),
    }.get(target, max(revision - rng.randrange(10), 0))
    return txn.Compare(key(rng), target, result, number, b"", rng.choice(ENDS))


def _op(rng: random.Random, revision: int, writes: bool, depth: int) -> txn.Op:
    number = rng.random()
    if number < 0.15 and depth < 3:
        return _txn(rng, revision, writes, depth + 1)
    if writes and number < 0.55:
        lease = rng.choice((0, 0, *LEASES))
        ignores = rng.random() < 0.1, rng.random() < 0.1
        value = b"" if ignores[0] else rng.randbytes(2)
        return txn.PutOp(key(rng), value, 0 if ignores[1] else lease, rng.random() < 0.3, *ignores)
    if writes and number < 0.7:
        return txn.DeleteOp(key(rng), rng.choice(ENDS), rng.random() < 0.5)
    return txn.RangeOp(
        key(rng) if rng.random() < 0.8 else b"\0",
        rng.choice(ENDS),
        rng.choice((0, 0, 1, 2, 5)),
        rng.choice((0, 0, max(revision - rng.randrange(-1, 15), 0))),
        rng.randrange(3),
        rng.choice((0, 1, 2, 3, 5, 5)),
        rng.random() < 0.1,
        rng.random() < 0.1,
        *(rng.choice((0, 0, 0, max(revision - rng.randrange(20), 0))) for _ in range(4)),
    )
