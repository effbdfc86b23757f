"""A store that was read from a snapshot of version 1 lacks history, and goes on like all others.

What was before a snapshot of version 1 only those know who applied it. What a command does, and
whether it is refused, must not depend on that: else one replica writes what another one refuses.
"""

from __future__ import annotations

from io import BytesIO

import pytest

from raftd.machine.kv import snapshot
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import AnswerLost, MachineError
from raftd.machine.sessions import Sessions
from raftd.wire import batch as wire
from raftd.wire import kv, leases, txn
from raftd.wire.txn import PutOp, RangeOp, Txn
from tests.machine.answered import answered

READ_AND_PUT = txn.encode_txn(Txn([], [RangeOp(b"a", revision=3), PutOp(b"x", b"1")]))


def version_1(store: KvStore) -> bytes:
    parts = [snapshot.MAGIC_1, snapshot.HEAD_1.pack(store.revision, len(store))]
    for key, record in store._table.capture():
        parts.append(kv.PAIR_HEAD.pack(len(key), len(record)) + key + record)
    return b"".join(parts)


def replicas() -> list[KvStore]:
    """Three that began with snapshots of their own, and one that has applied all."""
    stores = [KvStore(), KvStore(), KvStore()]
    for number in range(6):
        for at, store in enumerate(stores):
            store.apply(kv.encode_put(b"a", b"%d" % number))
            if at == number - 2:
                store.restore(BytesIO(version_1(store)))
    stores.append(KvStore())
    for number in range(6):
        stores[-1].apply(kv.encode_put(b"a", b"%d" % number))
    return stores


def said(store: KvStore, command: bytes) -> str:
    """What comes of it."""
    try:
        return str(store.apply(command))
    except MachineError as error:
        return f"refused: {error}"
    except AnswerLost:
        return "done"


def state(store: KvStore) -> list[tuple[str, bytes]]:
    parts = ((name, b"".join(chunks)) for name, chunks in store.parts())
    return [part for part in parts if "history" not in part[0]]


def test_a_transaction_that_reads_the_past_writes_on_all_or_on_none() -> None:
    stores = replicas()
    outcomes = [said(store, READ_AND_PUT) for store in stores]
    assert not any(outcome.startswith("refused") for outcome in outcomes), outcomes
    assert "done" in outcomes
    assert [store.revision for store in stores] == [8] * 4
    assert [state(store) for store in stores] == [state(stores[-1])] * 4


@pytest.mark.parametrize("revision", range(1, 9))
def test_all_compact_at_the_same_entries(revision: int) -> None:
    stores = replicas()
    command = leases.encode_compact(revision)
    for _ in range(2):
        assert len({said(store, command) for store in stores}) == 1
    assert len({said(store, leases.encode_compact(7)) for store in stores}) == 1
    assert len({said(store, READ_AND_PUT) for store in stores}) == 1, "nobody reads there now"
    assert [store.history.compacted for store in stores] == [7] * 4


def test_a_query_of_what_is_not_known_is_refused() -> None:
    known, *_, lacking = sorted(replicas(), key=lambda store: store.history.first)
    query = txn.encode_txn(Txn([], [RangeOp(b"a", revision=3)]))
    assert b"1" in known.query(query)
    with pytest.raises(MachineError, match="compacted; asked 3"):
        lacking.query(query)


def test_a_command_whose_answer_is_lost_is_done_once_and_says_so() -> None:
    store = max(replicas(), key=lambda store: store.history.first)
    sessions = Sessions(store)
    opened = sessions.apply_batch(1, 1, wire.noted(wire.encode_open(bytes(range(16))), 1))
    session = wire.decode_session(wire.decode_results(answered(opened))[0][1])
    payload = wire.noted(wire.encode_batch(session, 0, [(1, READ_AND_PUT)]), 1)
    for index in (2, 3):
        ((status, text),) = wire.decode_results(answered(sessions.apply_batch(index, 1, payload)))
        assert status == wire.ANSWER_TOO_LONG
        assert b"done, but it reads at revision 3" in text
    plain = wire.noted(wire.encode_batch(b"", 0, [(0, READ_AND_PUT)]), 1)
    ((status, _),) = wire.decode_results(answered(sessions.apply_batch(4, 1, plain)))
    assert (status, store.revision) == (wire.ANSWER_TOO_LONG, 9)
