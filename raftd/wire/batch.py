"""A BATCH entry's payload [frozen format, little-endian]; its results are in `results`.

    payload   what the leader noted, if it did, then what the client sent
    noted     version u8 = 2, kind u8 = TAKEN, length of the principal u16,
              taken u64 (milliseconds since the epoch by the leader's clock), principal
    sent      version u8 = 2, kind u8, count u16, session 24 bytes, floor u64
              then per command: seq u64, length u32, bytes

One entry is one client's frame of one session. A command's identity is (entry index, offset in
the batch). Two doors: `check_batch` refuses a malformed payload *before* it is proposed; whoever
applies an entry that `decode_batch` refuses has to stop, since skipping it would part the replicas.
A client that writes a note of its own is refused at the door, so only a leader says who asked, and
when. Version 1 is read for ever, from logs that were written before, and written by nobody:

    payload   version u8 = 1, kind u8, count u16, session u64, floor u64, then commands as above

All functions: any thread, no I/O. All decoders raise WireError and nothing else on bad bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from raftd.wire import session_id
from raftd.wire.errors import WireError
from raftd.wire.results import ANSWER_TOO_LONG as ANSWER_TOO_LONG
from raftd.wire.results import COMMANDS_MAX as COMMANDS_MAX
from raftd.wire.results import FLOOR_AHEAD as FLOOR_AHEAD
from raftd.wire.results import INVALID as INVALID
from raftd.wire.results import MACHINE_ERROR as MACHINE_ERROR
from raftd.wire.results import OK as OK
from raftd.wire.results import QUERY_ANSWER_BYTES_MAX as QUERY_ANSWER_BYTES_MAX
from raftd.wire.results import RESULT_HEAD as RESULT_HEAD
from raftd.wire.results import RESULTS_HEADER as RESULTS_HEADER
from raftd.wire.results import RESULTS_VERSION as RESULTS_VERSION
from raftd.wire.results import SEQ_REUSED as SEQ_REUSED
from raftd.wire.results import SEQ_STALE as SEQ_STALE
from raftd.wire.results import SESSION_EXPIRED as SESSION_EXPIRED
from raftd.wire.results import SESSION_FULL as SESSION_FULL
from raftd.wire.results import STATUS_NAMES as STATUS_NAMES
from raftd.wire.results import decode_results as decode_results
from raftd.wire.results import encode_results as encode_results
from raftd.wire.session_id import NO_NONCE, NO_SESSION

VERSION: Final = 2
VERSION_1: Final = 1

PLAIN: Final = 0
"""Commands without a session: nothing protects against doing them twice."""
IN_SESSION: Final = 1
OPEN: Final = 2
"""The session field holds the random half of the id, and no index. Opening it twice is harmless."""
CLOSE: Final = 3
TAKEN: Final = 4
"""No batch of its own: the leader's note before one."""

COMMAND_BYTES_MAX: Final = 1_572_864
PRINCIPAL_BYTES_MAX: Final = 256
SEQ_MAX: Final = 2**64 - 1

NOTE: Final = Struct("<BBHQ")
NOTE_BYTES_MAX: Final = NOTE.size + PRINCIPAL_BYTES_MAX
_READ_BYTES_MAX: Final = 4 << 20
"""Of what a client sent, without the note: what decodes. Doors let so much in once."""
BATCH_BYTES_MAX: Final = _READ_BYTES_MAX - NOTE_BYTES_MAX
"""Of what a client sends: with the leader's note it is no larger than peers of every version take.
A follower that refuses an entry holds up all entries behind it, for as long as that leader leads.
"""
ENTRY_BYTES_MAX: Final = _READ_BYTES_MAX + NOTE_BYTES_MAX
"""Of a payload with its note, as a log may hold it."""
HEADER: Final = Struct("<BBH16sQQ")
"""The session as its two halves."""
HEAD_OUT: Final = Struct("<BBH24sQ")
"""The same bytes, the session in one piece."""
SESSION_AT: Final = 4
HEADER_1: Final = Struct("<BBHQQ")
COMMAND_HEAD: Final = Struct("<QI")


class Batch(NamedTuple):
    """A decoded payload. commands: (seq, bytes) in order; empty for OPEN and CLOSE.

    session: NO_SESSION for a plain one. taken_ms, principal: 0 and empty if no leader noted them.
    """

    kind: int
    session: bytes
    floor: int
    commands: list[tuple[int, bytes]]
    taken_ms: int = 0
    principal: bytes = b""
    version: int = VERSION


def encode_batch(session: bytes, floor: int, commands: Sequence[tuple[int, bytes]]) -> bytes:
    """A payload of `commands` as (seq, bytes); an empty session makes a plain batch (with floor 0).

    Raises WireError if a limit of this module is passed, which no node would accept either.
    """
    kind = IN_SESSION if session else PLAIN
    count = _count(len(commands))
    place = session or NO_SESSION
    if len(place) != session_id.ID_BYTES:
        session_id.checked(place)
    parts = [HEAD_OUT.pack(VERSION, kind, count, place, _u64("floor", floor))]
    lowest, head = kind, COMMAND_HEAD.pack  # numbers in a session start at 1
    try:
        for seq, command in commands:
            length = len(command)
            if seq < lowest or length > COMMAND_BYTES_MAX:
                raise _bad_command(seq, length)
            parts.append(head(seq, length))
            parts.append(command)
    except StructError:
        raise WireError("batch: a seq does not fit 64 bits") from None
    payload = b"".join(parts)
    _header(payload, 0)
    return payload


def encode_open(nonce: bytes = b"") -> bytes:
    """The payload that opens a session. Its one result is the id, for `decode_session`.

    nonce: 16 random bytes; a second attempt with the same ones finds the session of the first.
    Empty: drawn here. Raises WireError.
    """
    nonce = nonce or session_id.draw()
    return HEAD_OUT.pack(VERSION, OPEN, 0, session_id.of_nonce(nonce), 0)


def encode_close(session: bytes) -> bytes:
    """The payload that closes a session. Its one result is empty. Raises WireError."""
    return HEAD_OUT.pack(VERSION, CLOSE, 0, session_id.checked(session), 0)


def noted(payload: bytes, taken_ms: int, principal: bytes = b"") -> bytes:
    """A client's payload with the leader's note before it: what is replicated."""
    assert len(principal) <= PRINCIPAL_BYTES_MAX, "who asks is checked before"
    return NOTE.pack(VERSION, TAKEN, len(principal), taken_ms) + principal + payload


def check_batch(payload: bytes) -> int:
    """The check at the door: structure and limits, not what the commands mean. Returns the count.

    Whatever passes here is a batch to `decode_batch` on every node of this format version, and with
    the leader's note an entry that every peer takes. Costs about 0.15 us a command. Raises
    WireError.
    """
    size = len(payload)
    kind, count, _ = _header(payload, 0)
    lowest = 1 if kind == IN_SESSION else 0
    unpack, head = COMMAND_HEAD.unpack_from, COMMAND_HEAD.size
    at = HEADER.size
    try:
        for _ in range(count):
            seq, length = unpack(payload, at)
            at += head + length
            if seq < lowest or length > COMMAND_BYTES_MAX:
                raise _bad_command(seq, length)
    except StructError:
        raise _cut_off(count, size) from None
    if at != size:
        raise _cut_off(count, size)
    return count


def decode_batch(payload: bytes) -> Batch:
    """The inverse of the encoders and of `noted`, and of version 1. Raises WireError.

    Without a note it refuses exactly what `check_batch` refuses, but for the size, and takes
    version 1.
    """
    at, taken_ms, principal = 0, 0, b""
    if payload[:2] == _TAKEN_MARK:
        if len(payload) < NOTE.size:
            raise WireError(f"batch: {len(payload)} bytes, the leader's note has {NOTE.size}")
        _, _, length, taken_ms = NOTE.unpack_from(payload)
        at = NOTE.size + length
        if length:
            principal = _principal(payload, length)
    elif payload[:1] == _VERSION_1_MARK:
        return _decode_version_1(payload)
    kind, count, floor = _header(payload, at, _READ_BYTES_MAX)
    session = payload[at + SESSION_AT : at + SESSION_AT + session_id.ID_BYTES]
    commands = _commands(payload, at + HEADER.size, count, 1 if kind == IN_SESSION else 0)
    return Batch(kind, session, floor, commands, taken_ms, principal)


def _commands(payload: bytes, at: int, count: int, lowest: int) -> list[tuple[int, bytes]]:
    """`count` commands from `at` to the end, no number below `lowest`. Raises WireError."""
    size = len(payload)
    unpack, head = COMMAND_HEAD.unpack_from, COMMAND_HEAD.size
    commands: list[tuple[int, bytes]] = []
    try:
        for _ in range(count):
            seq, length = unpack(payload, at)
            if seq < lowest or length > COMMAND_BYTES_MAX:
                raise _bad_command(seq, length)
            begin = at + head
            at = begin + length
            commands.append((seq, payload[begin:at]))
    except StructError:
        raise _cut_off(count, size) from None
    if at != size:
        raise _cut_off(count, size)
    return commands


def _decode_version_1(payload: bytes) -> Batch:
    """A session was the index of the entry that opened it: here it is those 8 bytes.

    No id of version 2 is of that length, so a client of today cannot name a session of that time.
    """
    size = len(payload)
    if size < HEADER_1.size:
        raise _bad_size(size, HEADER_1.size)
    if size > _READ_BYTES_MAX:
        raise _bad_size(size)
    _, kind, count, session, floor = HEADER_1.unpack_from(payload)
    if kind > CLOSE:
        raise WireError(f"batch: kind {kind} is unknown, the highest of version 1 is {CLOSE}")
    if (session == 0) != (kind in (PLAIN, OPEN)):
        raise WireError(f"batch: kind {kind} with session {session}")
    _check_header(kind, count, floor)
    commands = _commands(payload, HEADER_1.size, count, 1 if kind == IN_SESSION else 0)
    place = session_id.of_version_1(session) if session else b""
    return Batch(kind, place, floor, commands, version=VERSION_1)


_TAKEN_MARK: Final = bytes((VERSION, TAKEN))
_VERSION_1_MARK: Final = bytes((VERSION_1,))


def _principal(payload: bytes, length: int) -> bytes:
    if length > PRINCIPAL_BYTES_MAX:
        raise WireError(f"batch: principal of {length} bytes, the limit is {PRINCIPAL_BYTES_MAX}")
    return payload[NOTE.size : NOTE.size + length]


def _header(payload: bytes, at: int, most: int = BATCH_BYTES_MAX) -> tuple[int, int, int]:
    """(kind, count, floor), all of the header checked. most: bytes from `at` on."""
    size = len(payload) - at
    if not HEADER.size <= size <= most:
        raise _unknown_version(1) if payload[at : at + 1] == _VERSION_1_MARK else _bad_size(size)
    version, kind, count, nonce, index, floor = HEADER.unpack_from(payload, at)
    if version != VERSION:
        raise _unknown_version(version)
    if kind != IN_SESSION or not index or nonce == NO_NONCE or not 0 < count <= COMMANDS_MAX:
        _check_rare(kind, count, nonce, index, floor)
    return kind, count, floor


def _check_rare(kind: int, count: int, nonce: bytes, index: int, floor: int) -> None:
    """What is no ordinary frame of a session."""
    if kind == TAKEN:
        raise WireError("batch: with a note of who asked, which only the leader writes")
    if kind > CLOSE:
        raise WireError(f"batch: kind {kind} is unknown, the highest is {CLOSE}")
    wants = kind != PLAIN, kind not in (PLAIN, OPEN)
    if (nonce != NO_NONCE, index != 0) != wants:
        raise WireError(f"batch: kind {kind} with a session opened at {index}")
    _check_header(kind, count, floor)


def _check_header(kind: int, count: int, floor: int) -> None:
    """What holds in every version. Raises WireError."""
    if floor and kind != IN_SESSION:
        raise WireError(f"batch: kind {kind} with floor {floor}, must be 0")
    if (count == 0) != (kind in (OPEN, CLOSE)):
        raise WireError(f"batch: kind {kind} with {count} commands")
    _count(count)


def _bad_size(size: int, least: int = HEADER.size) -> WireError:
    if size > BATCH_BYTES_MAX:
        return WireError(f"batch: {size} bytes, the limit is {BATCH_BYTES_MAX}; split it")
    return WireError(f"batch: {size} bytes, a header alone has {least}")


def _bad_command(seq: int, length: int) -> WireError:
    if length > COMMAND_BYTES_MAX:
        return WireError(f"batch: a command of {length} bytes, the limit is {COMMAND_BYTES_MAX}")
    return WireError(f"batch: seq {seq}, numbers in a session start at 1")


def _cut_off(count: int, size: int) -> WireError:
    return WireError(f"batch: {count} commands do not end at byte {size}, where the payload does")


def decode_session(answer: bytes) -> bytes:
    """The session's id in the one OK result of an OPEN batch. Raises WireError."""
    return session_id.checked(answer)


def _unknown_version(version: int) -> WireError:
    return WireError(f"batch: version {version}, this program writes {VERSION}; upgrade one side")


def _u64(field: str, number: int) -> int:
    if not 0 <= number <= SEQ_MAX:
        raise WireError(f"batch: {field} {number} does not fit 64 bits")
    return number


def _count(count: int) -> int:
    if count > COMMANDS_MAX:
        raise WireError(f"batch: {count} commands, the limit is {COMMANDS_MAX}")
    return count
