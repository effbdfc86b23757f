"""The batch codec: round trips, the limits at the door, and decoders raise only WireError."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftd.wire import batch as b
from raftd.wire.errors import WireError

COMMANDS = st.lists(
    st.tuples(st.integers(1, b.SEQ_MAX), st.binary(max_size=40)), min_size=1, max_size=20
)
U64 = st.integers(0, b.SEQ_MAX)


@settings(deadline=None)
@given(U64, U64, COMMANDS)
def test_a_batch_comes_back_as_it_was(
    session: int, floor: int, commands: list[tuple[int, bytes]]
) -> None:
    if not session:
        floor = 0
    payload = b.encode_batch(session, floor, commands)
    assert b.check_batch(payload) == len(commands)
    kind = b.IN_SESSION if session else b.PLAIN
    assert b.decode_batch(payload) == (kind, session, floor, commands)


def test_the_bytes_are_frozen() -> None:
    payload = b.encode_batch(7, 2, [(3, b"xy")])
    assert (
        payload.hex()
        == "01010100"
        + "0700000000000000"
        + "0200000000000000"
        + "0300000000000000"
        + "02000000"
        + "7879"
    )
    assert b.encode_open().hex() == "01020000" + "00" * 16
    assert b.encode_close(9).hex() == "01030000" + "0900000000000000" + "00" * 8
    assert b.encode_results([(0, b"a"), (2, b"")]).hex() == "010200" + "000100000061" + "0200000000"


def test_open_and_close_carry_no_commands() -> None:
    assert b.decode_batch(b.encode_open()) == (b.OPEN, 0, 0, [])
    assert b.decode_batch(b.encode_close(9)) == (b.CLOSE, 9, 0, [])
    assert b.check_batch(b.encode_open()) == 0
    assert b.decode_session(struct.pack("<Q", 12)) == 12


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, b.INVALID), st.binary(max_size=40)), max_size=20))
def test_results_come_back_as_they_were(results: list[tuple[int, bytes]]) -> None:
    assert b.decode_results(b.encode_results(results)) == results


def _header(
    version: int = 1, kind: int = 1, count: int = 0, session: int = 1, floor: int = 0
) -> bytes:
    return b.HEADER.pack(version, kind, count, session, floor)


COMMAND = b.COMMAND_HEAD.pack(1, 1) + b"x"


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (b"", "header"),
        (_header(version=2, count=1) + COMMAND, "version 2"),
        (_header(kind=4, count=1) + COMMAND, "kind 4"),
        (_header(count=0), "0 commands"),
        (_header(kind=0, session=0), "0 commands"),
        (_header(kind=0, session=5, count=1) + COMMAND, "session 5"),
        (_header(kind=0, session=0, floor=1, count=1) + COMMAND, "floor 1"),
        (_header(session=0, count=1) + COMMAND, "session 0"),
        (_header(kind=2, session=1), "session 1"),
        (_header(kind=3, session=0), "session 0"),
        (_header(kind=3, session=1, floor=3), "floor 3"),
        (_header(kind=3, session=1, count=1) + COMMAND, "1 commands"),
        (_header(count=1) + b.COMMAND_HEAD.pack(0, 1) + b"x", "seq 0"),
        (_header(count=2) + COMMAND, "do not end at"),
        (_header(count=1) + COMMAND + b"y", "do not end at"),
        (_header(count=1) + COMMAND[:-1], "do not end at"),
        (_header(count=1) + b.COMMAND_HEAD.pack(1, b.COMMAND_BYTES_MAX + 1) + b"x", "limit"),
        (_header(count=b.COMMANDS_MAX + 1) + COMMAND * (b.COMMANDS_MAX + 1), "limit is 4096"),
        (_header(count=1) + b"x" * b.BATCH_BYTES_MAX, "limit is 4194304"),
    ],
)
def test_a_malformed_batch_never_gets_past_the_door(payload: bytes, names: str) -> None:
    for decoder in (b.check_batch, b.decode_batch):
        with pytest.raises(WireError, match=names) as caught:
            decoder(payload)
        assert "\n" not in str(caught.value)


def test_the_encoder_refuses_what_no_node_would_accept() -> None:
    with pytest.raises(WireError, match="limit"):
        b.encode_batch(1, 0, [(1, b"")] * (b.COMMANDS_MAX + 1))
    with pytest.raises(WireError, match="limit"):
        b.encode_batch(0, 0, [(1, b"x" * (b.COMMAND_BYTES_MAX + 1))])
    with pytest.raises(WireError, match="limit"):
        b.encode_batch(0, 0, [(1, b"x" * b.COMMAND_BYTES_MAX)] * 3)
    with pytest.raises(WireError, match="64 bits"):
        b.encode_batch(1 << 64, 0, [(1, b"")])
    with pytest.raises(WireError, match="64 bits"):
        b.encode_batch(1, -1, [(1, b"")])
    with pytest.raises(WireError):
        b.encode_close(0)
    with pytest.raises(WireError, match="status 7"):
        b.encode_results([(7, b"")])
    assert b.check_batch(b.encode_batch(1, 0, [(9, b"")] * b.COMMANDS_MAX)) == b.COMMANDS_MAX


def test_a_batch_at_exactly_the_limit_passes() -> None:
    room = b.BATCH_BYTES_MAX - b.HEADER.size - 3 * b.COMMAND_HEAD.size
    sizes = [b.COMMAND_BYTES_MAX, b.COMMAND_BYTES_MAX, room - 2 * b.COMMAND_BYTES_MAX]
    payload = b.encode_batch(0, 0, [(0, bytes(size)) for size in sizes])
    assert len(payload) == b.BATCH_BYTES_MAX


@pytest.mark.parametrize(
    "decoder", [b.check_batch, b.decode_batch, b.decode_results, b.decode_session]
)
def test_any_bytes_decode_or_raise_wire_error(decoder: object) -> None:
    assert callable(decoder)

    @settings(max_examples=300, deadline=None)
    @given(st.one_of(st.binary(max_size=80), _mutated()))
    def check(data: bytes) -> None:
        with contextlib.suppress(WireError):
            decoder(data)

    check()


def _mutated() -> st.SearchStrategy[bytes]:
    good = [
        b.encode_batch(5, 1, [(2, b"abc"), (3, b""), (4, b"z" * 30)]),
        b.encode_batch(0, 0, [(0, b"abc")]),
        b.encode_open(),
        b.encode_results([(0, b"abc"), (1, b"no"), (5, b"")]),
    ]

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(good)))
        for _ in range(draw(st.integers(1, 4))):
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)

    return build()
