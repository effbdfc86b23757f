"""How much of the history a read in the past looks at: what it needs, not all that was changed.

The store is applied and read on the thread that sends heartbeats, so a read that looks at each
change for each key is an election.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raftd.machine.kv import history as history_module
from raftd.machine.kv import last_changes as last_changes_module
from raftd.machine.kv import reading as reading_module
from raftd.machine.kv import watcher as watcher_module
from raftd.machine.kv.history import Item
from raftd.machine.kv.store import KvStore
from raftd.wire import kv, txn, txn_answers
from raftd.wire.spans import prefix_end


class Store(KvStore):
    """One command an entry."""

    def __init__(self) -> None:
        super().__init__(chunk=64)
        self.index = 0

    def do(self, command: bytes) -> None:
        self.apply(command)
        self.index += 1
        self.on_applied(self.index)

    def range(
        self, key: bytes, end: bytes, revision: int, limit: int = 0
    ) -> tuple[list[bytes], int]:
        """(keys, how many there are in all)."""
        op = txn.RangeOp(key, end, limit, revision)
        answer = self.query(txn.encode_txn(txn.Txn((), (op,), ())))
        (found,) = txn_answers.decode_txn_answer(answer).responses
        assert isinstance(found, txn_answers.RangeAnswer)
        return [each.key for each in found.kvs], found.total


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """[changes that were looked at one by one]."""
    count, real = [0], history_module.changes_of

    def counted(item: Item) -> Iterator[tuple[bytes, bytes | None]]:
        for change in real(item):
            count[0] += 1
            yield change

    for module in (history_module, reading_module, watcher_module, last_changes_module):
        monkeypatch.setattr(module, "changes_of", counted, raising=False)
    return count


def test_what_one_delete_took_is_found_without_going_through_all_of_it(looked: list[int]) -> None:
    """The story without it: a watcher that came back behind a delete of 20,000 keys held up its
    node for 2 s at a time, 21 s in all: for each put it went through half of what the delete took.
    """
    store, keys = Store(), 600
    for number in range(keys):
        store.do(kv.encode_put(b"k%d" % number, b"%d" % number))
    store.do(txn.encode_txn(txn.Txn((), (txn.DeleteOp(b"k", prefix_end(b"k")),), ())))
    watcher = store.watches.subscribe(b"k", prefix_end(b"k"), 2, on_ready=lambda: None)
    looked[0] = 0
    got = []
    while (delivery := watcher.take()).more:
        got += delivery.revisions
    got += delivery.revisions
    values = [event.kv.value for _, events in got[:keys] for event in events if event.kv]
    assert values == [b"%d" % number for number in range(keys)]
    assert len(got[keys][1]) == keys
    assert looked[0] <= 8 * keys


def test_a_page_in_the_past_looks_at_its_own_keys(looked: list[int]) -> None:
    """The story without it: each page of a list at a revision cost what everybody had changed
    since, 0.9 s after 300,000 puts elsewhere.
    """
    store = Store()
    for number in range(10):
        store.do(kv.encode_put(b"a/%d" % number, b"1"))
    then = store.revision
    for number in range(500):
        store.do(kv.encode_put(b"b/%d" % number, b"1"))
    store.do(kv.encode_delete(b"a/3"))
    store.do(kv.encode_put(b"a/5", b"2"))
    store.do(kv.encode_put(b"a/55", b"2"))
    wanted = [b"a/%d" % number for number in range(10)]
    assert store.range(b"a/", b"a0", then) == (wanted, 10)  # which makes the index
    looked[0] = 0
    assert store.range(b"a/", b"a0", then, limit=4) == (wanted[:4], 10)
    assert store.range(wanted[3] + b"\0", b"a0", then, limit=4) == (wanted[4:8], 6)
    assert store.range(b"a/", b"a0", 0)[1] == 10
    assert looked[0] == 0


def test_many_changes_are_counted_alike_one_by_one_and_run_by_run() -> None:
    store = Store()
    for number in range(400):
        store.do(kv.encode_put(b"k%03d" % number, b"1"))
    then = store.revision
    for number in range(0, 400, 3):
        store.do(kv.encode_delete(b"k%03d" % number))
    for number in range(300, 800):
        store.do(kv.encode_put(b"k%03d" % number, b"2"))
    wanted = [b"k%03d" % number for number in range(400)]
    assert store.range(b"k", b"l", then) == (wanted, 400)
    assert store.range(b"k100", b"k120", then) == (wanted[100:120], 20)


def test_a_watcher_that_is_behind_goes_through_large_revisions_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """2,048 revisions of a thousand keys each are no milliseconds, though none of them is its own.

    The last one is looked at whole: a revision is never cut.
    """
    monkeypatch.setattr(watcher_module, "SCAN_CHANGES", 100)
    store = Store()
    for number in range(20):
        ops = [(b"k%d" % each, b"%d" % number) for each in range(40)]
        store.do(kv.encode_batch_ops(ops))
    watcher = store.watches.subscribe(b"other", b"", 2, on_ready=lambda: None)
    delivery, takes = watcher.take(), 1
    while delivery.more:
        delivery, takes = watcher.take(), takes + 1
    assert (takes, delivery.revision, watcher.progress) == (7, store.revision, store.revision)


def test_the_newest_changes_are_looked_at_alone(looked: list[int]) -> None:
    """The story without it: with a page on, each look after a delete of many keys was at all."""
    store = Store()
    for number in range(400):
        store.do(kv.encode_put(b"k%03d" % number, b"1"))
    store.do(txn.encode_txn(txn.Txn((), (txn.DeleteOp(b"k", prefix_end(b"k")),), ())))
    newest = store.revision
    store.last_changes(0, 10)  # which makes the index
    looked[0] = 0
    wanted = [(newest, "delete", b"k%03d" % number, 0) for number in range(390, 400)]
    assert store.last_changes(0, 10) == wanted
    assert looked[0] <= 20
