"""A look at one key is the same transaction, byte for byte, as the general way makes of it."""

from __future__ import annotations

import random

import pytest

from raftd.machine.kv.store import KvStore
from raftd.wire import look, txn_answers
from raftd.wire.errors import WireError
from raftd.wire.kv import KEY_BYTES_MAX, encode_put
from raftd.wire.leases import encode_lease_grant
from raftd.wire.txn import PutOp, RangeOp, Txn, decode_txn, encode_txn

KEYS = [b"k", b"\0", b"key" * 100, b"x" * KEY_BYTES_MAX]


def a_look(key: bytes) -> Txn:
    return Txn([], [RangeOp(key)], [])


@pytest.mark.parametrize("key", KEYS)
def test_the_query_is_that_of_a_transaction(key: bytes) -> None:
    query = look.encode_look(key)
    assert query == encode_txn(a_look(key))
    assert look.key_of_look(query) == key


@pytest.mark.parametrize("key", [b"", b"x" * (KEY_BYTES_MAX + 1)])
def test_a_key_over_a_limit_is_refused_as_in_any_transaction(key: bytes) -> None:
    with pytest.raises(WireError) as told:
        encode_txn(a_look(key))
    with pytest.raises(WireError) as found:
        look.encode_look(key)
    assert str(found.value) == str(told.value)


def test_what_asks_for_anything_else_is_no_look() -> None:
    """Whatever a byte is changed to, the query means the same by both ways."""
    query = look.encode_look(b"key")
    looks = 0
    for at in range(len(query)):
        for bit in range(8):
            other = query[:at] + bytes([query[at] ^ 1 << bit]) + query[at + 1 :]
            key = look.key_of_look(other)
            if key is not None:
                assert decode_txn(other) == a_look(key)
                looks += 1
    assert looks == 8 * len(b"key")
    for cut in range(len(query)):
        with pytest.raises(WireError):
            decode_txn(query[:cut])
        assert look.key_of_look(query[:cut]) is None
    assert look.key_of_look(query + b"\0") is None
    both = encode_txn(Txn([], [RangeOp(b"k"), RangeOp(b"l")], []))
    assert look.key_of_look(both) is None


def a_store() -> KvStore:
    store = KvStore()
    store.apply(encode_lease_grant(7, 60))
    store.apply(encode_put(b"plain", b"value"))
    store.apply(encode_put(b"plain", b""))
    store.apply(encode_txn(Txn([], [PutOp(b"leased", b"v", lease=7)], [])))
    return store


@pytest.mark.parametrize("key", [b"plain", b"leased", b"absent", b"plai", b"plain\0"])
def test_the_store_answers_it_as_any_transaction(key: bytes) -> None:
    store = a_store()
    answer = store.query(encode_txn(a_look(key)))
    assert store.query(look.encode_look(key)) == answer
    found = look.decode_look_answer(answer)
    told = txn_answers.decode_txn_answer(answer)
    [told_range] = told.responses
    assert isinstance(told_range, txn_answers.RangeAnswer)
    assert ([] if found.kv is None else [found.kv]) == told_range.kvs
    assert found.revision == told.revision
    assert (found.kv is not None and found.kv.lease == 7) == (key == b"leased")


def test_an_answer_that_is_none_is_refused_and_never_misread() -> None:
    answer = a_store().query(look.encode_look(b"leased"))
    draw = random.Random(1)
    for cut in range(len(answer)):
        with pytest.raises(WireError):
            look.decode_look_answer(answer[:cut])
    for _ in range(3000):
        at = draw.randrange(len(answer))
        other = answer[:at] + bytes([draw.randrange(256)]) + answer[at + 1 :]
        try:
            found = look.decode_look_answer(other)
        except WireError:
            continue
        kv = found.kv
        assert kv is not None
        told = txn_answers.decode_txn_answer(other)
        [told_range] = told.responses
        assert isinstance(told_range, txn_answers.RangeAnswer)
        assert told_range.kvs == [kv]
