"""What a transaction answers [frozen format, little-endian].

    answer    5 (TXN), format u8 = 1, revision u64, result of the txn
    range     1, more u8, count u64, pairs u32, pairs
    put       2, pairs u8, the pair that was there
    delete    3, deleted u64, pairs u32, pairs
    txn       4, succeeded u8, responses u16, responses

A pair is as in `kv`, but its record may name a lease: LEASED is set in the version then, and the
lease (i64) follows it. The store keeps records like that; what the older answers show is without.

Any thread, no I/O. The decoders raise WireError and nothing else on bad bytes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from raftd.wire.errors import WireError
from raftd.wire.kv import PAIR_HEAD, RECORD_HEAD
from raftd.wire.kv_results import KeyValue
from raftd.wire.txn import DELETE_OP, DEPTH_MAX, FORMAT, PUT_OP, RANGE_OP, TXN, TXN_OP

ANSWER_HEAD: Final = Struct("<BBQ")
RANGE_RESULT: Final = Struct("<BBQI")
PUT_RESULT: Final = Struct("<BB")
DELETE_RESULT: Final = Struct("<BQI")
TXN_RESULT: Final = Struct("<BBH")

LEASED: Final = 1 << 63
"""In a record's version: a lease follows."""
LEASED_AT: Final = 23
LEASED_BIT: Final = 0x80
"""That bit as a byte of the record: a look at one byte, where many records are gone through."""
LEASE: Final = Struct("<q")
LEASED_HEAD: Final = Struct("<QQQq")

PAIRS_AT_ONCE: Final = 128
"""Decoded in one go: half a millisecond."""


class RangeAnswer(NamedTuple):
    """total: of all keys in the range, whatever limit and bounds left out."""

    kvs: list[KeyValue]
    more: bool
    total: int


class PutAnswer(NamedTuple):
    prev_kv: KeyValue | None


class DeleteAnswer(NamedTuple):
    deleted: int
    prev_kvs: list[KeyValue]


class TxnAnswer(NamedTuple):
    """One response per operation of the branch that ran. Its truth value is `succeeded`."""

    succeeded: bool
    responses: list[Response]

    def __bool__(self) -> bool:
        return self.succeeded


class TxnResult(NamedTuple):
    """revision: the store's after it. Its truth value is `succeeded`."""

    revision: int
    succeeded: bool
    responses: list[Response]

    def __bool__(self) -> bool:
        return self.succeeded


Response = RangeAnswer | PutAnswer | DeleteAnswer | TxnAnswer


def decode_record(key: bytes, record: bytes) -> KeyValue:
    """A record as the store keeps it. Raises StructError if it is cut."""
    create_revision, mod_revision, version = RECORD_HEAD.unpack_from(record)
    lease, at = 0, RECORD_HEAD.size
    if version & LEASED:
        lease = LEASE.unpack_from(record, at)[0]
        version, at = version - LEASED, at + LEASE.size
    return KeyValue(key, record[at:], create_revision, mod_revision, version, lease)


def lease_of(record: bytes) -> int:
    """The lease that a record names; 0: none."""
    if record[LEASED_AT] < LEASED_BIT:
        return 0
    lease: int = LEASE.unpack_from(record, RECORD_HEAD.size)[0]
    return lease


def value_at(record: bytes) -> int:
    """Where in the record its value begins."""
    return RECORD_HEAD.size if record[LEASED_AT] < LEASED_BIT else LEASED_HEAD.size


def without_lease(record: bytes) -> bytes:
    """The record as older answers show it: no lease, and no sign of one."""
    if record[LEASED_AT] < LEASED_BIT:
        return record
    create_revision, mod_revision, version = RECORD_HEAD.unpack_from(record)
    head = RECORD_HEAD.pack(create_revision, mod_revision, version - LEASED)
    return head + record[LEASED_HEAD.size :]


def encode_answer(revision: int, txn: bytes) -> bytes:
    """txn: by `encode_txn_result`."""
    return answer_head(revision) + txn


def answer_head(revision: int) -> bytes:
    return ANSWER_HEAD.pack(TXN, FORMAT, revision)


def encode_txn_result(succeeded: bool, responses: Sequence[bytes]) -> bytes:
    return txn_head(succeeded, len(responses)) + b"".join(responses)


def txn_head(succeeded: bool, responses: int) -> bytes:
    """What stands before so many responses."""
    return TXN_RESULT.pack(TXN_OP, succeeded, responses)


def encode_range_result(more: bool, count: int, pairs: int, parts: Sequence[bytes]) -> bytes:
    """parts: `pairs` pairs, in as many pieces as may be."""
    return RANGE_RESULT.pack(RANGE_OP, more, count, pairs) + b"".join(parts)


def encode_put_result(prev: bytes) -> bytes:
    """prev: a pair, or nothing."""
    return PUT_RESULT.pack(PUT_OP, prev != b"") + prev


def encode_delete_result(deleted: int, pairs: int, prevs: Sequence[bytes]) -> bytes:
    """prevs: `pairs` pairs, in as many pieces as may be."""
    return DELETE_RESULT.pack(DELETE_OP, deleted, pairs) + b"".join(prevs)


def decode_txn_answer(answer: bytes) -> TxnResult:
    """The answer to `encode_txn`, sent as a command or as a query. Raises WireError."""
    work = decoding(answer)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def decoding(answer: bytes) -> Generator[None, None, TxnResult]:
    """`decode_txn_answer`, which gives way after PAIRS_AT_ONCE pairs: there may be a million."""
    if len(answer) < ANSWER_HEAD.size or answer[0] != TXN:
        raise _bad(answer)
    _, version, revision = ANSWER_HEAD.unpack_from(answer)
    if version != FORMAT:
        raise WireError(f"transaction: answer of format {version}, this program reads {FORMAT}")
    reader = _Reader(answer)
    try:
        response = yield from reader.response(0)
    except (StructError, IndexError):
        raise _bad(answer) from None
    if reader.at != len(answer) or not isinstance(response, TxnAnswer):
        raise _bad(answer)
    return TxnResult(revision, response.succeeded, response.responses)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = ANSWER_HEAD.size

    def response(self, depth: int) -> Generator[None, None, Response]:
        kind = self._data[self.at]
        if kind == RANGE_OP:
            _, more, count, pairs = self._head(RANGE_RESULT)
            return RangeAnswer((yield from self._pairs(pairs)), more != 0, count)
        if kind == PUT_OP:
            _, pairs = self._head(PUT_RESULT)
            found = yield from self._pairs(min(pairs, 1))
            return PutAnswer(found[0] if found else None)
        if kind == DELETE_OP:
            _, deleted, pairs = self._head(DELETE_RESULT)
            return DeleteAnswer(deleted, (yield from self._pairs(pairs)))
        if kind != TXN_OP or depth > DEPTH_MAX:
            raise _bad(self._data)
        _, succeeded, count = self._head(TXN_RESULT)
        responses: list[Response] = []
        for _ in range(count):
            responses.append((yield from self.response(depth + 1)))
        return TxnAnswer(succeeded != 0, responses)

    def _pairs(self, count: int) -> Generator[None, None, list[KeyValue]]:
        data, at, head = self._data, self.at, PAIR_HEAD
        pairs: list[KeyValue] = []
        for number in range(1, count + 1):
            key_bytes, record_bytes = head.unpack_from(data, at)
            begin = at + head.size
            middle = begin + key_bytes
            at = middle + record_bytes
            if at > len(data):
                raise _bad(data)
            pairs.append(decode_record(data[begin:middle], data[middle:at]))
            if number % PAIRS_AT_ONCE == 0:
                yield
        self.at = at
        return pairs

    def _head(self, head: Struct) -> tuple[int, ...]:
        fields = head.unpack_from(self._data, self.at)
        self.at += head.size
        return fields


def _bad(answer: bytes) -> WireError:
    text = f"{len(answer)} bytes {answer[:16].hex()}"
    return WireError(f"transaction: not the answer to one: {text}...")
