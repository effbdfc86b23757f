"""The built-in store: etcd's revision rules one by one, and at random against the naive store."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raftd.machine.kv import snapshot
from raftd.machine.kv import table as table_module
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError, SnapshotFormatError
from raftd.wire import kv
from tests.machine.models import NaiveStore, random_commands

KEYS = st.binary(min_size=1, max_size=2)
VALUES = st.binary(max_size=2)
EXPECTS = st.one_of(
    st.just(kv.expect_absent()),
    VALUES.map(kv.expect_value),
    st.integers(0, 5).map(kv.expect_version),
    st.integers(0, 30).map(kv.expect_mod_revision),
)
OPERATIONS = st.dictionaries(KEYS, st.one_of(st.none(), VALUES), max_size=5).map(
    lambda chosen: list(chosen.items())
)
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, VALUES),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("cas"), KEYS, st.one_of(st.none(), VALUES), EXPECTS),
    st.tuples(st.just("batch"), OPERATIONS),
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("range"), st.binary(max_size=1), st.integers(0, 6), st.binary(max_size=2)),
)


class Client:
    """The store behind the client's codec."""

    def __init__(self, store: KvStore | None = None) -> None:
        self.store = store or KvStore()

    def put(self, key: bytes, value: bytes) -> kv.PutResult:
        return kv.decode_put(self.store.apply(kv.encode_put(key, value)))

    def delete(self, key: bytes) -> kv.DeleteResult:
        return kv.decode_delete(self.store.apply(kv.encode_delete(key)))

    def cas(self, key: bytes, value: bytes | None, expect: kv.Expect) -> kv.CasResult:
        return kv.decode_cas(self.store.apply(kv.encode_cas(key, value, expect)))

    def batch(self, operations: list[tuple[bytes, bytes | None]]) -> kv.BatchResult:
        return kv.decode_batch_ops(self.store.apply(kv.encode_batch_ops(operations)))

    def get(self, key: bytes) -> kv.GetResult:
        return kv.decode_get(self.store.query(kv.encode_get(key)))

    def range(self, prefix: bytes = b"", limit: int = 0, after: bytes = b"") -> kv.RangeResult:
        return kv.decode_range(self.store.query(kv.encode_range(prefix, limit, after)))


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_the_store_answers_like_the_naive_one(steps: list[tuple[str, ...]]) -> None:
    client, naive = Client(), NaiveStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_module, "SPLIT_AT", 4)
        patch.setattr(table_module, "MERGE_BELOW", 1)
        patch.setattr(table_module, "MERGED_MAX", 2)
        for name, *arguments in steps:
            if name == "get":
                expected: object = (naive.revision, naive.keys.get(arguments[0]))  # type: ignore[call-overload]
            else:
                expected = getattr(naive, name)(*arguments)
            assert getattr(client, name)(*arguments) == expected
        assert client.range(limit=10_000).kvs == naive.range(b"", 10_000, b"").kvs
        assert len(client.store) == len(naive.keys)


def test_a_fresh_store_is_at_revision_1() -> None:
    assert Client().range() == (1, [], False)
    assert Client().get(b"k") == (1, None)


def test_one_revision_for_each_put_delete_and_batch_that_changes_something() -> None:
    client = Client()
    assert client.put(b"a", b"1") == (2, 1)
    assert client.put(b"a", b"1") == (3, 2)  # the same value again is a change, too
    assert client.delete(b"a") == (4, True)
    assert client.batch([(b"a", b""), (b"b", b""), (b"c", None)]) == (5, [1, 1, 0])
    assert client.get(b"b").kv == kv.KeyValue(b"b", b"", 5, 5, 1)


def test_deleting_nothing_changes_nothing() -> None:
    client = Client()
    client.put(b"a", b"1")
    assert client.delete(b"b") == (2, False)
    assert client.batch([(b"b", None), (b"c", None)]) == (2, [0, 0])
    assert client.batch([]) == (2, [])
    assert client.cas(b"b", None, kv.expect_absent()) == (2, True, None)


def test_a_failed_compare_and_set_changes_nothing_and_shows_what_is_there() -> None:
    client = Client()
    client.put(b"a", b"1")
    there = kv.KeyValue(b"a", b"1", 2, 2, 1)
    for expect in (
        kv.expect_absent(),
        kv.expect_value(b"2"),
        kv.expect_version(0),
        kv.expect_mod_revision(1),
    ):
        assert client.cas(b"a", b"new", expect) == (2, False, there)
        assert client.cas(b"a", None, expect) == (2, False, there)
    assert client.cas(b"b", b"", kv.expect_value(b"")) == (2, False, None)


def test_version_restarts_when_a_key_is_made_anew() -> None:
    client = Client()
    client.put(b"a", b"1")
    client.put(b"a", b"2")
    client.delete(b"a")
    assert client.put(b"a", b"3") == (5, 1)
    assert client.get(b"a").kv == kv.KeyValue(b"a", b"3", 5, 5, 1)


def test_a_key_appears_at_most_once_in_an_atomic_batch() -> None:
    store = KvStore()
    operation = kv.OPERATION_HEAD.pack(kv.PUT, 1, 1) + b"kv"
    with pytest.raises(MachineError, match="twice"):
        store.apply(kv.KEYED_HEAD.pack(kv.BATCH, 2) + operation * 2)
    assert (store.revision, len(store)) == (1, 0)


def test_pages_cover_every_key_once() -> None:
    client = Client()
    names = sorted({b"p%d" % number for number in range(257)})
    for name in random.Random(3).sample(names, len(names)):
        client.put(name, b"")
    client.put(b"o", b"")
    client.put(b"q", b"")
    seen: list[bytes] = []
    page = client.range(b"p", 10)
    while page.more:
        assert len(page.kvs) == 10
        seen += [pair.key for pair in page.kvs]
        page = client.range(b"p", 10, seen[-1])
    assert seen + [pair.key for pair in page.kvs] == names
    assert not client.range(b"p", 257).more
    assert client.range(b"p", 256).more
    assert client.range(b"p", 9, b"z") == (client.store.revision, [], False)


def test_a_page_ends_at_2_mib_but_holds_at_least_one_key() -> None:
    client = Client()
    for name in (b"a", b"b", b"c"):
        client.put(name, bytes(kv.VALUE_BYTES_MAX))
    page = client.range()
    assert ([pair.key for pair in page.kvs], page.more) == ([b"a"], True)
    for number in range(1100):
        client.put(b"n%04d" % number, b"")
    assert len(client.range(b"n").kvs) == kv.RANGE_LIMIT_DEFAULT


@pytest.mark.parametrize("seed", range(4))
def test_equal_states_give_equal_bytes_whatever_their_history(seed: int) -> None:
    """Runs are cut differently in a grown, a restored and a shrunk store; nobody may see that."""
    grown = KvStore()
    for command in random_commands(seed, 3000, keys=900):
        _try(grown, command)
    data = b"".join(grown.capture())
    restored = KvStore()
    restored.restore(io.BytesIO(data))
    assert b"".join(restored.capture()) == data
    for command in random_commands(seed + 100, 500, keys=900):
        assert _try(grown, command) == _try(restored, command)
    assert b"".join(restored.capture()) == b"".join(grown.capture())


def _try(store: KvStore, command: bytes) -> bytes | str:
    try:
        return store.apply(command)
    except MachineError as error:
        return str(error)


class Dribble(io.RawIOBase):
    """A reader that hands out a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(7)


def test_a_snapshot_is_read_in_pieces_of_any_size() -> None:
    store = KvStore()
    for number in range(50):
        store.apply(kv.encode_put(b"key%d" % number, bytes(number)))
    data = b"".join(store.capture())
    copy = KvStore()
    copy.restore(Dribble(data))  # type: ignore[arg-type]
    assert b"".join(copy.capture()) == data


def test_large_values_are_cut_into_bounded_chunks() -> None:
    store = KvStore()
    for number in range(20):
        store.apply(kv.encode_put(b"%d" % number, bytes(100_000)))
    sizes = [len(chunk) for chunk in store.capture()]
    assert len(sizes) == 21, "the last one is the history"
    assert max(sizes) < 110_000


def _snapshot() -> bytes:
    store = KvStore()
    for number in range(5):
        store.apply(kv.encode_put(b"key%d" % number, b"value"))
    return b"".join(store.capture())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_snapshot_is_refused_or_is_another_state(data: st.DataObject) -> None:
    good = bytearray(_snapshot())
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    bad = bytes(good[: data.draw(st.integers(0, len(good)))])
    store = KvStore()
    try:
        store.restore(io.BytesIO(bad))
    except SnapshotFormatError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert b"".join(store.capture()) == bad


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([1, 2, 3, 4, 16, 17, 5, 0]), st.binary(max_size=40))
@example(1, b"\x01\x00\x00")  # a put, and no query
def test_any_bytes_are_answered_or_refused_and_a_refusal_changes_nothing(
    tag: int, data: bytes
) -> None:
    store = KvStore()
    store.apply(kv.encode_put(b"\x00", b"old"))
    for call in (store.apply, store.query):
        before = b"".join(store.capture())
        try:
            call(bytes((tag,)) + data)
        except MachineError as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert b"".join(store.capture()) == before


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (b"", "0 bytes"),
        (b"\x63", "not a key-value"),
        (b"\x01\x00", "not a key-value"),
        (kv.KEYED_HEAD.pack(kv.PUT, 0) + b"v", "key: 0 bytes"),
        (kv.KEYED_HEAD.pack(kv.PUT, 5) + b"abc", "not a key-value"),
        (kv.KEYED_HEAD.pack(kv.PUT, 32_769) + bytes(32_769), "key: 32769 bytes"),
        (kv.KEYED_HEAD.pack(kv.PUT, 1) + bytes(kv.VALUE_BYTES_MAX + 2), "the limit is 1310720"),
        (kv.KEYED_HEAD.pack(kv.DELETE, 0), "key: 0 bytes"),
        (kv.KEYED_HEAD.pack(kv.DELETE, 1) + b"ab", "not a key-value"),
        (kv.CAS_HEAD.pack(kv.CAS, 1, 5, 1, 0, 0) + b"k", "not a key-value"),
        (kv.CAS_HEAD.pack(kv.CAS, 1, 1, 3, 0, 0) + b"k", "not a key-value"),
        (kv.CAS_HEAD.pack(kv.CAS, 1, 1, 2, 0, 0) + b"kv", "not a key-value"),
        (kv.CAS_HEAD.pack(kv.CAS, 1, 2, 1, 0, 9) + b"k", "not a key-value"),
        (kv.KEYED_HEAD.pack(kv.BATCH, 1025), "1025 operations"),
        (kv.KEYED_HEAD.pack(kv.BATCH, 1), "not a key-value"),
        (kv.KEYED_HEAD.pack(kv.BATCH, 0) + b"x", "not a key-value"),
        (kv.KEYED_HEAD.pack(kv.BATCH, 1) + kv.OPERATION_HEAD.pack(9, 1, 0) + b"k", "not a key"),
        (kv.KEYED_HEAD.pack(kv.BATCH, 1) + kv.OPERATION_HEAD.pack(1, 0, 0), "key: 0 bytes"),
    ],
)
def test_what_the_client_would_not_send_is_refused_in_words(command: bytes, names: str) -> None:
    store = KvStore()
    with pytest.raises(MachineError, match=names):
        store.apply(command)
    assert store.revision == 1


def test_after_is_exclusive_even_where_it_is_the_prefix() -> None:
    client = Client()
    for name in (b"p", b"p1", b"p2"):
        client.put(name, b"")
    assert [pair.key for pair in client.range(b"p").kvs] == [b"p", b"p1", b"p2"]
    assert [pair.key for pair in client.range(b"p", 0, b"p").kvs] == [b"p1", b"p2"]
    assert [pair.key for pair in client.range(b"p", 0, b"o").kvs] == [b"p", b"p1", b"p2"]


@pytest.mark.parametrize("keys", [(b"a", b"a"), (b"b", b"a"), (b"",)])
def test_a_snapshot_out_of_order_is_refused(keys: tuple[bytes, ...]) -> None:
    record = kv.RECORD_HEAD.pack(2, 2, 1)
    pairs = b"".join(kv.PAIR_HEAD.pack(len(key), len(record)) + key + record for key in keys)
    for head in (
        snapshot.MAGIC_1 + snapshot.HEAD_1.pack(9, len(keys)),
        snapshot.MAGIC + snapshot.HEAD.pack(9, 0, 10, len(keys), 0, 0),
    ):
        with pytest.raises(SnapshotFormatError, match="out of order"):
            KvStore().restore(io.BytesIO(head + pairs))
