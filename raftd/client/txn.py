"""Transactions that read well: compares and operations, for both faces.

    from raftd.client.txn import exists, get, mod_revision, put, value

    done = client.txn(
        when=[value("owner") == "me", mod_revision("job/7") == 12],
        then=[put("job/7", "done")],
        otherwise=[get("owner")],
    )
    if not done:
        print(done.responses[0].kvs)

All compares have to hold for `then` to run, else `otherwise` does; either is done as a whole, at
one revision. A read sees what the same transaction wrote before it. Any thread, no I/O. What is
malformed raises Invalid, naming the argument.
"""

from __future__ import annotations

from collections.abc import Iterable

from raftd.client.operations import Data, Operation, data, encoded
from raftd.wire.spans import prefix_end
from raftd.wire.txn import encode_txn
from raftd.wire.txn_answers import DeleteAnswer as DeleteAnswer
from raftd.wire.txn_answers import PutAnswer as PutAnswer
from raftd.wire.txn_answers import RangeAnswer as RangeAnswer
from raftd.wire.txn_answers import TxnAnswer as TxnAnswer
from raftd.wire.txn_answers import TxnResult as TxnResult
from raftd.wire.txn_answers import decode_txn_answer
from raftd.wire.txn_types import (
    CREATE_REVISION,
    EQUAL,
    GREATER,
    LEASE,
    LESS,
    MOD_REVISION,
    NOT_EQUAL,
    VALUE,
    VERSION,
    Compare,
    DeleteOp,
    Op,
    PutOp,
    RangeOp,
    Txn,
)

# -- compares ----------------------------------------------------------------------------------


class Field:
    """Something of a key that can be compared with a number: `version("a") > 3`."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, target: int, key: Data) -> None:
        self._target = target
        self._key = data("key", key)

    def _compare(self, result: int, number: int) -> Compare:
        return Compare(self._key, self._target, result, number=number)

    def __eq__(self, number: int) -> Compare:  # type: ignore[override]
        return self._compare(EQUAL, number)

    def __ne__(self, number: int) -> Compare:  # type: ignore[override]
        return self._compare(NOT_EQUAL, number)

    def __lt__(self, number: int) -> Compare:
        return self._compare(LESS, number)

    def __gt__(self, number: int) -> Compare:
        return self._compare(GREATER, number)


class ValueField:
    """A key's value, compared as bytes: `value("a") == "b"`. Never holds where there is no key."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, key: Data) -> None:
        self._key = data("key", key)

    def _compare(self, result: int, given: Data) -> Compare:
        return Compare(self._key, VALUE, result, value=data("value", given))

    def __eq__(self, given: Data) -> Compare:  # type: ignore[override]
        return self._compare(EQUAL, given)

    def __ne__(self, given: Data) -> Compare:  # type: ignore[override]
        return self._compare(NOT_EQUAL, given)

    def __lt__(self, given: Data) -> Compare:
        return self._compare(LESS, given)

    def __gt__(self, given: Data) -> Compare:
        return self._compare(GREATER, given)


def value(key: Data) -> ValueField:
    """The key's value."""
    return ValueField(key)


def version(key: Data) -> Field:
    """How often the key was put since it was made; 0: there is no such key."""
    return Field(VERSION, key)


def create_revision(key: Data) -> Field:
    """The revision at which the key was made; 0: there is no such key."""
    return Field(CREATE_REVISION, key)


def mod_revision(key: Data) -> Field:
    """The revision at which the key was put last; 0: there is no such key."""
    return Field(MOD_REVISION, key)


def lease(key: Data) -> Field:
    """The id of the key's lease; 0: none."""
    return Field(LEASE, key)


def exists(key: Data) -> Compare:
    return version(key) > 0


def absent(key: Data) -> Compare:
    return version(key) == 0


# -- operations --------------------------------------------------------------------------------


def put(key: Data, value: Data, *, lease: int = 0, prev_kv: bool = False) -> PutOp:
    """lease: the id of the lease that the key shall end with; 0 takes it off any."""
    return PutOp(data("key", key), data("value", value), lease, prev_kv)


def delete(key: Data, *, prev_kv: bool = False) -> DeleteOp:
    return DeleteOp(data("key", key), b"", prev_kv)


def delete_prefix(prefix: Data, *, prev_kv: bool = False) -> DeleteOp:
    """All keys that start with it; "": all keys."""
    return DeleteOp(*_prefix(prefix), prev_kv)


def get(key: Data, *, revision: int = 0) -> RangeOp:
    """revision: as of then; 0: now."""
    return RangeOp(data("key", key), revision=revision)


def get_prefix(prefix: Data, *, limit: int = 0, revision: int = 0) -> RangeOp:
    """All keys that start with it, in byte order; limit 0: none."""
    return RangeOp(*_prefix(prefix), limit, revision)


def nested(
    *, when: Iterable[Compare] = (), then: Iterable[Op] = (), otherwise: Iterable[Op] = ()
) -> Txn:
    """A transaction within another."""
    return Txn(tuple(when), tuple(then), tuple(otherwise))


def _prefix(prefix: Data) -> tuple[bytes, bytes]:
    start = data("prefix", prefix)
    return (start, prefix_end(start)) if start else (b"\0", b"\0")


def operation(txn: Txn) -> Operation[TxnResult]:
    """As it is sent: what writes nothing is a query, and costs no log entry."""
    payload = encoded(encode_txn, txn)
    return Operation("small" if txn.writes else "queries", payload, decode_txn_answer)
