"""Alarms of the store: what its members have to know of one of them [frozen formats].

Little-endian; every one starts with its number and the format, u8 = 1 each.

    command   alarm 11     action u8, kind u8, member length u8, member (UTF-8)
    query     alarms 22
    answers   both         revision u64, count u16,
                           then per alarm: kind u8, member length u8, member

An alarm is of one member and one kind. To clear one with an empty member clears those of all
members. Any thread, no I/O. Bad input or bad bytes: WireError, one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from raftd.wire.errors import WireError

ALARM: Final = 11
ALARMS: Final = 22
FORMAT: Final = 1

MEMBER_BYTES_MAX: Final = 255
ALARMS_MAX: Final = 256
"""Of one store."""

HEAD: Final = Struct("<BB")
COMMAND: Final = Struct("<BBBBB")
ANSWER: Final = Struct("<BBQH")
ITEM: Final = Struct("<BB")


class Action(IntEnum):
    """What a command does."""

    RAISE = 1
    CLEAR = 2


class Kind(IntEnum):
    """What is wrong, in etcd's numbers."""

    NO_SPACE = 1
    CORRUPT = 2


class Alarm(NamedTuple):
    kind: Kind
    member: str


class AlarmsResult(NamedTuple):
    """alarms: as they are now, in order. Falsy if there are none."""

    revision: int
    alarms: list[Alarm]

    def __bool__(self) -> bool:
        return bool(self.alarms)


def encode_alarm(action: Action, alarm: Alarm) -> bytes:
    """Raises WireError: the member's name is too long."""
    member = alarm.member.encode()
    if len(member) > MEMBER_BYTES_MAX:
        raise WireError(f"member: {len(member)} bytes, the limit is {MEMBER_BYTES_MAX}")
    return COMMAND.pack(ALARM, FORMAT, action, alarm.kind, len(member)) + member


def decode_alarm(command: bytes) -> tuple[Action, Alarm]:
    try:
        _, form, action, kind, size = COMMAND.unpack_from(command)
        member = command[COMMAND.size :]
        if form != FORMAT or len(member) != size:
            raise _malformed(command)
        return Action(action), Alarm(Kind(kind), member.decode())
    except (StructError, ValueError):
        raise _malformed(command) from None


def encode_alarms() -> bytes:
    return HEAD.pack(ALARMS, FORMAT)


def encode_alarms_answer(operation: int, revision: int, alarms: Sequence[Alarm]) -> bytes:
    return ANSWER.pack(operation, FORMAT, revision, len(alarms)) + encode_items(alarms)


def encode_items(alarms: Sequence[Alarm]) -> bytes:
    parts: list[bytes] = []
    for kind, name in alarms:
        member = name.encode()
        parts += (ITEM.pack(kind, len(member)), member)
    return b"".join(parts)


def decode_alarms_answer(answer: bytes) -> AlarmsResult:
    try:
        _, form, revision, count = ANSWER.unpack_from(answer)
        if form != FORMAT:
            raise _malformed(answer)
        return AlarmsResult(revision, decode_items(answer[ANSWER.size :], count))
    except StructError:
        raise _malformed(answer) from None


def decode_items(data: bytes, count: int) -> list[Alarm]:
    """All of `data`. Raises WireError."""
    found, at = [], 0
    try:
        for _ in range(count):
            kind, size = ITEM.unpack_from(data, at)
            at += ITEM.size
            member = data[at : at + size]
            if len(member) != size:
                raise _malformed(data)
            found.append(Alarm(Kind(kind), member.decode()))
            at += size
    except (StructError, ValueError):
        raise _malformed(data) from None
    if at != len(data):
        raise _malformed(data)
    return found


def _malformed(data: bytes) -> WireError:
    return WireError(f"not an alarm, or not a list of them: {len(data)} bytes {data[:16].hex()}")
