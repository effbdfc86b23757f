"""Who may put a key on a lease: all its keys count, and few of them are looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from raftd.machine.kv.permissions import Rights, Spans
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError
from raftd.wire import leases
from raftd.wire.auth import Access, Kind, encode_auth
from raftd.wire.spans import Span
from raftd.wire.txn import PutOp, Txn, encode_txn
from tests.machine.answered import answered
from tests.machine.leading import FakeNode
from tests.machine.test_pieces import longest_piece

FEW, MANY = 5_000, 15_000


def do(store: KvStore, kind: Kind, *fields: bytes) -> None:
    store.apply(encode_auth(kind, *fields))


def ann(store: KvStore) -> bytes:
    return store.auth.principal_of("ann")


def made() -> KvStore:
    """ann writes b..e. It leads."""
    node = FakeNode()
    node.lead(1)
    made = node.store
    for user, role in ((b"root", b"root"), (b"ann", b"writes")):
        do(made, Kind.USER_ADD, user, b"hash")
        do(made, Kind.ROLE_ADD, role)
        do(made, Kind.USER_GRANT, user, role)
    do(made, Kind.ROLE_GRANT, b"writes", bytes((Access.WRITE,)), b"b", b"e")
    do(made, Kind.ENABLE, bytes(32))
    return made


@pytest.fixture
def store() -> KvStore:
    return made()


def test_a_put_beside_many_keys_on_a_lease_does_not_look_at_all_of_them(
    store: KvStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of a thousand such puts would else hold up all nodes for seconds."""
    keys = 1000
    apply = store.applying(ann(store))
    apply(leases.encode_lease_grant(8, 60))
    for number in range(keys):
        apply(encode_txn(Txn((), (PutOp(b"b%d" % number, b"1", 8),), ())))
    looked = 0
    may_write = Rights.may_write

    def counting(rights: Rights, key: bytes, range_end: bytes = b"") -> bool:
        nonlocal looked
        looked += 1
        return may_write(rights, key, range_end)

    monkeypatch.setattr(Rights, "may_write", counting)
    for number in range(10):
        apply(encode_txn(Txn((), (PutOp(b"b%d" % number, b"2", 8),), ())))
    assert looked < 50
    store.apply(encode_txn(Txn((), (PutOp(b"x", b"1", 8),), ())))
    for _ in range(2):
        with pytest.raises(MachineError, match="permission denied"):
            apply(encode_txn(Txn((), (PutOp(b"b1", b"2", 8),), ())))
    do(store, Kind.ROLE_GRANT, b"writes", bytes((Access.WRITE,)), b"x", b"")
    apply = store.applying(ann(store))
    apply(encode_txn(Txn((), (PutOp(b"b1", b"2", 8),), ())))
    do(store, Kind.ROLE_REVOKE, b"writes", b"x", b"")
    with pytest.raises(MachineError, match="permission denied"):
        apply(encode_txn(Txn((), (PutOp(b"b1", b"2", 8),), ())))


def test_another_lease_under_the_same_number_is_looked_at_anew(store: KvStore) -> None:
    apply = store.applying(ann(store))
    apply(leases.encode_lease_grant(8, 60))
    apply(encode_txn(Txn((), (PutOp(b"b1", b"1", 8),), ())))
    apply(encode_txn(Txn((), (PutOp(b"b1", b"1", 8),), ())))
    apply(leases.encode_lease_revoke(8))
    apply(leases.encode_lease_grant(8, 60))
    for key in (b"x", b"y"):
        store.apply(encode_txn(Txn((), (PutOp(key, b"1", 8),), ())))
    with pytest.raises(MachineError, match="permission denied"):
        apply(encode_txn(Txn((), (PutOp(b"b1", b"1", 8),), ())))


def test_who_may_write_a_range_is_not_asked_for_each_key_of_a_lease_in_it(
    store: KvStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The story without it: the first put beside 200,000 keys held the network thread 180 ms, and
    so did a look at the lease with its keys.
    """
    store.apply(leases.encode_lease_grant(8, 60))
    for number in range(1000):
        store.apply(encode_txn(Txn((), (PutOp(b"b%d" % number, b"1", 8),), ())))
    looked = 0
    cover = Spans.cover

    def counting(spans: Spans, wanted: Span) -> bool:
        nonlocal looked
        looked += 1
        return cover(spans, wanted)

    monkeypatch.setattr(Spans, "cover", counting)
    apply = store.applying(ann(store))
    apply(encode_txn(Txn((), (PutOp(b"b1", b"2", 8),), ())))
    assert looked < 10
    store.apply(encode_txn(Txn((), (PutOp(b"c", b"1", 8),), ())))
    store.apply(encode_txn(Txn((), (PutOp(b"a", b"1", 8),), ())))
    with pytest.raises(MachineError, match="permission denied"):
        apply(encode_txn(Txn((), (PutOp(b"b1", b"2", 8),), ())))


def leased(store: KvStore, lease: int, keys: int) -> None:
    """Some keys are in each of two ranges of ann's; those behind them come last."""
    store.apply(leases.encode_lease_grant(lease, 60))
    for number in range(keys):
        put = PutOp(b"%c%d.%d" % (b"by"[number % 2], lease, number), b"1", lease)
        store.apply(encode_txn(Txn((), (put,), ())))


def of_one(store: KvStore, keys: int) -> bytes:
    leased(store, 8, keys)
    return encode_txn(Txn((), (PutOp(b"b1", b"2", 8),), ()))


def of_many(store: KvStore, keys: int) -> bytes:
    numbers = range(1, keys // 600)
    for lease in numbers:
        leased(store, lease, 600)
    return encode_txn(Txn((), [PutOp(b"b%d" % lease, b"2", lease) for lease in numbers], ()))


def asked(store: KvStore, keys: int) -> bytes:
    leased(store, 8, keys)
    return leases.encode_lease_time_to_live(8, keys=True)


@pytest.mark.parametrize("make", [of_one, of_many, asked])
def test_the_keys_of_leases_are_looked_at_in_pieces(make: Callable[[KvStore, int], bytes]) -> None:
    """The story without it: for whom two ranges are allowed, the first put beside 200,000 keys held
    the network thread a third of a second.
    """
    longest = []
    for keys in (FEW, MANY):
        store = made()
        both = bytes((Access.READWRITE,))
        do(store, Kind.ROLE_GRANT, b"writes", both, b"b", b"c")
        do(store, Kind.ROLE_GRANT, b"writes", both, b"y", b"z")
        request = make(store, keys)
        do_it = partial(store.query_as, ann(store)) if make is asked else store.applying(ann(store))
        longest.append(longest_piece(partial(do_it, request)))
    assert longest[1][0] <= 1.5 * longest[0][0]
    assert longest[1][1] >= MANY // 2048
    assert longest[1][2], "and it was done"


@pytest.mark.parametrize("allowed_first", [True, False])
def test_one_key_of_many_that_may_not_be_written_refuses_all(allowed_first: bool) -> None:
    store = made()
    forbidden = PutOp(b"x", b"1", 8)
    store.apply(leases.encode_lease_grant(8, 60))
    if not allowed_first:
        store.apply(encode_txn(Txn((), (forbidden,), ())))
    for number in range(FEW):
        store.apply(encode_txn(Txn((), (PutOp(b"b%d" % number, b"1", 8),), ())))
    if allowed_first:
        store.apply(encode_txn(Txn((), (forbidden,), ())))
    before = store.revision
    for command in (
        encode_txn(Txn((), (PutOp(b"b1", b"2", 8),), ())),
        leases.encode_lease_revoke(8),
    ):
        for _ in range(2):
            with pytest.raises(MachineError, match="permission denied"):
                answered(store.applying(ann(store))(command))
    with pytest.raises(MachineError, match="permission denied"):
        answered(store.query_as(ann(store), leases.encode_lease_time_to_live(8, keys=True)))
    assert store.revision == before
