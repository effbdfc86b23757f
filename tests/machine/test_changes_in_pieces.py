"""Long commands come in pieces: all of it is applied, nobody sees half, and the result is the same.

Work is counted as in test_pieces.py.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import GeneratorType

import pytest

from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Event, Watcher
from raftd.machine.pieces import at_once
from raftd.machine.protocol import MachineError
from raftd.wire import kv, leases
from raftd.wire.principal import OWN
from raftd.wire.txn import (
    DESCEND,
    GREATER,
    LESS,
    VALUE,
    VERSION,
    Compare,
    DeleteOp,
    PutOp,
    RangeOp,
    Txn,
    encode_txn,
)
from tests.machine.test_pieces import FEW, LEASE, MANY, longest_piece

OTHER = 8


def filled(keys: int) -> KvStore:
    """Most keys have a lease, and came in no order; one in ten is another's, some have none."""
    store = KvStore()
    store.apply(leases.encode_lease_grant(LEASE, 60))
    store.apply(leases.encode_lease_grant(OTHER, 60))
    for number in range(keys):
        lease = (OTHER, 0)[number % 2] if number % 10 < 2 else LEASE
        put = PutOp(b"k%06d" % (number * 7919 % keys), b"%d" % number, lease)
        store.apply(encode_txn(Txn((), (put,))))
        store.on_applied(number)
    return store


def everything(**more: int) -> RangeOp:
    return RangeOp(b"\0", b"\0", **more)  # type: ignore[arg-type]


def all_hold(times: int) -> list[Compare]:
    return [Compare(b"k", VERSION, GREATER, 0, range_end=b"l")] * times


PUT = PutOp(b"z", b"")
COMMANDS = {
    "revoke": leases.encode_lease_revoke(LEASE),
    "expire": leases.encode_lease_expire([(LEASE, 1), (OTHER, 2)]),
    "delete": encode_txn(Txn((), (DeleteOp(b"\0", b"\0"),))),
    "delete most, read the rest": encode_txn(
        Txn((), (DeleteOp(b"k0001", b"k2"), everything(sort=VALUE, order=DESCEND, limit=3)))
    ),
    "compare": encode_txn(Txn(all_hold(4), (PUT,))),
    "put and read": encode_txn(Txn((), (PUT, *[everything(sort=VALUE, limit=1)] * 4))),
}


@pytest.fixture(scope="module")
def stores() -> Callable[[int], KvStore]:
    """Copies of what is filled once."""
    snapshots = {keys: b"".join(filled(keys).capture()) for keys in (FEW, MANY)}

    def copied(keys: int) -> KvStore:
        store = KvStore()
        store.restore(io.BytesIO(snapshots[keys]))
        store.on_applied(1)
        return store

    return copied


@pytest.mark.parametrize("name", COMMANDS)
def test_a_long_command_comes_in_pieces(stores: Callable[[int], KvStore], name: str) -> None:
    """The story without it: the end of a lease with 200,000 keys held every node's network thread
    for 1.8 s, and a transaction of a thousand compares of everything would for minutes.
    """
    made = []
    for keys in (FEW, MANY):
        store = stores(keys)
        made.append(longest_piece(lambda store=store: store.applying(OWN)(COMMANDS[name])))  # type: ignore[misc]
    few, many = made
    assert many[0] <= 1.5 * few[0], f"{many[0]} lines in one piece, with a third {few[0]}"
    assert many[1] >= MANY // 4096


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_what_it_would_be_at_once(stores: Callable[[int], KvStore], name: str) -> None:
    one, other = stores(FEW), stores(FEW)
    wanted, work = one.apply(COMMANDS[name]), other.applying(OWN)(COMMANDS[name])
    assert isinstance(work, GeneratorType)
    assert at_once(work) == wanted
    for store in (one, other):
        store.on_applied(2)
    assert one.revision == other.revision == FEW + 2
    assert b"".join(one.capture()) == b"".join(other.capture())


def test_the_keys_of_a_lease_go_in_order_and_the_others_stay(
    stores: Callable[[int], KvStore],
) -> None:
    store = stores(FEW)
    there = len(store)
    answer = leases.decode_revoke_answer(store.apply(COMMANDS["revoke"]))
    store.on_applied(2)
    assert (answer.revision, answer.deleted) == (FEW + 2, there * 8 // 10)
    assert len(store) == there - answer.deleted
    assert store.leases.keys(LEASE) == []
    assert len(store.leases.keys(OTHER)) == there // 10
    (changes,) = store.changes(FEW + 1)
    keys = [change.key for change in changes.changes]
    assert keys == sorted(keys)
    assert len(keys) == answer.deleted


def test_what_is_refused_after_pieces_has_changed_nothing(
    stores: Callable[[int], KvStore],
) -> None:
    store = stores(FEW)
    before = b"".join(store.capture())
    refused = Txn(all_hold(1), (PutOp(b"absent", b"", ignore_value=True),))
    work = store.applying(OWN)(encode_txn(refused))
    assert isinstance(work, GeneratorType)
    with pytest.raises(MachineError):
        at_once(work)
    assert b"".join(store.capture()) == before


def test_watchers_see_all_of_it_or_nothing(stores: Callable[[int], KvStore]) -> None:
    """Between two pieces some keys are gone and the history does not say so yet: a watcher that
    read on would hear of puts as deletes.
    """
    store = stores(FEW)
    called: list[str] = []
    live = store.watches.subscribe(b"k", b"l", on_ready=lambda: called.append("live"))
    behind = store.watches.subscribe(b"k", b"l", 2, on_ready=lambda: called.append("behind"))
    work = store.applying(OWN)(COMMANDS["delete"])
    assert isinstance(work, GeneratorType)
    heard = 0
    for _ in work:
        for watcher in (live, behind):
            heard += len(watcher.take().revisions)
        with pytest.raises(MachineError):
            store.capture()
    assert not heard
    told = store.on_applied(2)
    assert told is not None
    assert not called
    at_once(told)
    assert sorted(called) == ["behind", "live"]
    deleted = all_of(live)
    assert [(revision, event.kv) for revision, event in deleted] == [(FEW + 2, None)] * FEW
    assert len({event.key for _, event in deleted}) == FEW
    puts: list[bytes] = []
    while (delivery := behind.take()).revisions or delivery.more:
        for _, events in delivery.revisions:
            puts += [event.key for event in events if event.kv is not None]
    assert len(puts) == FEW


def all_of(watcher: Watcher) -> list[tuple[int, Event]]:
    """What there is for it now."""
    found: list[tuple[int, Event]] = []
    while (delivery := watcher.take()).revisions or delivery.more:
        found += [(revision, event) for revision, some in delivery.revisions for event in some]
    return found


def test_who_reads_while_nothing_is_changed_yet_sees_the_old(
    stores: Callable[[int], KvStore],
) -> None:
    store = stores(FEW)
    behind = store.watches.subscribe(b"k", b"l", 2, on_ready=lambda: None)
    none = Txn([*all_hold(3), Compare(b"k000000", VERSION, LESS, 0)], (PUT,))
    work = store.applying(OWN)(encode_txn(none))
    assert isinstance(work, GeneratorType)
    next(work)
    assert behind.take().revisions
    assert kv.decode_get(store.query(kv.encode_get(b"z"))).kv is None


class Mine(KvStore):
    """A store with a command and a query of its own."""

    def apply(self, command: bytes) -> bytes:
        return b"my answer" if command == b"mine" else super().apply(command)

    def query(self, request: bytes) -> bytes:
        return b"my answer" if request == b"mine" else super().query(request)


def test_what_a_store_of_ones_own_adds_is_asked_for() -> None:
    """The story without it: long work came in pieces, past the methods that a subclass has."""
    store = Mine()
    assert store.applying(OWN)(b"mine") == b"my answer"
    assert store.query_as(OWN, b"mine") == b"my answer"
    assert isinstance(store.applying(OWN)(kv.encode_put(b"k", b"v")), bytes)
    with pytest.raises(MachineError):
        KvStore().applying(OWN)(b"mine")
