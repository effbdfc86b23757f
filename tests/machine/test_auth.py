"""Users, roles and permissions in the store: who may what, by table; snapshots; what is refused."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from raftd.machine.kv.auth import Auth
from raftd.machine.kv.auth_snapshot import dump, load
from raftd.machine.kv.permissions import Permission, Rights
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError, SnapshotFormatError
from raftd.machine.sessions import Sessions
from raftd.wire import batch, kv, leases, refusals
from raftd.wire.auth import Access, Kind, decode_auth, decode_auth_answer, encode_auth
from raftd.wire.errors import WireError
from raftd.wire.principal import NOBODY, OWN, name_of, of_user, user_of
from raftd.wire.results import MACHINE_ERROR, OK
from raftd.wire.txn import PutOp, Txn, encode_txn
from tests.machine.answered import answered
from tests.machine.auth_cases import COMMANDS, LEASE, QUERIES

SECRET = bytes(32)


def do(store: KvStore, kind: Kind, *fields: bytes) -> int:
    """The auth revision afterwards."""
    return decode_auth_answer(store.apply(encode_auth(kind, *fields))).auth_revision


@pytest.fixture
def store() -> KvStore:
    """ann reads a..c and writes b..e; lea may do nothing; root everything. A lease on key x."""
    made = KvStore()
    for user in (b"root", b"ann", b"lea"):
        do(made, Kind.USER_ADD, user, b"hash")
    do(made, Kind.USER_GRANT, b"root", b"root")
    for role, access, key, end in (
        (b"reads", Access.READ, b"a", b"b"),
        (b"reads", Access.READ, b"b", b"c"),
        (b"writes", Access.WRITE, b"b", b"e"),
        (b"both", Access.READWRITE, b"one", b""),
        (b"both", Access.READWRITE, b"two", b""),
    ):
        if role.decode() not in made.auth.roles:
            do(made, Kind.ROLE_ADD, role)
            do(made, Kind.USER_GRANT, b"ann", role)
        do(made, Kind.ROLE_GRANT, role, bytes((access,)), key, end)
    made.apply(leases.encode_lease_grant(LEASE, 60))
    made.apply(encode_txn(Txn((), (PutOp(b"x", b"1", LEASE),), ())))
    do(made, Kind.ENABLE, SECRET)
    return made


def ann(store: KvStore) -> bytes:
    return store.auth.principal_of("ann")


def may_do(store: KvStore, principal: bytes, command: bytes) -> str:
    """Why it was refused, or nothing."""
    try:
        store.applying(principal)(command)
    except MachineError as error:
        return refusals.refusal_of(str(error))
    return ""


def may_ask(store: KvStore, principal: bytes, query: bytes) -> str:
    try:
        store.query_as(principal, query)
    except MachineError as error:
        return refusals.refusal_of(str(error))
    return ""


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_by_permission(store: KvStore, name: str) -> None:
    command, may = COMMANDS[name]
    before = b"".join(store.capture())
    said = may_do(store, ann(store), command)
    assert said == ("" if may else refusals.PERMISSION_DENIED)
    if not may:
        assert b"".join(store.capture()) == before
    assert may_do(store, NOBODY, command) == refusals.USER_EMPTY


@pytest.mark.parametrize("name", QUERIES)
def test_queries_by_permission(store: KvStore, name: str) -> None:
    query, may = QUERIES[name]
    said = may_ask(store, ann(store), query)
    if said != refusals.NOT_PRIMARY:  # allowed, and only a leader could say more
        assert said == ("" if may else refusals.PERMISSION_DENIED)
    assert may_ask(store, NOBODY, query) == refusals.USER_EMPTY


@pytest.mark.parametrize("principal", ["root", "the node"])
def test_root_and_the_node_itself_may_do_everything(store: KvStore, principal: str) -> None:
    who = OWN if principal == "the node" else store.auth.principal_of("root")
    for name, (command, _) in COMMANDS.items():
        if name != "switching it off":
            assert may_do(store, who, command) not in (
                refusals.PERMISSION_DENIED,
                refusals.USER_EMPTY,
            ), name


def test_what_is_taken_away_counts_at_once(store: KvStore) -> None:
    put, get = kv.encode_put(b"b", b""), kv.encode_get(b"b")
    who = ann(store)
    assert not may_do(store, who, put)
    assert not may_ask(store, who, get)
    do(store, Kind.ROLE_REVOKE, b"reads", b"b", b"c")
    assert may_ask(store, who, get) == refusals.PERMISSION_DENIED
    do(store, Kind.USER_REVOKE, b"ann", b"writes")
    assert may_do(store, who, put) == refusals.PERMISSION_DENIED
    do(store, Kind.USER_GRANT, b"ann", b"writes")
    assert not may_do(store, who, put)
    do(store, Kind.ROLE_DELETE, b"writes")
    assert may_do(store, who, put) == refusals.PERMISSION_DENIED


def test_who_was_made_anew_or_got_a_password_is_not_who_it_was(store: KvStore) -> None:
    old = ann(store)
    do(store, Kind.USER_PASSWORD, b"ann", b"other")
    assert may_ask(store, old, kv.encode_get(b"a")) == refusals.OLD_REVISION
    assert not may_ask(store, ann(store), kv.encode_get(b"a"))
    do(store, Kind.USER_DELETE, b"ann")
    assert may_ask(store, old, kv.encode_get(b"a")) == refusals.PERMISSION_DENIED
    do(store, Kind.USER_ADD, b"ann", b"hash")
    do(store, Kind.USER_GRANT, b"ann", b"reads")
    assert may_ask(store, old, kv.encode_get(b"a")) == refusals.OLD_REVISION


def refusals_of_management() -> Iterator[tuple[Kind, tuple[bytes, ...], str]]:
    yield Kind.USER_ADD, (b"ann", b""), refusals.USER_EXISTS
    yield Kind.USER_DELETE, (b"joe",), refusals.USER_NOT_FOUND
    yield Kind.USER_DELETE, (b"root",), refusals.INVALID_AUTH_MANAGEMENT
    yield Kind.USER_PASSWORD, (b"joe", b"h"), refusals.USER_NOT_FOUND
    yield Kind.USER_GRANT, (b"joe", b"reads"), refusals.USER_NOT_FOUND
    yield Kind.USER_GRANT, (b"ann", b"none"), refusals.ROLE_NOT_FOUND
    yield Kind.USER_REVOKE, (b"lea", b"reads"), refusals.ROLE_NOT_GRANTED
    yield Kind.USER_REVOKE, (b"root", b"root"), refusals.INVALID_AUTH_MANAGEMENT
    yield Kind.ROLE_ADD, (b"reads",), refusals.ROLE_EXISTS
    yield Kind.USER_ADD, (b"", b"h"), refusals.USER_EMPTY
    yield Kind.ROLE_ADD, (b"",), refusals.ROLE_EMPTY
    yield Kind.USER_GRANT, (b"joe", b""), refusals.USER_NOT_FOUND
    yield Kind.ROLE_DELETE, (b"none",), refusals.ROLE_NOT_FOUND
    yield Kind.ROLE_DELETE, (b"root",), refusals.INVALID_AUTH_MANAGEMENT
    yield Kind.ROLE_GRANT, (b"none", b"\0", b"a", b""), refusals.ROLE_NOT_FOUND
    yield Kind.ROLE_GRANT, (b"reads", b"\0", b"b", b"a"), refusals.INVALID_AUTH_MANAGEMENT
    yield Kind.ROLE_REVOKE, (b"reads", b"a", b""), refusals.PERMISSION_NOT_GRANTED


@pytest.mark.parametrize(("kind", "fields", "said"), list(refusals_of_management()))
def test_what_management_refuses_changes_nothing(
    store: KvStore, kind: Kind, fields: tuple[bytes, ...], said: str
) -> None:
    before = b"".join(store.capture())
    assert may_do(store, OWN, encode_auth(kind, *fields)) == said
    assert b"".join(store.capture()) == before


def test_it_is_switched_on_only_with_a_root() -> None:
    store = KvStore()
    enable = encode_auth(Kind.ENABLE, SECRET)
    assert may_do(store, NOBODY, enable) == refusals.ROOT_USER_MISSING
    do(store, Kind.USER_ADD, b"root", b"h")
    assert may_do(store, NOBODY, enable) == refusals.ROOT_ROLE_MISSING
    do(store, Kind.USER_GRANT, b"root", b"root")
    assert not may_do(store, NOBODY, enable)
    assert may_do(store, NOBODY, encode_auth(Kind.DISABLE)) == refusals.USER_EMPTY
    first = store.auth.secret
    do(store, Kind.ENABLE, bytes(range(32)))
    assert store.auth.secret == first, "switching on what is on changes nothing"


def test_the_auth_revision_counts_changes_and_nothing_else(store: KvStore) -> None:
    before = store.auth.revision
    assert do(store, Kind.USER_GRANT, b"ann", b"reads") == before, "granted already"
    store.applying(OWN)(kv.encode_put(b"b", b""))
    assert store.auth.revision == before
    revision = store.revision
    assert do(store, Kind.USER_ADD, b"joe", b"") == before + 1
    assert store.revision == revision, "keys have a revision of their own"


def test_a_snapshot_holds_it_all(store: KvStore) -> None:
    taken = b"".join(store.capture())
    assert taken.startswith(b"rkv3")
    other = KvStore()
    other.apply(kv.encode_put(b"gone", b""))
    other.restore(io.BytesIO(taken))
    assert b"".join(other.capture()) == taken
    assert other.auth.secret == SECRET
    assert other.auth.enabled
    who = other.auth.principal_of("ann")
    assert not may_do(other, who, kv.encode_put(b"b", b""))
    assert may_do(other, who, kv.encode_put(b"f", b"")) == refusals.PERMISSION_DENIED


def test_where_there_never_was_a_user_snapshots_are_as_before(store: KvStore) -> None:
    plain = KvStore()
    plain.apply(kv.encode_put(b"a", b""))
    taken = b"".join(plain.capture())
    assert taken.startswith(b"rkv2"), "programs without auth read it"
    store.restore(io.BytesIO(taken))
    assert not store.auth.enabled
    assert not store.auth.users
    assert store.auth.untouched


@pytest.mark.parametrize("cut", [4, 60, 80, 120])
def test_a_snapshot_that_is_cut_is_refused(store: KvStore, cut: int) -> None:
    taken = b"".join(store.capture())
    with pytest.raises(SnapshotFormatError):
        KvStore().restore(io.BytesIO(taken[:cut]))


def test_equal_commands_make_equal_snapshots_whatever_was_before(store: KvStore) -> None:
    """Names sort, so the order in which users came does not show."""
    one, two = Auth(), Auth()
    for auth, names in ((one, (b"a", b"b")), (two, (b"b", b"a"))):
        for name in names:
            auth.apply(decode_auth(encode_auth(Kind.ROLE_ADD, name)))
    assert dump(one) == dump(two)


def test_users_and_roles_are_written_once_for_each_change(store: KvStore) -> None:
    """The story without it: every 4 s, when states are compared, all of them were written anew on
    the thread that sends heartbeats.
    """
    changes = [
        encode_auth(Kind.ROLE_ADD, b"more"),
        encode_auth(Kind.ROLE_GRANT, b"more", bytes((Access.READ,)), b"x", b"y"),
        encode_auth(Kind.USER_ADD, b"eve", b"hash"),
        encode_auth(Kind.USER_GRANT, b"eve", b"more"),
        encode_auth(Kind.USER_PASSWORD, b"eve", b"other"),
        encode_auth(Kind.USER_REVOKE, b"eve", b"more"),
        encode_auth(Kind.ROLE_REVOKE, b"more", b"x", b"y"),
        encode_auth(Kind.ROLE_DELETE, b"more"),
        encode_auth(Kind.USER_DELETE, b"eve"),
        encode_auth(Kind.DISABLE),
        encode_auth(Kind.ENABLE, bytes(range(32))),
    ]
    assert set(Kind) == {Kind(decode_auth(change).kind) for change in changes}
    for change in changes:
        before = dump(store.auth)
        assert dump(store.auth) is before
        store.apply(change)
        assert dump(store.auth) != before
        held = load(dump(store.auth))
        assert (held.users, held.roles) == (store.auth.users, store.auth.roles)
        assert (held.enabled, held.secret) == (store.auth.enabled, store.auth.secret)
        other = KvStore()
        other.auth.become(held)
        assert dump(other.auth) == dump(store.auth)
    other = KvStore()
    other.restore(io.BytesIO(b"".join(store.capture())))
    assert dump(other.auth) == dump(store.auth)


def test_a_batch_is_applied_as_the_one_who_asked(store: KvStore) -> None:
    sessions = Sessions(store)
    sent = batch.encode_batch(
        b"", 0, [(0, kv.encode_put(b"b", b"")), (0, kv.encode_put(b"f", b""))]
    )
    for principal, statuses in (
        (ann(store), [OK, MACHINE_ERROR]),
        (NOBODY, [MACHINE_ERROR, MACHINE_ERROR]),
        (OWN, [OK, OK]),
    ):
        results = answered(sessions.apply_batch(1, 1, batch.noted(sent, 1, principal)))
        assert [status for status, _ in batch.decode_results(results)] == statuses
    assert answered(sessions.query(kv.encode_get(b"a"), ann(store)))[0] == OK
    assert sessions.query(kv.encode_get(b"f"), ann(store)) == (
        MACHINE_ERROR,
        refusals.PERMISSION_DENIED.encode(),
    )
    assert answered(sessions.query(kv.encode_get(b"a")))[0] == MACHINE_ERROR


def test_a_permission_without_an_end_is_one_key_and_with_a_zero_byte_all_from_there() -> None:
    one = Rights([Permission(b"k", b"", Access.READ)])
    assert one.may_read(b"k")
    assert not one.may_read(b"k", b"\0")
    assert not one.may_read(b"k\0")
    rest = Rights([Permission(b"k", b"\0", Access.READWRITE)])
    assert rest.may_read(b"k", b"\0")
    assert rest.may_write(b"zz")
    assert not rest.may_read(b"j", b"\0")
    everything = Rights([Permission(b"\0", b"\0", Access.WRITE)])
    assert everything.may_write(b"\0", b"\0")
    assert not everything.may_read(b"a")


def test_a_principal_is_its_name_and_serial() -> None:
    assert user_of(of_user("änn", 7)) == ("änn", 7)
    assert user_of(OWN) is None
    assert user_of(NOBODY) is None
    assert [name_of(each) for each in (NOBODY, OWN, of_user("a", 1))] == ["-", "(node)", "a"]


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"\x0a", b"\x0a\x01", b"\x0a\x02\x02", b"\x0a\x01\x63",
        encode_auth(Kind.USER_DELETE, b"a") + b"x", encode_auth(Kind.USER_DELETE, b"abc")[:-1],
        b"\x0a\x01\x04\x01\x00\xff", b"\x0a\x01\x04\x00",
    ],
)  # fmt: skip
def test_bytes_that_mean_nothing_are_refused(bad: bytes) -> None:
    with pytest.raises(WireError):
        decode_auth(bad)
    with pytest.raises(MachineError):
        KvStore().apply(bad)
