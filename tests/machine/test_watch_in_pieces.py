"""Watchers of one long change, and many of a short one: told in pieces, each event once, none lost.

Work is counted as in test_pieces.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain
from types import GeneratorType
from typing import Any

import pytest

from raftd.machine.kv import retention
from raftd.machine.kv import watcher as watcher_module
from raftd.machine.kv.interest import Interest
from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Delivery, Event, Watcher
from raftd.machine.pieces import Pieces, at_once
from raftd.wire import kv, leases, txn
from raftd.wire.principal import OWN
from tests.machine.test_pieces import longest_piece

FEW, MANY = 5_000, 15_000
EVERYTHING = txn.encode_txn(txn.Txn((), (txn.DeleteOp(b"k", b"l"),)))


class Told:
    """A watcher, and what its owner was told: whole revisions, put together from parts."""

    def __init__(self, store: KvStore, key: bytes, end: bytes = b"", start: int = 0) -> None:
        self.calls = 0
        self.got: list[tuple[int, list[Event]]] = []
        self.compacted = 0
        self.whole = True
        """It is not in the middle of a revision."""
        self.watcher: Watcher = store.watches.subscribe(
            key, end, start, on_ready=self._ready, prev_kv=True
        )

    def _ready(self) -> None:
        self.calls += 1

    def take(self, events_max: int = 512) -> Delivery:
        delivery = self.watcher.take(events_max)
        for revision, events in delivery.revisions:
            if self.whole or not self.got or self.got[-1][0] != revision:
                self.got.append((revision, []))
            self.got[-1][1].extend(events)
        self.whole = not delivery.goes_on
        self.compacted = delivery.compacted
        return delivery

    def take_all(self) -> None:
        while self.take().more:
            pass

    def keys(self) -> list[tuple[int, list[bytes]]]:
        return [(revision, [event.key for event in events]) for revision, events in self.got]


def filled(keys: int) -> KvStore:
    store = KvStore()
    for number in range(keys):
        store.apply(kv.encode_put(b"k%06d" % number, b"%d" % number))
        store.on_applied(number)
    return store


def applied(store: KvStore, command: bytes) -> Pieces[None] | None:
    """What is left to do then."""
    work = store.applying(OWN)(command)
    if isinstance(work, GeneratorType):
        at_once(work)
    return store.on_applied(1)


def do(store: KvStore, command: bytes) -> None:
    if (left := applied(store, command)) is not None:
        at_once(left)


Begin = Callable[[int], Callable[[], Any]]


def _flushed(keys: int) -> Callable[[], Any]:
    store = filled(keys)
    Told(store, b"k", b"l")
    do_it = store.applying(OWN)(EVERYTHING)
    at_once(do_it)  # type: ignore[arg-type]
    return lambda: store.on_applied(1)


def _of_many_watchers(keys: int) -> Callable[[], Any]:
    store = filled(10)
    for _ in range(keys):
        Told(store, b"k000001")
    store.apply(kv.encode_put(b"k000001", b"x"))
    return lambda: store.on_applied(1)


def _of_many_ranges(keys: int) -> Callable[[], Any]:
    store = filled(10)
    for number in range(keys):
        Told(store, b"k", b"m%06d" % number)
    store.apply(kv.encode_put(b"k000001", b"x"))
    return lambda: store.on_applied(1)


def _of_many_that_came_late(keys: int) -> Callable[[], Any]:
    store = filled(FEW)
    Told(store, b"k", b"m")
    left = applied(store, EVERYTHING)
    assert left is not None
    for number in range(keys):
        Told(store, b"k", b"m%06d" % number)
    return lambda: left


def _taken(keys: int) -> Callable[[], Any]:
    store = filled(keys)
    told = Told(store, b"k", b"l")
    do(store, EVERYTHING)
    do(store, kv.encode_put(b"k000001", b"x"))  # what was deleted has to be looked up now
    return lambda: takes(told)


def _taken_from_the_past(keys: int) -> Callable[[], Any]:
    store = filled(keys)
    do(store, EVERYTHING)
    do(store, kv.encode_put(b"k000001", b"x"))
    return lambda: takes(Told(store, b"k", b"l", keys + 2))


def takes(told: Told) -> Any:
    while told.take().more:
        yield


@pytest.mark.parametrize(
    "begin",
    [
        _flushed,
        _of_many_watchers,
        _of_many_ranges,
        _of_many_that_came_late,
        _taken,
        _taken_from_the_past,
    ],
)
def test_it_takes_pieces_none_of_which_grows(begin: Begin) -> None:
    """The story without it: a watcher of 300,000 keys that one command deleted held the network
    thread 1.8 s when they were queued for it, and 1.3 s when it was told of them.
    """
    few, many = (longest_piece(begin(keys)) for keys in (FEW, MANY))
    assert many[0] <= 1.5 * few[0], f"{many[0]} lines in one piece, with a third {few[0]}"
    assert many[1] >= MANY // 8192 + 1


def test_ranges_elsewhere_cost_a_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story without it: each put looked at all of them, and a batch of puts in one piece."""
    rng = random.Random(3)
    # A hash differs from process to process, and with it how high a tree of ranges comes out.
    monkeypatch.setattr(Interest.__init__, "__defaults__", (lambda _: rng.random(),))

    def beside(ranges: int) -> int:
        store = filled(10)
        for number in range(ranges):
            Told(store, b"m%06d" % number, b"m%06d\x05" % number)
        store.apply(kv.encode_batch_ops([(b"k%d" % key, b"x") for key in range(20)]))
        return longest_piece(lambda: store.on_applied(1))[0]

    assert beside(MANY) <= 1.5 * beside(FEW)


def test_all_of_a_long_change_is_told_once_and_in_order() -> None:
    store = filled(FEW)
    live, point = Told(store, b"k", b"l"), Told(store, b"k004000")
    past = Told(store, b"k", b"l", FEW)
    do(store, EVERYTHING)
    do(store, kv.encode_put(b"k000001", b"x"))
    wanted = [b"k%06d" % number for number in range(FEW)]
    for told in (live, point, past):
        told.take_all()
    assert live.keys() == [(FEW + 2, wanted), (FEW + 3, [b"k000001"])]
    assert all(event.kv is None for event in live.got[0][1])
    assert all(event.previous is not None for event in live.got[0][1])
    assert point.keys() == [(FEW + 2, [b"k004000"])]
    assert past.keys() == [
        (FEW, [wanted[FEW - 2]]),
        (FEW + 1, [wanted[FEW - 1]]),
        *live.keys(),
    ]
    assert point.watcher.progress == live.watcher.progress == FEW + 3


def test_nobody_is_told_of_a_change_before_it_was_looked_at_whole() -> None:
    """A watcher that comes, takes, goes or is behind meanwhile: nothing is lost or told twice."""
    store = filled(FEW)
    live, gone = Told(store, b"k", b"l"), Told(store, b"k", b"l")
    point, old = Told(store, b"k000001"), Told(store, b"k", b"l", FEW)
    late = []
    left = applied(store, EVERYTHING)
    assert left is not None
    for _ in left:
        seen = store.watches.revision
        if seen > FEW + 1:
            continue
        for told in (live, point, old):
            delivery = told.take()
            assert delivery.revision <= FEW + 1
        assert all(told.watcher.progress in (0, FEW + 1) for told in (live, point))
        late.append(Told(store, b"k000002"))
        gone.watcher.cancel()
    assert late
    late.append(Told(store, b"k000002"))
    do(store, kv.encode_put(b"k000002", b"x"))
    assert live.calls == point.calls == 1
    for told in (live, point, old, *late):
        told.take_all()
    every = [b"k%06d" % number for number in range(FEW)]
    assert live.keys() == [(FEW + 2, every), (FEW + 3, [b"k000002"])]
    assert point.keys() == [(FEW + 2, [b"k000001"])]
    assert old.keys()[2:] == live.keys()
    for told in late[:-1]:
        assert told.calls, "it did not have to take before it was called"
        assert told.keys() == [(FEW + 2, [b"k000002"]), (FEW + 3, [b"k000002"])]
    assert late[-1].keys() == [(FEW + 3, [b"k000002"])]
    assert (gone.calls, len(store.watches)) == (0, 3 + len(late))


def test_a_compaction_in_the_middle_of_a_revision_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "HELD_BYTES_MAX", 0)
    store = filled(FEW)
    live, kept = Told(store, b"k", b"l"), Told(store, b"k", b"l")
    do(store, EVERYTHING)
    for told in (live, kept):
        assert told.take().goes_on
    do(store, leases.encode_compact(FEW + 2))
    kept.take_all()
    assert [len(events) for _, events in kept.got] == [FEW], "its own revision stays"
    kept.take_all()
    for _ in range(600):
        do(store, kv.encode_put(b"k000001", b"x"))
    kept.take_all()
    do(store, leases.encode_compact(store.revision))
    live.take()
    assert (live.compacted, live.watcher.ended) == (store.revision, True)
    kept.take_all()
    assert kept.keys()[-1] == (store.revision, [b"k000001"])


def test_who_takes_while_a_long_command_runs_goes_on_where_it_was() -> None:
    store = filled(FEW)
    for number in range(FEW):
        do(store, kv.encode_put(b"m%06d" % number, b""))
    live = Told(store, b"k", b"l")
    do(store, EVERYTHING)
    assert live.take().goes_on
    more = store.applying(OWN)(txn.encode_txn(txn.Txn((), (txn.DeleteOp(b"m", b"n"),))))
    assert isinstance(more, GeneratorType)
    for _ in more:
        delivery = live.take()
        assert delivery.goes_on or delivery.more, "half of a revision is not said to be all of it"
    left = store.on_applied(1)
    assert left is not None
    at_once(left)
    live.take_all()
    assert [len(events) for _, events in live.got] == [FEW]


@pytest.mark.parametrize("seed", range(4))
def test_watchers_of_all_kinds_hear_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long and short changes, watchers that take at any time; against what the history says."""
    monkeypatch.setattr(watcher_module, "LONG", 8)
    monkeypatch.setattr(watcher_module, "SCAN_CHANGES", 40)
    rng, store = random.Random(seed), KvStore(chunk=5)
    every: list[tuple[Told, int, bytes, bytes]] = []

    def step(left: Pieces[None] | None) -> None:
        for _ in left or ():
            move()

    def move() -> None:
        if rng.random() < 0.3:
            key, end = rng.choice(((b"k", b"l"), (b"k1", b""), (b"k0", b"k2"), (b"\0", b"\0")))
            start = rng.choice((0, max(2, store.watches.revision - rng.randrange(8))))
            begin = start or store.watches.revision + 1
            every.append((Told(store, key, end, start), begin, key, end))
        for told, *_ in every:
            if rng.random() < 0.3:
                told.take(rng.choice((1, 5, 100)))

    for _ in range(150):
        if rng.random() < 0.3:
            command = txn.encode_txn(txn.Txn((), (txn.DeleteOp(b"k", rng.choice((b"l", b"k1"))),)))
        else:
            puts = [(b"k%d" % rng.randrange(30), b"v") for _ in range(rng.choice((1, 3, 25)))]
            command = kv.encode_batch_ops(list(dict(puts).items()))
        step(applied(store, command))
        move()
    for told, begin, key, end in every:
        told.take_all()
        span = told.watcher.span
        wanted = [
            (revision, keys)
            for revision, keys in (
                (each.revision, [one.key for one in each.changes if span.holds(one.key)])
                for each in store.changes(begin - 1)
            )
            if keys
        ]
        assert told.keys() == wanted, (key, end, begin)
        for event in chain.from_iterable(events for _, events in told.got):
            assert event.kv is None or event.kv.key == event.key
