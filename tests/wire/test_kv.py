"""The client's side of the key-value codec; tests/machine judges the store's side against it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftd.wire import kv
from raftd.wire.errors import WireError

RECORD = kv.RECORD_HEAD.pack(4, 5, 6) + b"value"
PAIR = kv.PAIR_HEAD.pack(3, len(RECORD)) + b"key" + RECORD
KEY_VALUE = kv.KeyValue(b"key", b"value", 4, 5, 6)


def test_the_bytes_of_commands_are_frozen() -> None:
    assert kv.encode_put(b"k", b"v").hex() == "0101006b76"
    assert kv.encode_delete(b"k").hex() == "0201006b"
    assert kv.encode_get(b"k").hex() == "1001006b"
    assert (
        kv.encode_range(b"p", 9, b"pa").hex() == "11" + "0100" + "0200" + "09000000" + "70" + "7061"
    )
    head = "0301000101" + "00" * 8 + "00000000"
    assert kv.encode_cas(b"k", b"v", kv.expect_absent()).hex() == head + "6b76"
    head = "0301000202" + "00" * 8 + "02000000"
    assert kv.encode_cas(b"k", None, kv.expect_value(b"ab")).hex() == head + "6b6162"
    head = "0301000301" + "0700000000000000" + "00000000"
    assert kv.encode_cas(b"k", b"", kv.expect_version(7)).hex() == head + "6b"
    head = "0301000401" + "0700000000000000" + "00000000"
    assert kv.encode_cas(b"k", b"", kv.expect_mod_revision(7)).hex() == head + "6b"
    ops = kv.encode_batch_ops([(b"a", b"1"), (b"b", None)])
    assert ops.hex() == "040200" + "01010001000000" + "6131" + "02010000000000" + "62"


def test_answers_decode() -> None:
    assert kv.decode_put(kv.PUT_ANSWER.pack(kv.PUT, 2, 3)) == (2, 3)
    assert kv.decode_delete(kv.FLAG_ANSWER.pack(kv.DELETE, 2, 1)) == (2, True)
    assert kv.decode_cas(kv.FLAG_ANSWER.pack(kv.CAS, 2, 1)) == (2, True, None)
    assert kv.decode_cas(kv.FLAG_ANSWER.pack(kv.CAS, 2, 0) + PAIR) == (2, False, KEY_VALUE)
    batch = (
        kv.COUNT_ANSWER.pack(kv.BATCH, 2, 2) + kv.VERSIONS_ITEM.pack(1) + kv.VERSIONS_ITEM.pack(0)
    )
    assert kv.decode_batch_ops(batch) == (2, [1, 0])
    assert kv.decode_get(kv.FLAG_ANSWER.pack(kv.GET, 9, 0)) == (9, None)
    assert kv.decode_get(kv.FLAG_ANSWER.pack(kv.GET, 9, 1) + PAIR) == (9, KEY_VALUE)
    page = kv.RANGE_ANSWER.pack(kv.RANGE, 9, 1, 2) + PAIR + PAIR
    assert kv.decode_range(page) == (9, [KEY_VALUE, KEY_VALUE], True)


def test_limits_are_held_where_the_caller_can_still_help_it() -> None:
    long_key = b"k" * (kv.KEY_BYTES_MAX + 1)
    long_value = b"v" * (kv.VALUE_BYTES_MAX + 1)
    calls: list[Callable[[], object]] = [
        lambda: kv.encode_put(b"", b""),
        lambda: kv.encode_put(long_key, b""),
        lambda: kv.encode_put(b"k", long_value),
        lambda: kv.encode_delete(b""),
        lambda: kv.encode_get(long_key),
        lambda: kv.encode_range(long_key),
        lambda: kv.encode_range(b"", -1),
        lambda: kv.encode_range(b"", 1 << 32),
        lambda: kv.encode_range(b"", 1, long_key),
        lambda: kv.encode_cas(b"", b"", kv.expect_absent()),
        lambda: kv.encode_cas(b"k", long_value, kv.expect_absent()),
        lambda: kv.encode_cas(b"k", long_value[2:], kv.expect_value(long_value[2:])),
        lambda: kv.encode_cas(b"k", b"", kv.expect_version(-1)),
        lambda: kv.encode_cas(b"k", b"", kv.Expect(5)),
        lambda: kv.encode_batch_ops([(b"k", b"")] * (kv.OPERATIONS_MAX + 1)),
        lambda: kv.encode_batch_ops([(b"k", b""), (b"k", None)]),
        lambda: kv.encode_batch_ops([(b"a", long_value[1:]), (b"b", long_value[1:])]),
    ]
    for call in calls:
        with pytest.raises(WireError) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert (
        len(kv.encode_put(long_key[1:], long_value[1:]))
        == 3 + kv.KEY_BYTES_MAX + kv.VALUE_BYTES_MAX
    )


DECODERS = [
    kv.decode_put,
    kv.decode_delete,
    kv.decode_cas,
    kv.decode_batch_ops,
    kv.decode_get,
    kv.decode_range,
]
TAGS = [kv.PUT, kv.DELETE, kv.CAS, kv.BATCH, kv.GET, kv.RANGE]


@settings(max_examples=500, deadline=None)
@given(
    st.integers(0, 5),
    st.sampled_from(TAGS),
    st.binary(max_size=30),
    st.sampled_from([b"", PAIR, PAIR[:-1], PAIR[:3]]),
)
def test_any_bytes_decode_or_raise_wire_error(
    which: int, tag: int, data: bytes, tail: bytes
) -> None:
    for decoder in (DECODERS[which], DECODERS[TAGS.index(tag)]):
        with contextlib.suppress(WireError):
            decoder(bytes((tag,)) + data + tail)


def test_an_answer_to_something_else_is_refused() -> None:
    for decoder in DECODERS:
        with pytest.raises(WireError):
            decoder(b"")
        with pytest.raises(WireError):
            decoder(b"\x63" + bytes(32))
