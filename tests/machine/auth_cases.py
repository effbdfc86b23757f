"""What a user may do who reads a..c, writes b..e, and reads and writes the keys `one` and `two`."""

from __future__ import annotations

from raftd.wire import alarms, kv, leases
from raftd.wire.auth import Kind, encode_auth
from raftd.wire.txn import EQUAL, VERSION, Compare, DeleteOp, PutOp, RangeOp, Txn, encode_txn

LEASE = 7
"""On it is a key that this user may not write."""

CLEARED = alarms.encode_alarm(alarms.Action.CLEAR, alarms.Alarm(alarms.Kind.NO_SPACE, ""))
READ_A, READ_D = RangeOp(b"a"), RangeOp(b"d")
PUT_B, PUT_F = PutOp(b"b"), PutOp(b"f")
NEVER = (Compare(b"a", VERSION, EQUAL, 99),)

COMMANDS: dict[str, tuple[bytes, bool]] = {
    "put in its range": (kv.encode_put(b"b", b""), True),
    "put at its start less one": (kv.encode_put(b"az", b""), False),
    "put at its end": (kv.encode_put(b"e", b""), False),
    "put before its end": (kv.encode_put(b"dzzz", b""), True),
    "put of a single key": (kv.encode_put(b"one", b""), True),
    "put behind a single key": (kv.encode_put(b"one\0", b""), False),
    "delete": (kv.encode_delete(b"b"), True),
    "delete elsewhere": (kv.encode_delete(b"a"), False),
    "compare and set where it reads and writes": (
        kv.encode_cas(b"b", b"", kv.expect_absent()), True,
    ),
    "compare and set where it only writes": (kv.encode_cas(b"d", b"", kv.expect_absent()), False),
    "batch": (kv.encode_batch_ops([(b"b", b""), (b"c", None)]), True),
    "batch of one too many": (kv.encode_batch_ops([(b"b", b""), (b"f", b"")]), False),
    "txn": (encode_txn(Txn((), (PUT_B, READ_A), ())), True),
    "txn: a compare that it may not read": (
        encode_txn(Txn((Compare(b"d", VERSION, EQUAL, 0),), (PUT_B,), ())), False,
    ),
    "txn: a compare of too wide a range": (
        encode_txn(Txn((Compare(b"a", VERSION, EQUAL, 0, b"", b"d"),), (PUT_B,), ())), False,
    ),
    "txn: then": (encode_txn(Txn((), (PUT_F,), ())), False),
    "txn: else, which does not run": (encode_txn(Txn((), (PUT_B,), (PUT_F,))), False),
    "txn: then, which does not run": (encode_txn(Txn(NEVER, (PUT_F,), (PUT_B,))), False),
    "txn: else reads": (encode_txn(Txn((), (PUT_B,), (READ_D,))), False),
    "txn: nested": (encode_txn(Txn((), (Txn((), (PUT_F,), ()),), ())), False),
    "txn: nested else": (encode_txn(Txn((), (Txn((), (PUT_B,), (PUT_F,)),), ())), False),
    "txn: nested, all its own": (encode_txn(Txn((), (Txn((), (PUT_B,), (READ_A,)),), ())), True),
    "txn: put with the previous where it reads": (
        encode_txn(Txn((), (PutOp(b"b", prev_kv=True),), ())), True,
    ),
    "txn: put with the previous where it only writes": (
        encode_txn(Txn((), (PutOp(b"d", prev_kv=True),), ())), False,
    ),
    "txn: delete of its range": (encode_txn(Txn((), (DeleteOp(b"b", b"e"),), ())), True),
    "txn: delete one further": (encode_txn(Txn((), (DeleteOp(b"b", b"e\0"),), ())), False),
    "txn: delete with the previous where it reads": (
        encode_txn(Txn((), (DeleteOp(b"b", b"c", True),), ())), True,
    ),
    "txn: delete with the previous where it only writes": (
        encode_txn(Txn((), (DeleteOp(b"b", b"e", True),), ())), False,
    ),
    "txn: delete of everything from its range on": (
        encode_txn(Txn((), (DeleteOp(b"b", b"\0"),), ())), False,
    ),
    "put on a lease with others' keys": (
        encode_txn(Txn((), (PutOp(b"b", b"", LEASE),), ())), False,
    ),
    "lease grant": (leases.encode_lease_grant(8, 60), True),
    "lease revoke with others' keys": (leases.encode_lease_revoke(LEASE), False),
    "lease expiry": (leases.encode_lease_expire([(LEASE, 1)]), False),
    "compaction": (leases.encode_compact(2), False),
    "alarm": (CLEARED, False),
    "auth": (encode_auth(Kind.USER_GRANT, b"ann", b"root"), False),
    "switching it off": (encode_auth(Kind.DISABLE), False),
}  # fmt: skip

QUERIES: dict[str, tuple[bytes, bool]] = {
    "get": (kv.encode_get(b"a"), True),
    "get where it only writes": (kv.encode_get(b"d"), False),
    "get where it may nothing": (kv.encode_get(b"f"), False),
    "prefix": (kv.encode_range(b"a"), True),
    "prefix behind its place": (kv.encode_range(b"", after=b"a"), False),
    "range over two permissions that meet": (encode_txn(Txn((), (RangeOp(b"a", b"c"),), ())), True),
    "range one further": (encode_txn(Txn((), (RangeOp(b"a", b"c\0"),), ())), False),
    "range over two that do not meet": (
        encode_txn(Txn((), (RangeOp(b"one", b"twoo"),), ())), False,
    ),
    "everything from a on": (encode_txn(Txn((), (RangeOp(b"a", b"\0"),), ())), False),
    "everything": (encode_txn(Txn((), (RangeOp(b"\0", b"\0"),), ())), False),
    "lease time": (leases.encode_lease_time_to_live(LEASE, False), True),
    "lease's keys": (leases.encode_lease_time_to_live(LEASE, True), False),
    "leases": (leases.encode_lease_list(), True),
    "how many keys there are in all": (leases.encode_status(), False),
    "alarms": (alarms.encode_alarms(), False),
}  # fmt: skip
