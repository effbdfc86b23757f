"""What is compacted stays for watchers that were there in time, within a limit."""

from __future__ import annotations

import random

import pytest

from raftd.machine.kv import retention
from raftd.machine.kv import watcher as watcher_module
from raftd.machine.kv.retention import DEFAULT
from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Delivery
from raftd.wire import kv, leases, txn
from tests.machine.leading import FakeNode
from tests.machine.test_watch_in_pieces import EVERYTHING, Told, do


class Reader(Told):
    """Remembers that it was told of a compaction."""

    def take(self, events_max: int = 512) -> Delivery:
        known = self.compacted
        delivery = super().take(events_max)
        self.compacted = known or self.compacted
        return delivery


def test_who_is_inside_a_long_revision_goes_on_when_it_is_compacted() -> None:
    """The story without it: see Behind."""
    node = FakeNode(DEFAULT, 512)
    node.lead(1)
    store, keys = node.store, 60_000
    for number in range(keys):
        store.apply(kv.encode_put(b"k%06d" % number, bytes(100)))
        store.on_applied(number)
    node.proposals.clear()
    told, last = Reader(store, b"k", b"l"), Reader(store, b"k", b"l")
    do(store, EVERYTHING)
    assert told.take().goes_on
    while not node.proposals:
        do(store, kv.encode_put(b"k", b""))
        node.run(0.1)
    do(store, node.proposals.pop()[0])
    for _ in range(600):
        do(store, kv.encode_put(b"k1", b""))
    do(store, leases.encode_compact(store.revision))
    late = Reader(store, b"k", b"l", keys + 2)
    late.take()
    assert late.compacted, "nobody begins there anew"
    for each in (told, last):
        each.take_all()
        assert [event.key for event in each.got[0][1]] == [b"k%06d" % n for n in range(keys)]
        assert {event.kv for event in each.got[0][1]} == {None}
        assert all(event.previous is not None for event in each.got[0][1])
        assert each.got[-1][1][0].key == b"k1"
        assert each is last or store.history.held_bytes, "the other one needs it"
        do(store, kv.encode_put(b"m", b""))
    assert not store.history.held_bytes


def test_a_limit_on_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is so far behind that it is passed loses its place, and the others do not."""
    monkeypatch.setattr(retention, "HELD_BYTES_MAX", 5_000)
    store = KvStore(chunk=5)
    put = kv.encode_put(b"k", bytes(100))
    do(store, put)
    slow, quick = Reader(store, b"k", start=2), Reader(store, b"k", start=2)
    while store.revision < 200:
        for _ in range(10):
            do(store, put)
        do(store, leases.encode_compact(store.revision - 1))
        quick.take(7)
        quick.take(5)
        assert store.history.held_bytes <= 5_000
    slow.take()
    assert slow.compacted == store.history.compacted
    quick.take_all()
    assert [revision for revision, _ in quick.got] == list(range(2, store.revision + 1))


@pytest.mark.parametrize("limit", [0, 1_000, 1 << 20])
@pytest.mark.parametrize("seed", range(6))
def test_watchers_lose_nothing_unless_they_are_told(
    seed: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a replica without watchers has the same state."""
    monkeypatch.setattr(watcher_module, "LONG", 8)
    monkeypatch.setattr(watcher_module, "SCAN_CHANGES", 40)
    monkeypatch.setattr(retention, "HELD_BYTES_MAX", limit)
    rng, store, other = random.Random(seed), KvStore(chunk=5), KvStore(chunk=5)
    log: dict[int, dict[bytes, tuple[bytes | None, bytes | None]]] = {}
    values: dict[bytes, bytes] = {}
    every: list[tuple[Reader, int]] = []

    def move() -> None:
        if rng.random() < 0.2:
            key, end = rng.choice(((b"k", b"l"), (b"k1", b""), (b"k0", b"k15"), (b"\0", b"\0")))
            start = rng.choice((0, max(2, store.watches.revision - rng.randrange(30))))
            every.append((Reader(store, key, end, start), start or store.watches.revision + 1))
        for told, _ in every:
            if rng.random() < 0.1:
                told.take(rng.choice((1, 5, 100)))
        if every and rng.random() < 0.02:
            every.pop(rng.randrange(len(every)))[0].watcher.cancel()

    for _ in range(300):
        draw = rng.random()
        if draw < 0.1 and store.revision > store.history.compacted:
            command = leases.encode_compact(
                rng.randint(store.history.compacted + 1, store.revision)
            )
        elif draw < 0.3:
            command = txn.encode_txn(txn.Txn((), (txn.DeleteOp(b"k", rng.choice((b"l", b"k1"))),)))
        else:
            puts = [(b"k%d" % rng.randrange(30), rng.randbytes(9)) for _ in range(25)]
            command = kv.encode_batch_ops(list(dict(puts[: rng.choice((1, 3, 25))]).items()))
        before = store.revision
        left = store.applying(b"")(command)
        assert isinstance(left, bytes)
        other.apply(command)
        for changed in store.changes(before):
            log[changed.revision] = {}
            for change in changed.changes:
                value = None if change.record is None else change.record[-9:]
                log[changed.revision][change.key] = value, values.get(change.key)
                values.pop(change.key, None)
                if value is not None:
                    values[change.key] = value
        for _ in store.on_applied(1) or ():
            move()
        assert other.on_applied(1) is None
        move()
        assert store.history.held_bytes <= limit
        if draw < 0.1:
            assert b"".join(store.capture()) == b"".join(other.capture())
    went_on = 0
    for told, begin in every:
        told.take_all()
        wanted = [
            (revision, {key for key in changes if told.watcher.span.holds(key)})
            for revision, changes in log.items()
            if revision >= begin
        ]
        got = [(revision, {event.key for event in events}) for revision, events in told.got]
        wanted = [each for each in wanted if each[1]]
        if told.compacted:
            assert begin < told.compacted <= store.history.compacted
            if not told.whole or (got and got[-1][1] != dict(wanted).get(got[-1][0])):
                assert got[-1][1] < dict(wanted)[got[-1][0]]
                got = got[:-1]
            wanted = wanted[: len(got)]
        assert got == wanted
        for revision, events in told.got:
            for event in events:
                value, previous = log[revision][event.key]
                assert (event.kv and event.kv.value) == value
                assert event.previous is None or event.previous.value == previous
        went_on += not told.compacted
    assert went_on
    for told, _ in every:
        told.watcher.cancel()
    do(store, kv.encode_put(b"k", b""))
    assert store.history.held_bytes == 0
    assert store.watches._behind._marks == {}
