"""A look at one key: the transaction that a store answers most often, made and read in one step.

It is the range of one key, as it is now, with nothing else asked. The bytes are those that `txn`
and `txn_answers` make of it, query and answer; here they are not walked through piece by piece,
which took longer than all else that is done for such a read. Any thread, no I/O.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from raftd.wire.errors import WireError
from raftd.wire.kv import KEY_BYTES_MAX, PAIR_HEAD
from raftd.wire.kv_results import KeyValue
from raftd.wire.txn import (
    BODY_HEAD,
    FORMAT,
    HEAD,
    RANGE_OP,
    TXN,
    TXN_OP,
    RangeOp,
    Txn,
    encode_txn,
)
from raftd.wire.txn_answers import ANSWER_HEAD, RANGE_RESULT, TXN_RESULT, decode_record

_KEY: Final = b"k"
_WHOLE: Final = encode_txn(Txn((), (RangeOp(_KEY),), ()))
"""Everything but the length of the key and the key is the same in every look."""
_LENGTH: Final = Struct("<H")
_LENGTH_AT: Final = HEAD.size + BODY_HEAD.size + 1
_TAIL_AT: Final = _LENGTH_AT + _LENGTH.size
_KEY_AT: Final = len(_WHOLE) - len(_KEY)
_HEAD: Final = _WHOLE[:_LENGTH_AT]
_TAIL: Final = _WHOLE[_TAIL_AT:_KEY_AT]

_ANSWER: Final = Struct(
    ANSWER_HEAD.format + TXN_RESULT.format.lstrip("<") + RANGE_RESULT.format.lstrip("<")
)
"""Head of the answer, of the transaction in it, of the range in that."""


class Look(NamedTuple):
    """kv: None if there is no such key. revision: the store's."""

    revision: int
    kv: KeyValue | None


def encode_look(key: bytes) -> bytes:
    """The query. key: 1 to KEY_BYTES_MAX bytes; else WireError, as of `encode_txn`."""
    size = len(key)
    if not 0 < size <= KEY_BYTES_MAX:
        return encode_txn(Txn((), (RangeOp(key),), ()))
    return _HEAD + _LENGTH.pack(size) + _TAIL + key


def key_of_look(query: bytes) -> bytes | None:
    """The key, if the query is a look; None for every other query."""
    if query[:_LENGTH_AT] != _HEAD or query[_TAIL_AT:_KEY_AT] != _TAIL:
        return None
    size: int = _LENGTH.unpack_from(query, _LENGTH_AT)[0]
    if size != len(query) - _KEY_AT or not 0 < size <= KEY_BYTES_MAX:
        return None
    return query[_KEY_AT:]


def encode_look_answer(revision: int, key: bytes, record: bytes | None) -> bytes:
    """record: as the store keeps it; None if there is no such key."""
    found = record is not None
    head = _ANSWER.pack(TXN, FORMAT, revision, TXN_OP, True, 1, RANGE_OP, False, found, found)
    if record is None:
        return head
    return head + PAIR_HEAD.pack(len(key), len(record)) + key + record


def decode_look_answer(answer: bytes) -> Look:
    """Raises WireError if these bytes are none."""
    size, at = len(answer), _ANSWER.size
    if size >= at:
        kind, version, revision, txn, _, count, op, _, total, pairs = _ANSWER.unpack_from(answer)
        if (kind, version, txn, count, op) == (TXN, FORMAT, TXN_OP, 1, RANGE_OP):
            if total == pairs == 0 and size == at:
                return Look(revision, None)
            if total == pairs == 1 and size >= at + PAIR_HEAD.size:
                key_bytes, record_bytes = PAIR_HEAD.unpack_from(answer, at)
                begin = at + PAIR_HEAD.size
                middle = begin + key_bytes
                if middle + record_bytes == size:
                    record = answer[middle:]
                    return Look(revision, _checked(answer[begin:middle], record))
    raise WireError(f"look: {answer[:32].hex()} is no answer to it")


def _checked(key: bytes, record: bytes) -> KeyValue:
    try:
        return decode_record(key, record)
    except StructError:
        raise WireError(f"look: the record {record[:32].hex()} is cut off") from None
