"""Watchers of the store: ordered, each event once, whole revisions, none lost."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest

from bench import watching
from raftd.machine.kv import watch as watch_module
from raftd.machine.kv import watcher as watcher_module
from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Event, Watcher
from raftd.machine.protocol import MachineError
from raftd.wire import kv, leases, txn
from raftd.wire.spans import prefix_end, span_of
from tests.machine import requests
from tests.machine.naive import Cell, Naive, Refused


class Store:
    """A store whose entries hold one command each, and a naive one beside it."""

    def __init__(self) -> None:
        self.store = KvStore(chunk=5)
        self.naive = Naive()
        self.index = 0

    def apply(self, command: bytes) -> None:
        try:
            self.store.apply(command)
        except MachineError:
            with pytest.raises(Refused):
                self.naive.execute(command)
        else:
            self.naive.execute(command)
        self.index += 1
        self.store.on_applied(self.index)

    def put(self, key: bytes, value: bytes = b"") -> None:
        self.apply(kv.encode_put(key, value))


class Reader:
    """Takes what its watcher has, when it is told to."""

    def __init__(self, bench: Store, key: bytes, range_end: bytes = b"", start: int = 0) -> None:
        self.calls = 0
        self.got: list[tuple[int, list[Event]]] = []
        self.position = 0
        self.compacted = 0
        self.watcher: Watcher = bench.store.watches.subscribe(
            key, range_end, start, on_ready=self._ready, prev_kv=True
        )

    def _ready(self) -> None:
        self.calls += 1

    def take(self, events_max: int = 100) -> bool:
        delivery = self.watcher.take(events_max)
        self.got += delivery.revisions
        self.position, self.compacted = delivery.revision, delivery.compacted
        return delivery.more

    def take_all(self) -> None:
        while self.take():
            pass


def wanted(naive: Naive, reader: Reader, first: int) -> Iterator[tuple[int, list[Event]]]:
    """What the naive store says the watcher must have seen from revision `first` on."""
    for revision in range(first, naive.revision + 1):
        events = [
            Event(key, _shown(key, cell), _shown(key, was))
            for key, cell, was in naive.events[revision]
            if reader.watcher.span.holds(key)
        ]
        if events:
            yield revision, events


def _shown(key: bytes, cell: Cell) -> kv.KeyValue | None:
    if cell.value is None:
        return None
    return kv.KeyValue(key, cell.value, cell.create, cell.mod, cell.version, cell.lease)


def test_whoever_has_nothing_to_take_is_called_once_for_what_comes() -> None:
    bench = Store()
    reader = Reader(bench, b"a")
    bench.put(b"b")
    assert (reader.calls, reader.watcher.progress) == (0, 2)
    bench.put(b"a", b"1")
    bench.put(b"a", b"2")
    assert (reader.calls, reader.watcher.progress) == (1, 0)
    assert not reader.take()
    assert [revision for revision, _ in reader.got] == [3, 4]
    assert reader.got[1][1][0].previous == kv.KeyValue(b"a", b"1", 3, 3, 1)
    assert (reader.position, reader.watcher.progress) == (4, 4)
    bench.put(b"a", b"3")
    assert reader.calls == 2
    reader.watcher.cancel()
    bench.put(b"a", b"4")
    assert reader.calls == 2
    assert reader.take() is False
    assert len(bench.store.watches) == 0
    assert bench.store.watches.queued_bytes == 0


@pytest.mark.parametrize("seed", range(6))
def test_every_watcher_sees_what_happened_however_it_takes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some keep up, some fall behind and are read from the history, some begin in the past."""
    monkeypatch.setattr(watcher_module, "SCAN_REVISIONS", 7)
    rng = random.Random(seed)
    bench = Store()
    bench.store.watches.queue_events_max = 4
    readers: list[tuple[Reader, int]] = []
    for step in range(500):
        request = requests.command(rng, bench.naive.revision)
        if request[0] == leases.COMPACT:
            continue
        bench.apply(request)
        if rng.random() < 0.06:
            start = rng.choice((0, max(bench.naive.revision - rng.randrange(-2, 30), 2)))
            key = rng.choice((b"k1", b"k", b"l", b"\0", b"k2"))
            end = rng.choice((b"", prefix_end(key), b"\0", b"k5"))
            reader = Reader(bench, key, end, start)
            readers.append((reader, start or bench.naive.revision + 1))
        for reader, _ in readers:
            if rng.random() < 0.1:
                reader.take(rng.choice((1, 3, 100)))
        if step % 120 == 119:
            data = b"".join(bench.store.capture())
            bench.store.restore(io.BytesIO(data))
            bench.index += 1
            bench.store.on_applied(bench.index)
    for reader, first in readers:
        reader.take_all()
        assert reader.got == list(wanted(bench.naive, reader, first))
        assert reader.watcher.progress == bench.naive.revision
    assert sum(len(reader.got) for reader, _ in readers) > 100


def test_a_snapshot_installed_under_a_watcher_is_read_on_from_its_history() -> None:
    """The node fell behind and jumps over entries that its watcher never saw applied."""
    ahead, behind = Store(), Store()
    for bench in (ahead, behind):
        bench.put(b"a", b"1")
    reader = Reader(behind, b"a")
    idle = Reader(behind, b"z")
    for number in range(20):
        ahead.put(b"a" if number % 2 else b"b", b"%d" % number)
    behind.store.restore(io.BytesIO(b"".join(ahead.store.capture())))
    behind.store.on_applied(99)
    assert (reader.calls, reader.watcher.progress) == (1, 0)
    reader.take_all()
    assert reader.got == list(wanted(ahead.naive, reader, 3))
    assert idle.calls == 1, "it has its place in the new history to find, too"
    idle.take_all()
    assert (idle.got, idle.watcher.progress) == ([], 22)


def test_what_is_compacted_before_a_watcher_took_it_is_told_with_the_revision() -> None:
    bench = Store()
    for number in range(20):
        bench.put(b"a", b"%d" % number)
    late = Reader(bench, b"a", start=5)
    exact = Reader(bench, b"a", start=10)
    bench.apply(leases.encode_compact(10))
    new = Reader(bench, b"a", start=5)
    new.take()
    assert (new.compacted, new.got) == (10, [])
    assert new.watcher.ended
    late.take_all()
    exact.take_all()
    assert [revision for revision, _ in late.got] == list(range(5, 22)), "it was there in time"
    assert exact.got == late.got[5:]
    without = [revision for revision, events in late.got if events[0].previous is None]
    assert without == [10], "as in etcd: what was before is compacted"


def test_a_jump_over_compacted_history_ends_the_watcher() -> None:
    ahead, behind = Store(), Store()
    reader = Reader(behind, b"a")
    for number in range(20):
        ahead.put(b"a", b"%d" % number)
    ahead.apply(leases.encode_compact(15))
    behind.store.restore(io.BytesIO(b"".join(ahead.store.capture())))
    behind.store.on_applied(99)
    assert reader.calls == 1
    reader.take()
    assert reader.compacted == 15


def test_a_future_start_is_waited_for_in_silence() -> None:
    bench = Store()
    reader = Reader(bench, b"a", start=5)
    for number in range(3):
        bench.put(b"a", b"%d" % number)
        assert (reader.calls, reader.watcher.progress) == (0, 0 if number < 2 else 4)
    bench.put(b"a", b"at last")
    reader.take_all()
    assert [revision for revision, _ in reader.got] == [5]


def test_filters_leave_out_puts_or_deletes() -> None:
    bench = Store()
    got: dict[str, list[Event]] = {"puts": [], "deletes": []}
    subscribe = bench.store.watches.subscribe
    watchers = {
        "puts": subscribe(b"a", on_ready=lambda: None, no_delete=True),
        "deletes": subscribe(b"a", start_revision=2, on_ready=lambda: None, no_put=True),
    }
    bench.put(b"a", b"1")
    bench.apply(kv.encode_delete(b"a"))
    bench.put(b"a", b"2")
    for name, watcher in watchers.items():
        for _, events in watcher.take().revisions:
            got[name] += events
    assert [event.kv is not None for event in got["puts"]] == [True, True]
    assert [event.kv is None for event in got["deletes"]] == [True]


def test_a_watcher_that_does_not_take_costs_a_bounded_queue() -> None:
    bench = Store()
    reader = Reader(bench, b"a")
    every = Reader(bench, b"\0", b"\0")
    for _ in range(5000):
        bench.put(b"a", bytes(100))
    assert reader.calls == 1
    assert reader.watcher.queued_events <= 1024
    assert bench.store.watches.queued_bytes < 2 * 1024 * 700
    reader.take_all()
    assert len(reader.got) == 5000
    every.watcher.cancel()
    assert bench.store.watches.queued_bytes == 0


def test_all_queues_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "QUEUED_BYTES_MAX", 20_000)
    bench = Store()
    readers = [Reader(bench, b"a") for _ in range(30)]
    for _ in range(10):
        bench.put(b"a", bytes(1000))
    assert bench.store.watches.queued_bytes <= 20_000
    for reader in readers:
        reader.take_all()
        assert len(reader.got) == 10


def test_a_transaction_reaches_a_watcher_in_one_piece() -> None:
    bench = Store()
    reader = Reader(bench, b"\0", b"\0")
    ops: list[txn.Op] = [txn.PutOp(b"%d" % number) for number in range(5)]
    bench.apply(txn.encode_txn(txn.Txn([], ops)))
    bench.apply(txn.encode_txn(txn.Txn([], [txn.DeleteOp(b"\0", b"\0")])))
    reader.take(events_max=1)
    reader.take(events_max=1)
    assert [(revision, len(events)) for revision, events in reader.got] == [(2, 5), (3, 5)]


def test_spans_of_every_kind_are_found() -> None:
    bench = Store()
    spans = [
        (b"k1", b""),
        (b"k", b"l"),
        (b"k0", b"k2"),
        (b"\0", b"\0"),
        (b"k1", b"k2"),
        (b"l", b"k"),
    ]
    readers = [Reader(bench, *span) for span in spans]
    bench.put(b"k1")
    bench.put(b"k3")
    for reader, span in zip(readers, spans, strict=True):
        reader.take_all()
        keys = [events[0].key for _, events in reader.got]
        assert keys == [key for key in (b"k1", b"k3") if span_of(*span).holds(key)]
        reader.watcher.cancel()
    assert bench.store.watches.live == 0


def test_the_benchmark_of_many_watchers_misses_nothing() -> None:
    told = watching.measure(puts=2_000, keys=50, watchers=20, slow=0.5)
    assert (told["missed"], told["events"]) == (0, 2_000)
