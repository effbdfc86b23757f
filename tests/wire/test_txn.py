"""Transactions on the wire: everything comes back as it was sent, and what breaks a rule does not
get through.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raftd.wire import leases, txn, txn_answers
from raftd.wire.errors import WireError
from raftd.wire.kv import PAIR_HEAD, RECORD_HEAD, KeyValue
from raftd.wire.spans import prefix_end, span_of
from raftd.wire.txn import Compare, DeleteOp, Op, PutOp, RangeOp, Txn

EVERY = Txn(
    [
        Compare(b"a", txn.VALUE, txn.EQUAL, value=b"x"),
        Compare(b"b", txn.LEASE, txn.NOT_EQUAL, -5, range_end=b"c"),
    ],
    [
        PutOp(b"k", b"v", 7, prev_kv=True),
        PutOp(b"l", ignore_value=True, ignore_lease=True),
        RangeOp(b"r", b"\0", 3, 9, txn.DESCEND, txn.VALUE, True, False, 1, 2, 3, 4),
    ],
    [
        DeleteOp(b"d", b"e", prev_kv=True),
        Txn([], [RangeOp(b"q")], []),
    ],
)


def test_a_transaction_comes_back_as_it_was_sent() -> None:
    assert txn.decode_txn(txn.encode_txn(EVERY)) == EVERY
    assert EVERY.writes
    assert not Txn([], [RangeOp(b"a")], [Txn([], [RangeOp(b"b")], [])]).writes
    assert Txn([], [], [Txn([], [DeleteOp(b"b")], [])]).writes


def test_no_byte_may_be_missing_or_too_many() -> None:
    whole = txn.encode_txn(EVERY)
    for end in range(len(whole)):
        with pytest.raises(WireError):
            txn.decode_txn(whole[:end])
    with pytest.raises(WireError, match="does not end"):
        txn.decode_txn(whole + b"\0")


NESTED: Txn = Txn()
for _ in range(txn.DEPTH_MAX + 1):
    NESTED = Txn([], [NESTED], [])


@pytest.mark.parametrize(
    ("ops", "said"),
    [
        ([PutOp(b"a"), PutOp(b"a")], "duplicate key"),
        ([PutOp(b"b"), DeleteOp(b"a", b"c")], "duplicate key"),
        ([DeleteOp(b"a", b"\0"), Txn([], [], [PutOp(b"z")])], "duplicate key"),
        ([Txn([], [PutOp(b"a")]), DeleteOp(b"a")], "duplicate key"),
        ([Txn([], [PutOp(b"a")]), Txn([], [], [PutOp(b"a")])], "duplicate key"),
        ([PutOp(b"")], "key is not provided"),
        ([RangeOp(b"")], "key is not provided"),
        ([PutOp(b"a", b"v", ignore_value=True)], "value is provided"),
        ([PutOp(b"a", lease=3, ignore_lease=True)], "lease is provided"),
        ([RangeOp(b"a", order=3)], "invalid sort"),
        ([RangeOp(b"a", sort=txn.LEASE)], "invalid sort"),
        ([RangeOp(b"a", revision=-1)], "below 0"),
        ([RangeOp(b"a")] * 1025, "too many operations"),
        ([Txn([], [RangeOp(b"a")] * 600)] * 2, "too many operations"),
        ([PutOp(b"k" * 32_769)], "key: 32769 bytes"),
        ([PutOp(b"k", b"v" * 1_310_721)], "value: 1310721 bytes"),
        ([PutOp(b"k", b"v" * 1_000_000), PutOp(b"l", b"v" * 1_000_000)], "split it"),
        ([NESTED], "nested deeper than 32"),
        ([PutOp(b"a", lease=2**63)], "does not fit"),
    ],
)
def test_what_breaks_a_rule_is_refused(ops: list[Op], said: str) -> None:
    with pytest.raises(WireError, match=said):
        txn.encode_txn(Txn([], ops))


@pytest.mark.parametrize(
    "ops",
    [
        [Txn([], [PutOp(b"a")], [PutOp(b"a")])],
        [Txn([], [PutOp(b"a")], [DeleteOp(b"a")])],
        [DeleteOp(b"a", b"c"), DeleteOp(b"b")],
        [PutOp(b"c"), DeleteOp(b"a", b"c")],
    ],
)
def test_no_key_is_written_twice_by_these(ops: list[Op]) -> None:
    assert txn.decode_txn(txn.encode_txn(Txn([], ops))) == Txn([], ops, [])


def test_a_compare_of_something_unknown_is_refused() -> None:
    for compare in (Compare(b"a", 5, 0), Compare(b"a", 0, 4), Compare(b"a", 1, 0, value=b"x")):
        with pytest.raises(WireError, match="compare"):
            txn.encode_txn(Txn([compare]))


def _pair(key: bytes, record: bytes) -> bytes:
    return PAIR_HEAD.pack(len(key), len(record)) + key + record


def test_an_answer_comes_back_and_none_that_is_cut() -> None:
    plain = _pair(b"k", RECORD_HEAD.pack(2, 3, 4) + b"v")
    leased = _pair(b"l", txn_answers.LEASED_HEAD.pack(2, 3, 4 | txn_answers.LEASED, -9) + b"w")
    responses = [
        txn_answers.encode_range_result(True, 5, 2, [plain, leased]),
        txn_answers.encode_put_result(b""),
        txn_answers.encode_put_result(leased),
        txn_answers.encode_delete_result(1, 1, [plain]),
        txn_answers.encode_txn_result(False, []),
    ]
    body = txn_answers.encode_txn_result(True, responses)
    whole = txn_answers.encode_answer(8, body)
    k, v = KeyValue(b"k", b"v", 2, 3, 4), KeyValue(b"l", b"w", 2, 3, 4, -9)
    assert txn_answers.decode_txn_answer(whole) == (
        8,
        True,
        [
            ([k, v], True, 5),
            (None,),
            (v,),
            (1, [k]),
            (False, []),
        ],
    )
    for end in range(len(whole)):
        with pytest.raises(WireError):
            txn_answers.decode_txn_answer(whole[:end])


def test_a_record_with_a_lease_looks_to_older_readers_like_one_without() -> None:
    leased = txn_answers.LEASED_HEAD.pack(2, 3, 4 | txn_answers.LEASED, 77) + b"w"
    plain = RECORD_HEAD.pack(2, 3, 4) + b"w"
    assert txn_answers.without_lease(leased) == plain == txn_answers.without_lease(plain)
    assert (txn_answers.lease_of(leased), txn_answers.lease_of(plain)) == (77, 0)
    assert leased[txn_answers.value_at(leased) :] == b"w" == plain[txn_answers.value_at(plain) :]


def test_leases_and_compaction_come_back() -> None:
    assert leases.decode_number(leases.encode_compact(7)) == 7
    assert leases.decode_number(leases.encode_lease_revoke(-7)) == -7
    assert leases.decode_number(leases.encode_lease_renew(7)) == 7
    assert leases.decode_grant(leases.encode_lease_grant(7, 60)) == (7, 60)
    assert leases.decode_expire(leases.encode_lease_expire([(1, 5), (-2, 6)])) == [(1, 5), (-2, 6)]
    assert leases.decode_time_to_live(leases.encode_lease_time_to_live(7, True)) == (7, True)
    told = leases.encode_time_to_live_answer(9, 5, 60, [b"a", b"bc"])
    assert leases.decode_time_to_live_answer(told) == (9, 5, 60, [b"a", b"bc"])
    assert leases.decode_list_answer(leases.encode_list_answer(9, [3, -4])) == (9, [3, -4])


@pytest.mark.parametrize(
    "make",
    [
        lambda: leases.encode_lease_grant(0, 60),
        lambda: leases.encode_lease_grant(1, 0),
        lambda: leases.encode_lease_grant(1, leases.TTL_MAX + 1),
        lambda: leases.encode_compact(-1),
        lambda: leases.encode_lease_expire([]),
        lambda: leases.encode_lease_expire([(1, 1)] * (leases.EXPIRED_MAX + 1)),
        lambda: leases.decode_number(b"\x06\x01\0"),
        lambda: leases.decode_number(leases.encode_compact(7)[:1] + b"\x02" + bytes(8)),
        lambda: leases.decode_expire(leases.encode_lease_expire([(1, 1)]) + b"\0"),
        lambda: leases.decode_list_answer(leases.encode_list_answer(9, [3])[:-1]),
        lambda: leases.decode_time_to_live_answer(b"\x13"),
    ],
    ids=range(11),
)
def test_what_is_no_lease_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(WireError):
        make()


def test_which_keys_are_meant() -> None:
    assert span_of(b"a", b"").holds(b"a")
    assert not span_of(b"a", b"").holds(b"a\0")
    assert span_of(b"a", b"\0").holds(b"zz")
    assert not span_of(b"b", b"\0").holds(b"a")
    assert not span_of(b"b", b"a").holds(b"b")
    assert prefix_end(b"a\xff\xff") == b"b"
    assert prefix_end(b"\xff") == b"\0" == prefix_end(b"")
