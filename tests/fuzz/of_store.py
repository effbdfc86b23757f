"""Targets: the built-in store's commands, queries, answers and snapshots."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

from raftd.machine.kv import commands
from raftd.machine.kv import snapshot as kv_snapshot
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError, SnapshotFormatError
from raftd.wire import auth, kv, leases, txn, txn_answers
from raftd.wire.errors import WireError
from tests.fuzz.target import Target


def _record(found: kv.KeyValue | None) -> tuple[bytes, bytes | None]:
    if found is None:
        return b"", None
    head = kv.RECORD_HEAD.pack(found.create_revision, found.mod_revision, found.version)
    return found.key, head + found.value


def _pairs(found: list[kv.KeyValue]) -> list[bytes]:
    return [commands.encode_pair(*_record(one)) for one in found]


ANSWERS: dict[int, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    kv.PUT: (kv.decode_put, lambda got: kv.PUT_ANSWER.pack(kv.PUT, *got)),
    kv.DELETE: (kv.decode_delete, lambda got: commands.encode_delete(*got)),
    kv.CAS: (
        kv.decode_cas,
        lambda got: commands.encode_cas(got.revision, got.succeeded, *_record(got.current)),
    ),
    kv.BATCH: (kv.decode_batch_ops, lambda got: commands.encode_batch_ops(*got)),
    kv.GET: (kv.decode_get, lambda got: commands.encode_get(got.revision, *_record(got.kv))),
    kv.RANGE: (
        kv.decode_range,
        lambda got: commands.encode_range(got.revision, got.more, len(got.kvs), _pairs(got.kvs)),
    ),
}


def kv_answer(data: bytes) -> None:
    """What the client decodes. Flags may be any number but 0, so not always the same bytes."""
    for number, (decode, _) in ANSWERS.items():
        if data[:1] == bytes((number,)):
            continue
        try:
            decode(data)
        except WireError:
            continue
        raise AssertionError(f"an answer of kind {data[:1].hex()} was taken for one of {number}")
    decode, encode = ANSWERS.get(data[0] if data else 0, ANSWERS[kv.PUT])
    found = decode(data)
    assert decode(encode(found)) == found


STORE_ANSWERS: dict[int, Callable[[bytes], object]] = {
    auth.AUTH: auth.decode_auth_answer,
    txn.TXN: txn_answers.decode_txn_answer,
    leases.COMPACT: leases.decode_compact_answer,
    leases.LEASE_GRANT: leases.decode_grant_answer,
    leases.LEASE_REVOKE: leases.decode_revoke_answer,
    leases.LEASE_EXPIRE: leases.decode_revoke_answer,
}


def kv_command(data: bytes) -> None:
    """What the store decodes; the client's encoder must give the same bytes or mean the same."""
    operation = data[0] if data else 0
    if operation == kv.CAS:
        cas = commands.decode_cas(data)
        expect = kv.Expect(cas.kind, cas.number, cas.expected)
        assert kv.encode_cas(cas.key, cas.value, expect) == data
    elif operation == kv.BATCH:
        assert kv.encode_batch_ops(commands.decode_batch_ops(data)) == data
    elif operation in (kv.DELETE, kv.GET):
        encode = kv.encode_delete if operation == kv.DELETE else kv.encode_get
        assert encode(commands.decode_key(data)) == data
    elif operation == auth.AUTH:
        with contextlib.suppress(WireError):
            kind, fields = auth.decode_auth(data)
            assert auth.encode_auth(kind, *fields) == data
    elif operation == txn.TXN:
        with contextlib.suppress(WireError):
            assert txn.encode_txn(txn.decode_txn(data)) == data
    elif operation == kv.RANGE:
        wanted = commands.decode_range(data)
        again = kv.encode_range(wanted.prefix, wanted.limit, wanted.after)
        assert commands.decode_range(again) == wanted
    store = KvStore()
    before = store.revision
    if operation in (kv.GET, kv.RANGE):
        ANSWERS[operation][0](store.query(data))
    elif operation in STORE_ANSWERS:
        STORE_ANSWERS[operation](store.apply(data))
        with contextlib.suppress(MachineError):
            STORE_ANSWERS[operation](store.query(data))
    else:
        ANSWERS.get(operation, ANSWERS[kv.PUT])[0](store.apply(data))
    assert store.revision in (before, before + 1)


class Trickle(io.RawIOBase):
    """Gives what it has in small pieces, and will not be asked for more than a snapshot may be."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 4 << 20, f"asked for {size} bytes at once: a length was believed"
        return self._data.read(min(size, 100))


def store_restore(data: bytes) -> None:
    store = KvStore()
    store.restore(Trickle(data))  # type: ignore[arg-type]
    captured = b"".join(store.capture())
    if data[:4] == kv_snapshot.MAGIC_1:
        again = KvStore()
        again.restore(Trickle(captured))  # type: ignore[arg-type]
        assert b"".join(again.capture()) == captured
    else:
        assert captured == data
    for _ in store.changes(store.history.first - 1):
        pass
    kv.decode_range(store.query(kv.encode_range(b"", 5)))


CAS = kv.encode_cas(b"key", b"new", kv.expect_value(b"old"))
TRANSACTION = txn.encode_txn(
    txn.Txn(
        [txn.Compare(b"a", txn.VALUE, txn.LESS, value=b"z"), txn.Compare(b"a", 0, 1, 0, b"", b"c")],
        [txn.PutOp(b"a", b"1", prev_kv=True), txn.RangeOp(b"a", b"\0", 2, 0, txn.DESCEND)],
        [txn.DeleteOp(b"b", b"d", True), txn.Txn([], [], [txn.PutOp(b"e", ignore_lease=True)])],
    )
)
ATOMIC = kv.encode_batch_ops([(b"a", b"1"), (b"b", None)])
PAIR = commands.encode_pair(b"key", kv.RECORD_HEAD.pack(2, 3, 1) + b"value")


SNAPSHOT_1 = (
    kv_snapshot.MAGIC_1
    + kv_snapshot.HEAD_1.pack(4, 2)
    + commands.encode_pair(b"a", kv.RECORD_HEAD.pack(2, 2, 1))
    + commands.encode_pair(b"b", kv.RECORD_HEAD.pack(3, 4, 2) + b"value")
)


def _lived() -> bytes:
    """A store with a history, a deleted key and a lease."""
    store = KvStore()
    ops: list[txn.Op] = [txn.PutOp(b"b", b"2", 7), txn.DeleteOp(b"a")]
    for command in (
        kv.encode_put(b"a", b"1"),
        leases.encode_lease_grant(7, 60),
        kv.encode_put(b"a", b"2"),
        txn.encode_txn(txn.Txn([], ops)),
        leases.encode_compact(3),
    ):
        store.apply(command)
    return b"".join(store.capture())


def _with_users() -> bytes:
    store = KvStore()
    kind, permission = auth.Kind, (bytes((auth.Access.READ,)), b"a", b"b")
    for command in (
        auth.encode_auth(kind.USER_ADD, b"root", b"hash"),
        auth.encode_auth(kind.ROLE_ADD, b"some"),
        auth.encode_auth(kind.ROLE_GRANT, b"some", *permission),
        auth.encode_auth(kind.USER_GRANT, b"root", b"root"),
        auth.encode_auth(kind.USER_GRANT, b"root", b"some"),
        auth.encode_auth(kind.ENABLE, bytes(32)),
    ):
        store.apply(command)
    return b"".join(store.capture())


SNAPSHOT = _lived()
SNAPSHOT_3 = _with_users()

TARGETS = (
    Target(
        "kv-answer",
        kv_answer,
        (WireError,),
        (
            kv.PUT_ANSWER.pack(kv.PUT, 5, 2),
            commands.encode_delete(5, True),
            commands.encode_cas(5, False, b"key", kv.RECORD_HEAD.pack(2, 3, 1) + b"value"),
            commands.encode_batch_ops(5, [1, 0]),
            commands.encode_get(5, b"key", None),
            commands.encode_range(5, True, 2, [PAIR, PAIR]),
        ),
        ("raftd/wire/kv.py",),
    ),
    Target(
        "kv-command",
        kv_command,
        (MachineError,),
        (
            kv.encode_put(b"key", b"value"),
            kv.encode_delete(b"key"),
            CAS,
            kv.encode_cas(b"key", None, kv.expect_version(0)),
            ATOMIC,
            kv.encode_get(b"key"),
            kv.encode_range(b"k", 10, b"ka"),
            TRANSACTION,
            leases.encode_lease_grant(7, 60),
            auth.encode_auth(auth.Kind.USER_ADD, b"ann", b"hash"),
            auth.encode_auth(auth.Kind.ENABLE, bytes(32)),
        ),
        (
            "raftd/machine/kv/auth.py",
            "raftd/machine/kv/commands.py",
            "raftd/machine/kv/store.py",
            "raftd/machine/kv/transactions.py",
            "raftd/wire/auth.py",
            "raftd/wire/kv.py",
            "raftd/wire/txn.py",
        ),
    ),
    Target(
        "store-snapshot",
        store_restore,
        (SnapshotFormatError,),
        (SNAPSHOT, SNAPSHOT_1, SNAPSHOT_3),
        ("raftd/machine/kv/auth_snapshot.py", "raftd/machine/kv/snapshot.py"),
        (b"rkv1", b"rkv2", b"rkv3"),
    ),
)
