"""A BATCH entry's payload and its results [frozen formats, little-endian].

    payload   header  version u8 = 1, kind u8, count u16, session u64, floor u64
              then per command: seq u64, length u32, bytes
    results   version u8 = 1, count u16
              then per result: status u8, length u32, bytes

One entry is one client's frame of one session. A command's identity is (entry index, offset in
the batch). Two doors: `check_batch` refuses a malformed payload *before* it is proposed; whoever
applies an entry that `decode_batch` refuses has to stop, since skipping it would part the replicas.

All functions: any thread, no I/O. All decoders raise WireError and nothing else on bad bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from raftd.wire.errors import WireError

VERSION: Final = 1

PLAIN: Final = 0
"""Commands without a session: nothing protects against doing them twice."""
IN_SESSION: Final = 1
OPEN: Final = 2
CLOSE: Final = 3

OK: Final = 0
MACHINE_ERROR: Final = 1
"""The machine refused; the bytes are its message (UTF-8), as with every status but OK."""
SESSION_EXPIRED: Final = 2
"""Unknown or expired session: nothing was executed by this entry. Earlier attempts: unknown."""
SEQ_STALE: Final = 3
"""At or below the session's floor: not executed by this entry."""
SEQ_REUSED: Final = 4
"""The number was executed before as another command: a bug of the client. Not executed."""
SESSION_FULL: Final = 5
"""No room to keep or send the answer: not executed by this entry; same number, later, is right.

Also in a plain batch, and for a number executed before, once the results before it in this batch
have passed their bound: it does not say that no earlier entry executed it.
"""
INVALID: Final = 6
"""Never by sessions: for whoever answers in this format without asking the machine."""

STATUS_NAMES: Final = (
    "OK",
    "MACHINE_ERROR",
    "SESSION_EXPIRED",
    "SEQ_STALE",
    "SEQ_REUSED",
    "SESSION_FULL",
    "INVALID",
)
"""Indexed by status. Only with OK and MACHINE_ERROR did the machine see the command."""

COMMANDS_MAX: Final = 4096
COMMAND_BYTES_MAX: Final = 1_572_864
BATCH_BYTES_MAX: Final = 4 << 20
SEQ_MAX: Final = 2**64 - 1

HEADER: Final = Struct("<BBHQQ")
COMMAND_HEAD: Final = Struct("<QI")
RESULTS_HEADER: Final = Struct("<BH")
RESULT_HEAD: Final = Struct("<BI")
SESSION_ID: Final = Struct("<Q")


class Batch(NamedTuple):
    """A decoded payload. commands: (seq, bytes) in order; empty for OPEN and CLOSE."""

    kind: int
    session: int
    floor: int
    commands: list[tuple[int, bytes]]


def encode_batch(session: int, floor: int, commands: Sequence[tuple[int, bytes]]) -> bytes:
    """A payload of `commands` as (seq, bytes); session 0 makes a plain batch (with floor 0).

    Raises WireError if a limit of this module is passed, which no node would accept either.
    """
    kind = IN_SESSION if session else PLAIN
    count = _count(len(commands))
    parts = [HEADER.pack(VERSION, kind, count, _u64("session", session), _u64("floor", floor))]
    for seq, command in commands:
        parts.append(COMMAND_HEAD.pack(_u64("seq", seq), len(command)))
        parts.append(command)
    payload = b"".join(parts)
    check_batch(payload)
    return payload


def encode_open() -> bytes:
    """The payload that opens a session. Its one result is the new id, for `decode_session`."""
    return HEADER.pack(VERSION, OPEN, 0, 0, 0)


def encode_close(session: int) -> bytes:
    """The payload that closes a session. Its one result is empty. Raises WireError for id 0."""
    payload = HEADER.pack(VERSION, CLOSE, 0, _u64("session", session), 0)
    check_batch(payload)
    return payload


def check_batch(payload: bytes) -> int:
    """The check at the door: structure and limits, not what the commands mean. Returns the count.

    Whatever passes here is a batch to `decode_batch` on every node of this format version. Costs
    about 0.15 us a command. Raises WireError.
    """
    kind, count = _header(payload)
    size = len(payload)
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
    """The inverse of the encoders. Raises WireError for exactly what `check_batch` refuses."""
    kind, count = _header(payload)
    size = len(payload)
    lowest = 1 if kind == IN_SESSION else 0
    unpack, head = COMMAND_HEAD.unpack_from, COMMAND_HEAD.size
    commands: list[tuple[int, bytes]] = []
    at = HEADER.size
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
    _, _, _, session, floor = HEADER.unpack_from(payload)
    return Batch(kind, session, floor, commands)


def _header(payload: bytes) -> tuple[int, int]:
    """(kind, count), all of the header checked."""
    size = len(payload)
    if size < HEADER.size:
        raise WireError(f"batch: {size} bytes, a header alone has {HEADER.size}")
    if size > BATCH_BYTES_MAX:
        raise WireError(f"batch: {size} bytes, the limit is {BATCH_BYTES_MAX}; split it")
    version, kind, count, session, floor = HEADER.unpack_from(payload)
    if version != VERSION:
        raise _unknown_version("batch", version)
    if kind > CLOSE:
        raise WireError(f"batch: kind {kind} is unknown, the highest is {CLOSE}")
    if (session == 0) != (kind in (PLAIN, OPEN)):
        raise WireError(f"batch: kind {kind} with session {session}")
    if floor and kind != IN_SESSION:
        raise WireError(f"batch: kind {kind} with floor {floor}, must be 0")
    if (count == 0) != (kind in (OPEN, CLOSE)):
        raise WireError(f"batch: kind {kind} with {count} commands")
    _count(count)
    return kind, count


def _bad_command(seq: int, length: int) -> WireError:
    if length > COMMAND_BYTES_MAX:
        return WireError(f"batch: a command of {length} bytes, the limit is {COMMAND_BYTES_MAX}")
    return WireError(f"batch: seq {seq}, numbers in a session start at 1")


def _cut_off(count: int, size: int) -> WireError:
    return WireError(f"batch: {count} commands do not end at byte {size}, where the payload does")


def encode_results(results: Sequence[tuple[int, bytes]]) -> bytes:
    """Results as (status, bytes), one a command (or query), in order.

    Raises WireError for an unknown status or too many results.
    """
    parts = [RESULTS_HEADER.pack(VERSION, _count(len(results)))]
    for status, answer in results:
        if not 0 <= status <= INVALID:
            raise WireError(f"results: status {status} is unknown, the highest is {INVALID}")
        parts.append(RESULT_HEAD.pack(status, len(answer)))
        parts.append(answer)
    return b"".join(parts)


def decode_results(data: bytes) -> list[tuple[int, bytes]]:
    """The inverse of `encode_results`. Raises WireError."""
    size = len(data)
    if size < RESULTS_HEADER.size:
        raise WireError(f"results: {size} bytes, a header alone has {RESULTS_HEADER.size}")
    version, count = RESULTS_HEADER.unpack_from(data)
    if version != VERSION:
        raise _unknown_version("results", version)
    _count(count)
    unpack = RESULT_HEAD.unpack_from
    head = RESULT_HEAD.size
    results: list[tuple[int, bytes]] = []
    at = RESULTS_HEADER.size
    for offset in range(count):
        if at + head > size:
            raise WireError(f"results: result {offset} of {count} is cut off at byte {size}")
        status, length = unpack(data, at)
        if status > INVALID:
            raise WireError(
                f"results: result {offset} has status {status}, the highest is {INVALID}"
            )
        at += head
        results.append((status, data[at : at + length]))
        at += length
    if at != size:
        raise WireError(f"results: {count} results end at byte {at}, there are {size}")
    return results


def decode_session(answer: bytes) -> int:
    """The session id in the one OK result of an OPEN batch. Raises WireError."""
    if len(answer) != SESSION_ID.size:
        raise WireError(f"session id: {len(answer)} bytes, must be {SESSION_ID.size}")
    session: int = SESSION_ID.unpack(answer)[0]
    if not session:
        raise WireError("session id: 0 is no session")
    return session


def _unknown_version(what: str, version: int) -> WireError:
    return WireError(f"{what}: version {version}, this program knows {VERSION}; upgrade one side")


def _u64(field: str, number: int) -> int:
    if not 0 <= number <= SEQ_MAX:
        raise WireError(f"batch: {field} {number} does not fit 64 bits")
    return number


def _count(count: int) -> int:
    if count > COMMANDS_MAX:
        raise WireError(f"batch: {count} commands or results, the limit is {COMMANDS_MAX}")
    return count
