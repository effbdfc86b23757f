"""The store against a naive one: transactions, reads in the past, leases, compaction, snapshots."""

from __future__ import annotations

import io
import random

import pytest

from raftd.machine.kv import table as table_module
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError
from raftd.wire import kv, leases, refusals, txn
from raftd.wire.txn_answers import RangeAnswer, decode_record, decode_txn_answer
from tests.machine import requests
from tests.machine.naive import Naive, Refused


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "SPLIT_AT", 4)
    monkeypatch.setattr(table_module, "MERGE_BELOW", 2)
    monkeypatch.setattr(table_module, "MERGED_MAX", 3)


def told(store: KvStore, request: bytes, *, query: bool = False) -> bytes | str:
    """The answer, or by which text it was refused."""
    try:
        return store.query(request) if query else store.apply(request)
    except MachineError as error:
        return refusals.refusal_of(str(error))


def expected(naive: Naive, request: bytes, *, query: bool = False) -> bytes | str:
    try:
        return naive.query(request) if query else naive.execute(request)
    except Refused as refused:
        return str(refused)


def same_events(store: KvStore, naive: Naive) -> None:
    first = store.history.first
    for changes in store.changes(first - 1):
        cells = naive.events[changes.revision]
        assert [change.key for change in changes.changes] == [key for key, _, _ in cells]
        for change, (key, cell, was) in zip(changes.changes, cells, strict=True):
            for record, wanted in ((change.record, cell), (change.previous, was)):
                if wanted.value is None:
                    assert record is None
                else:
                    assert record is not None
                    assert record == wanted.record()
                    assert decode_record(key, record).lease == wanted.lease
        first = changes.revision + 1
    assert first == store.revision + 1, "no revision is left out"


@pytest.mark.parametrize("seed", range(12))
def test_it_answers_as_the_naive_one_does(seed: int) -> None:
    rng = random.Random(seed)
    store, naive = KvStore(chunk=5), Naive()
    for step in range(900):
        request = requests.command(rng, naive.revision)
        before = b"".join(store.capture())
        answer = told(store, request)
        assert answer == expected(naive, request)
        if isinstance(answer, str):
            assert b"".join(store.capture()) == before, "a refusal changes nothing"
        store.on_applied(step)
        assert store.revision == naive.revision
        question = requests.query(rng, naive.revision)
        assert told(store, question, query=True) == expected(naive, question, query=True)
        if step % 100 == 99:
            same_events(store, naive)
        if step % 150 == 149:
            data = b"".join(store.capture())
            store = KvStore(chunk=5)
            store.restore(io.BytesIO(data))
            assert b"".join(store.capture()) == data


def test_a_transaction_is_one_revision_and_one_that_changes_nothing_is_none() -> None:
    store = KvStore(chunk=5)

    def run(*ops: txn.Op) -> int:
        return decode_txn_answer(store.apply(txn.encode_txn(txn.Txn([], ops)))).revision

    assert run(txn.PutOp(b"a"), txn.PutOp(b"b"), txn.RangeOp(b"a", b"\0")) == 2
    assert run(txn.DeleteOp(b"c", b"\0"), txn.RangeOp(b"a")) == 2
    assert run(txn.DeleteOp(b"a", b"\0")) == 3
    assert run(txn.DeleteOp(b"a", b"\0")) == 3


def test_reads_in_a_transaction_see_what_it_wrote_but_not_those_in_the_past() -> None:
    store = KvStore(chunk=5)
    store.apply(kv.encode_put(b"a", b"old"))
    ops: list[txn.Op] = [
        txn.PutOp(b"a", b"new"),
        txn.PutOp(b"b", b"new"),
        txn.RangeOp(b"a", b"\0"),
        txn.RangeOp(b"a", b"\0", revision=2),
        txn.RangeOp(b"b", revision=2),
    ]
    answer = decode_txn_answer(store.apply(txn.encode_txn(txn.Txn([], ops))))
    seen = [
        [pair.value for pair in response.kvs]
        for response in answer.responses
        if isinstance(response, RangeAnswer)
    ]
    assert seen == [[b"new", b"new"], [b"old"], []]


def test_the_older_answers_show_no_lease_and_an_older_put_takes_it_away() -> None:
    store = KvStore(chunk=5)
    store.apply(leases.encode_lease_grant(7, 60))
    store.apply(txn.encode_txn(txn.Txn([], [txn.PutOp(b"a", b"v", 7), txn.PutOp(b"b", b"w", 7)])))
    found = kv.decode_get(store.query(kv.encode_get(b"a"))).kv
    assert found == kv.KeyValue(b"a", b"v", 2, 2, 1)
    assert kv.decode_range(store.query(kv.encode_range())).kvs[0] == found
    cas = kv.decode_cas(store.apply(kv.encode_cas(b"a", b"", kv.expect_absent())))
    assert cas.current == found
    assert kv.decode_put(store.apply(kv.encode_put(b"a", b"x"))) == (3, 2)
    revoked = leases.decode_revoke_answer(store.apply(leases.encode_lease_revoke(7)))
    assert revoked == (4, 1), "b alone went with it"
    assert kv.decode_get(store.query(kv.encode_get(b"a"))).kv == kv.KeyValue(b"a", b"x", 2, 3, 2)


def test_a_query_may_not_write_and_an_answer_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    store = KvStore(chunk=5)
    with pytest.raises(MachineError, match="it writes"):
        store.query(txn.encode_txn(txn.Txn([], [], [txn.Txn([], [txn.PutOp(b"a")])])))
    for number in range(40):
        store.apply(kv.encode_put(b"%d" % number, bytes(1 << 20)))
    with pytest.raises(MachineError, match="too long"):
        store.query(txn.encode_txn(txn.Txn([], [txn.RangeOp(b"\0", b"\0")])))
    page = txn.RangeOp(b"\0", b"\0", 20)
    answer = decode_txn_answer(store.query(txn.encode_txn(txn.Txn([], [page]))))
    assert answer.responses[0][1:] == (True, 40)


def test_what_is_compacted_cannot_be_read_and_its_own_revision_can() -> None:
    store = KvStore(chunk=5)
    for number in range(40):
        store.apply(kv.encode_put(b"k%d" % (number % 3), b"%d" % number))
        store.on_applied(number)

    def at(revision: int) -> bytes | str:
        return told(store, txn.encode_txn(txn.Txn([], [txn.RangeOp(b"k0", b"", 0, revision)])))

    assert leases.decode_compact_answer(store.apply(leases.encode_compact(20))) == (41, 20)
    assert at(19) == refusals.COMPACTED
    assert at(42) == refusals.FUTURE_REVISION
    at_20 = at(20)
    assert isinstance(at_20, bytes)
    [response] = decode_txn_answer(at_20).responses
    assert isinstance(response, RangeAnswer)
    assert response.kvs[0].value == b"18"
    assert told(store, leases.encode_compact(20)) == refusals.COMPACTED
    assert told(store, leases.encode_compact(42)) == refusals.FUTURE_REVISION
    with pytest.raises(LookupError, match="compacted"):
        next(store.changes(18))
    assert next(store.changes(19)).revision == 20
    status = leases.decode_status_answer(store.query(leases.encode_status()))
    assert status[:3] == (41, 20, 3)
    assert status.history == 22


def test_a_read_of_the_past_does_not_see_what_its_own_transaction_deleted() -> None:
    """The key was not there yet at that revision, and is not there now: nor was it then."""
    store = KvStore()
    for key in (b"a", b"b"):
        store.apply(kv.encode_put(key, b"1"))
    request = txn.Txn((), [txn.DeleteOp(b"b"), txn.RangeOp(b"b", revision=2)])
    answer = decode_txn_answer(store.apply(txn.encode_txn(request)))
    assert answer.responses[1] == RangeAnswer([], False, 0)
