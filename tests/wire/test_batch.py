"""The batch codec: round trips, the limits at the door, and decoders raise only WireError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftd.wire import batch as b
from raftd.wire.errors import WireError
from raftd.wire.results import STATUS_MAX
from raftd.wire.session_id import NO_SESSION, with_index

COMMANDS = st.lists(
    st.tuples(st.integers(1, b.SEQ_MAX), st.binary(max_size=40)), min_size=1, max_size=20
)
SESSION = with_index(bytes(range(1, 17)), 7)
U64 = st.integers(0, b.SEQ_MAX)


@settings(deadline=None)
@given(st.booleans(), U64, COMMANDS, U64, st.binary(max_size=b.PRINCIPAL_BYTES_MAX))
def test_a_batch_comes_back_as_it_was(
    in_session: bool, floor: int, commands: list[tuple[int, bytes]], taken: int, principal: bytes
) -> None:
    kind, session, sent = b.PLAIN, b"", NO_SESSION
    if in_session:
        kind, session, sent = b.IN_SESSION, SESSION, SESSION
    floor *= in_session
    payload = b.encode_batch(session, floor, commands)
    assert b.check_batch(payload) == len(commands)
    assert b.decode_batch(payload) == (kind, sent, floor, commands, 0, b"", 2)
    noted = b.noted(payload, taken, principal)
    assert b.decode_batch(noted) == (kind, sent, floor, commands, taken, principal, 2)
    with pytest.raises(WireError, match="only the leader"):
        b.check_batch(noted)


def test_the_bytes_are_frozen() -> None:
    payload = b.encode_batch(SESSION, 2, [(3, b"xy")])
    nonce, index = "0102030405060708090a0b0c0d0e0f10", "0700000000000000"
    command = "0300000000000000" + "02000000" + "7879"
    assert payload.hex() == "02010100" + nonce + index + "0200000000000000" + command
    assert b.encode_open(SESSION[:16]).hex() == "02020000" + nonce + "00" * 16
    assert b.encode_close(SESSION).hex() == "02030000" + nonce + index + "00" * 8
    noted = b.noted(payload, 1_700_000_000_000, b"me").hex()
    assert noted == "02040200" + "0068e5cf8b010000" + "6d65" + payload.hex()
    assert b.encode_results([(0, b"a"), (2, b"")]).hex() == "010200" + "000100000061" + "0200000000"


def test_open_and_close_carry_no_commands() -> None:
    assert b.decode_batch(b.encode_open(SESSION[:16]))[:4] == (
        b.OPEN,
        SESSION[:16] + bytes(8),
        0,
        [],
    )
    assert b.decode_batch(b.encode_close(SESSION))[:4] == (b.CLOSE, SESSION, 0, [])
    assert b.check_batch(b.encode_open()) == 0
    assert b.encode_open() != b.encode_open()
    assert b.decode_session(SESSION) == SESSION
    for bad in (b"", bytes(24), SESSION[:16] + bytes(8), bytes(16) + SESSION[16:], SESSION[:8]):
        with pytest.raises(WireError, match="session id"):
            b.decode_session(bad)


def test_version_1_is_read_and_no_longer_let_in() -> None:
    """Bytes that the program before wrote, and every refusal of its door."""
    seven, two, three = (f"{number:02x}" + "00" * 7 for number in (7, 2, 3))
    payload = bytes.fromhex("01010100" + seven + two + three + "020000007879")
    assert b.decode_batch(payload) == (1, b"\x07" + bytes(7), 2, [(3, b"xy")], 0, b"", 1)
    assert b.decode_batch(bytes.fromhex("01020000" + "00" * 16)) == (2, b"", 0, [], 0, b"", 1)
    with pytest.raises(WireError, match="version 1"):
        b.check_batch(payload)
    for head, names in (
        ((4, 1, 1, 0), "kind 4"),
        ((1, 1, 0, 0), "session 0"),
        ((2, 0, 1, 0), "session 1"),
        ((0, 1, 0, 1), "floor 1"),
        ((1, 0, 1, 0), "0 commands"),
    ):
        with pytest.raises(WireError, match=names):
            b.decode_batch(b.HEADER_1.pack(1, *head) + COMMAND * head[1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, STATUS_MAX), st.binary(max_size=40)), max_size=20))
def test_results_come_back_as_they_were(results: list[tuple[int, bytes]]) -> None:
    assert b.decode_results(b.encode_results(results)) == results


def _header(
    version: int = 2, kind: int = 1, count: int = 0, session: int = 1, floor: int = 0
) -> bytes:
    """session: the index of one; 0: none at all."""
    nonce = SESSION[:16] if session or kind == b.OPEN else bytes(16)
    return b.HEADER.pack(version, kind, count, nonce, session, floor)


COMMAND = b.COMMAND_HEAD.pack(1, 1) + b"x"


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (b"", "header"),
        (_header(version=3, count=1) + COMMAND, "version 3"),
        (_header(kind=5, count=1) + COMMAND, "kind 5"),
        (_header(count=0), "0 commands"),
        (_header(kind=0, session=0), "0 commands"),
        (_header(kind=0, session=5, count=1) + COMMAND, "opened at 5"),
        (_header(kind=0, session=0, floor=1, count=1) + COMMAND, "floor 1"),
        (_header(session=0, count=1) + COMMAND, "opened at 0"),
        (_header(kind=2, session=1), "opened at 1"),
        (_header(kind=3, session=0), "opened at 0"),
        (_header(kind=3, session=1, floor=3), "floor 3"),
        (_header(kind=3, session=1, count=1) + COMMAND, "1 commands"),
        (_header(count=1) + b.COMMAND_HEAD.pack(0, 1) + b"x", "seq 0"),
        (_header(count=2) + COMMAND, "do not end at"),
        (_header(count=1) + COMMAND + b"y", "do not end at"),
        (_header(count=1) + COMMAND[:-1], "do not end at"),
        (_header(count=1) + b.COMMAND_HEAD.pack(1, b.COMMAND_BYTES_MAX + 1) + b"x", "limit"),
        (_header(count=b.COMMANDS_MAX + 1) + COMMAND * (b.COMMANDS_MAX + 1), "limit is 4096"),
        (_header(count=1) + b"x" * b.ENTRY_BYTES_MAX, f"limit is {b.BATCH_BYTES_MAX}"),
    ],
)
def test_a_malformed_batch_never_gets_past_the_door(payload: bytes, names: str) -> None:
    for decoder in (b.check_batch, b.decode_batch):
        with pytest.raises(WireError, match=names) as caught:
            decoder(payload)
        assert "\n" not in str(caught.value)


def test_the_encoder_refuses_what_no_node_would_accept() -> None:
    with pytest.raises(WireError, match="limit"):
        b.encode_batch(SESSION, 0, [(1, b"")] * (b.COMMANDS_MAX + 1))
    with pytest.raises(WireError, match="limit"):
        b.encode_batch(b"", 0, [(1, b"x" * (b.COMMAND_BYTES_MAX + 1))])
    with pytest.raises(WireError, match="limit"):
        b.encode_batch(b"", 0, [(1, b"x" * b.COMMAND_BYTES_MAX)] * 3)
    with pytest.raises(WireError, match="64 bits"):
        b.encode_batch(SESSION, 0, [(1 << 64, b"")])
    with pytest.raises(WireError, match="64 bits"):
        b.encode_batch(SESSION, -1, [(1, b"")])
    with pytest.raises(WireError):
        b.encode_close(NO_SESSION)
    with pytest.raises(WireError, match="status 9"):
        b.encode_results([(9, b"")])
    assert b.check_batch(b.encode_batch(SESSION, 0, [(9, b"")] * b.COMMANDS_MAX)) == b.COMMANDS_MAX


def test_a_batch_at_exactly_the_limit_passes() -> None:
    room = b.BATCH_BYTES_MAX - b.HEADER.size - 3 * b.COMMAND_HEAD.size
    sizes = [b.COMMAND_BYTES_MAX, b.COMMAND_BYTES_MAX, room - 2 * b.COMMAND_BYTES_MAX]
    payload = b.encode_batch(b"", 0, [(0, bytes(size)) for size in sizes])
    assert len(payload) == b.BATCH_BYTES_MAX
    sizes[2] += 1
    with pytest.raises(WireError, match=f"limit is {b.BATCH_BYTES_MAX}"):
        b.encode_batch(b"", 0, [(0, bytes(size)) for size in sizes])


def test_what_doors_let_in_when_their_limit_was_higher_is_read_and_let_in_no_more() -> None:
    """4 MiB without the leader's note: a log may hold one."""
    size = (4 << 20) - b.HEADER.size - 3 * b.COMMAND_HEAD.size
    parts = [size // 3, size // 3, size - 2 * (size // 3)]
    payload = _header(kind=0, session=0, count=3)
    payload += b"".join(b.COMMAND_HEAD.pack(0, part) + bytes(part) for part in parts)
    noted = b.noted(payload, 1, bytes(b.PRINCIPAL_BYTES_MAX))
    assert len(noted) == b.ENTRY_BYTES_MAX
    for known in (payload, noted):
        assert [len(command) for _, command in b.decode_batch(known).commands] == parts
    with pytest.raises(WireError, match=f"limit is {b.BATCH_BYTES_MAX}"):
        b.check_batch(payload)


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
        b.encode_batch(SESSION, 1, [(2, b"abc"), (3, b""), (4, b"z" * 30)]),
        b.encode_batch(b"", 0, [(0, b"abc")]),
        b.encode_open(),
        b.noted(b.encode_batch(SESSION, 1, [(2, b"abc")]), 1_700_000_000_000, b"me"),
        b.HEADER_1.pack(1, 1, 1, 7, 2) + COMMAND,
        b.encode_results([(0, b"abc"), (1, b"no"), (5, b"")]),
    ]

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(good)))
        for _ in range(draw(st.integers(1, 4))):
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)

    return build()
