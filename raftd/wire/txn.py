"""Transactions of the built-in store: compare, then, else [frozen formats, little-endian].

    command   5 (TXN), format u8 = 1, body; the same bytes are a query if nothing in it writes
    body      compares u16, then u16, else u16, compares, operations of then, of else
    compare   target u8, result u8, key length u16, range_end length u16, number i64,
              value length u32, key, range_end, value
    range     1, key length u16, range_end length u16, limit u64, revision i64, order u8, sort u8,
              flags u8, min mod, max mod, min create, max create (i64 each), key, range_end
    put       2, key length u16, value length u32, lease i64, flags u8, key, value
    delete    3, key length u16, range_end length u16, flags u8, key, range_end
    txn       4, body

A single put with options, a delete of a range and a read at a revision are transactions without
compares, of one operation. The answers are in `txn_answers`. Any thread, no I/O. What is malformed,
over a limit or writes a key twice raises WireError, one line.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Final

from raftd.wire.errors import WireError
from raftd.wire.kv import KEY_BYTES_MAX, OPERATIONS_BYTES_MAX, OPERATIONS_MAX, VALUE_BYTES_MAX
from raftd.wire.refusals import TOO_MANY_OPERATIONS
from raftd.wire.txn_rules import check_writes
from raftd.wire.txn_types import ASCEND as ASCEND
from raftd.wire.txn_types import CREATE_REVISION as CREATE_REVISION
from raftd.wire.txn_types import DESCEND as DESCEND
from raftd.wire.txn_types import EQUAL as EQUAL
from raftd.wire.txn_types import GREATER as GREATER
from raftd.wire.txn_types import KEY as KEY
from raftd.wire.txn_types import LEASE as LEASE
from raftd.wire.txn_types import LESS as LESS
from raftd.wire.txn_types import MOD_REVISION as MOD_REVISION
from raftd.wire.txn_types import NO_ORDER as NO_ORDER
from raftd.wire.txn_types import NOT_EQUAL as NOT_EQUAL
from raftd.wire.txn_types import VALUE as VALUE
from raftd.wire.txn_types import VERSION as VERSION
from raftd.wire.txn_types import Compare as Compare
from raftd.wire.txn_types import DeleteOp as DeleteOp
from raftd.wire.txn_types import Op as Op
from raftd.wire.txn_types import PutOp as PutOp
from raftd.wire.txn_types import RangeOp as RangeOp
from raftd.wire.txn_types import Txn as Txn

TXN: Final = 5
FORMAT: Final = 1

DEPTH_MAX: Final = 32
"""Transactions within transactions; each level is a call in whoever walks through them."""

RANGE_OP: Final = 1
PUT_OP: Final = 2
DELETE_OP: Final = 3
TXN_OP: Final = 4

_KEYS_ONLY, _COUNT_ONLY = 1, 2
_PREV_KV, _IGNORE_VALUE, _IGNORE_LEASE = 1, 2, 4

HEAD: Final = Struct("<BB")
BODY_HEAD: Final = Struct("<HHH")
COMPARE_HEAD: Final = Struct("<BBHHqI")
RANGE_OP_HEAD: Final = Struct("<BHHQqBBBqqqq")
PUT_OP_HEAD: Final = Struct("<BHIqB")
DELETE_OP_HEAD: Final = Struct("<BHHB")


def encode_txn(txn: Txn) -> bytes:
    """The command, or the query. Raises WireError if a rule or a limit of this module is broken."""
    parts = [HEAD.pack(TXN, FORMAT)]
    try:
        _encode_body(txn, parts)
    except StructError as error:
        raise WireError(f"transaction: a number does not fit: {error}") from None
    command = b"".join(parts)
    if len(command) > OPERATIONS_BYTES_MAX:
        raise WireError(
            f"transaction: {len(command)} bytes, the limit is {OPERATIONS_BYTES_MAX}; split it"
        )
    decode_txn(command)
    return command


def _encode_body(txn: Txn, parts: list[bytes]) -> None:
    counts = len(txn.compares), len(txn.success), len(txn.failure)
    if max(counts) > OPERATIONS_MAX:
        raise _too_many()
    parts.append(BODY_HEAD.pack(*counts))
    for compare in txn.compares:
        key, target, result, number, value, range_end = compare
        sizes = len(key), len(range_end), number, len(value)
        parts += (COMPARE_HEAD.pack(target, result, *sizes), key, range_end, value)
    for op in (*txn.success, *txn.failure):
        _encode_op(op, parts)


def _encode_op(op: Op, parts: list[bytes]) -> None:
    if isinstance(op, RangeOp):
        flags = _KEYS_ONLY * op.keys_only | _COUNT_ONLY * op.count_only
        sizes = len(op.key), len(op.range_end)
        head = RANGE_OP_HEAD.pack(
            RANGE_OP, *sizes, op.limit, op.revision, op.order, op.sort, flags, *op[8:]
        )
        parts += (head, op.key, op.range_end)
    elif isinstance(op, PutOp):
        flags = _PREV_KV * op.prev_kv | _IGNORE_VALUE * op.ignore_value
        flags |= _IGNORE_LEASE * op.ignore_lease
        head = PUT_OP_HEAD.pack(PUT_OP, len(op.key), len(op.value), op.lease, flags)
        parts += (head, op.key, op.value)
    elif isinstance(op, DeleteOp):
        head = DELETE_OP_HEAD.pack(DELETE_OP, len(op.key), len(op.range_end), op.prev_kv)
        parts += (head, op.key, op.range_end)
    else:
        parts.append(bytes((TXN_OP,)))
        _encode_body(op, parts)


def decode_txn(command: bytes) -> Txn:
    """The inverse of `encode_txn`: what it returns keeps every rule of this module."""
    if command[:2] != HEAD.pack(TXN, FORMAT):
        raise WireError(
            f"transaction: starts with {command[:2].hex()}, this program reads format {FORMAT}"
        )
    reader = _Reader(command)
    try:
        txn = reader.body(0)
    except StructError:
        raise reader.cut_off() from None
    if reader.at != len(command):
        raise reader.cut_off()
    check_writes(txn.success, txn.failure)
    return txn


class _Reader:
    """One walk through the bytes of a transaction."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = OPERATIONS_MAX
        self.at = HEAD.size

    def cut_off(self) -> WireError:
        return WireError(f"transaction: it does not end at byte {len(self._data)}, where it should")

    def body(self, depth: int) -> Txn:
        if depth > DEPTH_MAX:
            raise WireError(f"transaction: nested deeper than {DEPTH_MAX}")
        counts = self._head(BODY_HEAD)
        self._left -= sum(counts)
        if self._left < 0:
            raise _too_many()
        compares = [self._compare() for _ in range(counts[0])]
        success = [self._op(depth) for _ in range(counts[1])]
        failure = [self._op(depth) for _ in range(counts[2])]
        return Txn(compares, success, failure)

    def _compare(self) -> Compare:
        target, result, key, end, number, value = self._head(COMPARE_HEAD)
        if target > LEASE or result > NOT_EQUAL:
            raise WireError(f"transaction: compare of target {target} with result {result}")
        if value and target != VALUE:
            raise WireError("transaction: a compare with a value that is not of the target VALUE")
        named, range_end = self._key(key), self._end(end)
        return Compare(named, target, result, number, self._value(value), range_end)

    def _op(self, depth: int) -> Op:
        kind = self._data[self.at] if self.at < len(self._data) else 0
        if kind == PUT_OP:
            _, key, value, lease, flags = self._head(PUT_OP_HEAD)
            _check_flags("put", flags, _PREV_KV | _IGNORE_VALUE | _IGNORE_LEASE)
            told = flags & _PREV_KV != 0, flags & _IGNORE_VALUE != 0, flags & _IGNORE_LEASE != 0
            put = PutOp(self._key(key), self._value(value), lease, *told)
            if put.ignore_value and put.value:
                raise WireError("value is provided")
            if put.ignore_lease and put.lease:
                raise WireError("lease is provided")
            return put
        if kind == RANGE_OP:
            return self._range()
        if kind == DELETE_OP:
            _, key, end, flags = self._head(DELETE_OP_HEAD)
            _check_flags("delete", flags, _PREV_KV)
            return DeleteOp(self._key(key), self._end(end), flags != 0)
        if kind == TXN_OP:
            self.at += 1
            return self.body(depth + 1)
        raise WireError(f"transaction: operation {kind} is unknown to this program")

    def _range(self) -> RangeOp:
        _, key, end, limit, revision, order, sort, flags, *bounds = self._head(RANGE_OP_HEAD)
        _check_flags("range", flags, _KEYS_ONLY | _COUNT_ONLY)
        if order > DESCEND or sort > KEY or sort == LEASE:
            raise WireError("invalid sort option")
        if min(revision, *bounds) < 0:
            raise WireError("range: a revision below 0")
        told = flags & _KEYS_ONLY != 0, flags & _COUNT_ONLY != 0
        named, range_end = self._key(key), self._end(end)
        return RangeOp(named, range_end, limit, revision, order, sort, *told, *bounds)

    def _head(self, head: Struct) -> tuple[int, ...]:
        fields = head.unpack_from(self._data, self.at)
        self.at += head.size
        return fields

    def _key(self, size: int) -> bytes:
        if not size:
            raise WireError("key is not provided")
        return self._end(size)

    def _end(self, size: int) -> bytes:
        if size > KEY_BYTES_MAX:
            raise WireError(f"key: {size} bytes, the limit is {KEY_BYTES_MAX}")
        return self._bytes(size)

    def _value(self, size: int) -> bytes:
        if size > VALUE_BYTES_MAX:
            raise WireError(f"value: {size} bytes, the limit is {VALUE_BYTES_MAX}")
        return self._bytes(size)

    def _bytes(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise self.cut_off()
        part = self._data[self.at : end]
        self.at = end
        return part


def _too_many() -> WireError:
    return WireError(f"{TOO_MANY_OPERATIONS}; the limit is {OPERATIONS_MAX} in all")


def _check_flags(what: str, flags: int, known: int) -> None:
    if flags & ~known:
        raise WireError(f"transaction: {what} with flags {flags:#x}, this program knows {known:#x}")
