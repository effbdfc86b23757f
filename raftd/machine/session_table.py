"""What is kept of each session, its limits, and its bytes in a snapshot [frozen, little-endian].

table    magic "rses", version u8 = 2, sessions u32, taken u64, then sessions, least recently used
         first; taken: the latest time (milliseconds since the epoch) at which a leader took a batch
session  length of the id u8, length of the principal u16, floor u64, used u64, kept u32, id,
         principal (who opened it), then the kept answers in order of application; used: when a
         leader took the last batch in it
kept     seq u64, crc of the command u32, status u8, length u32, answer

An id has 24 bytes (wire/session_id), or the 8 of its index if a batch of version 1 opened it.
Version 1 is read for ever:

table    magic "rses", version u8 = 1, sessions u32
session  id u64, floor u64, kept u32, then the kept answers
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from raftd.machine.protocol import SnapshotFormatError
from raftd.wire import session_id
from raftd.wire.batch import ANSWER_TOO_LONG, MACHINE_ERROR, OK, PRINCIPAL_BYTES_MAX

MAGIC: Final = b"rses"
VERSION: Final = 2
VERSION_1: Final = 1
TABLE_HEAD: Final = Struct("<4sBI")
TAKEN: Final = Struct("<Q")
SESSION_HEAD: Final = Struct("<BHQQI")
SESSION_HEAD_1: Final = Struct("<QQI")
KEPT_HEAD: Final = Struct("<QIBI")
PARTS: Final = 1024
"""Kept answers that are joined at a time."""
RESULT_AT: Final = 12
"""From here on a kept answer is byte for byte a result as wire.results encodes it."""
_KEPT: Final = {VERSION_1: frozenset((OK, MACHINE_ERROR))}
_KEPT[VERSION] = _KEPT[VERSION_1] | {ANSWER_TOO_LONG}
"""The statuses that are answers: by version of the table."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What apply looks at. Constants of the format, not settings: replicas that differ diverge.

    sessions, all_numbers, all_bytes: the least recently used session expires beyond them. They
    bound what `dump` costs: 0.25 us a number, so 65 ms at worst, 2 ms with a few bulk clients.
    session_numbers, session_bytes: kept above one session's floor; beyond them SESSION_FULL.
    results_bytes: once a batch's results have passed it, the rest of the batch is SESSION_FULL.
    answer_bytes: a longer answer of the machine is replaced by an ANSWER_TOO_LONG that says so.
    """

    sessions: int = 10_000
    all_numbers: int = 1 << 18
    all_bytes: int = 128 << 20
    session_numbers: int = 16_384
    session_bytes: int = 8 << 20
    results_bytes: int = 4 << 20
    answer_bytes: int = 2 << 20


FORMAT_1: Final = Limits()


class Session:
    """One client's numbers. applied: by number, in order of application, all above the floor.

    id: as its client names it. principal: who opened it. used_ms: when a leader took the last batch
    in it, 0 if none noted it.
    """

    __slots__ = ("applied", "floor", "id", "kept_bytes", "principal", "used_ms")

    def __init__(self, id: bytes, principal: bytes = b"", used_ms: int = 0) -> None:
        self.id = id
        self.principal = principal
        self.used_ms = used_ms
        self.floor = 0
        self.applied: dict[int, bytes] = {}
        self.kept_bytes = 0

    def highest(self) -> int:
        """The highest number that was ever executed, or given up by its client."""
        return max(self.floor, max(self.applied, default=0))

    def raise_floor(self, floor: int) -> None:
        """Forget what the client has acknowledged or given up. The floor never falls."""
        before = self.floor
        if floor <= before:
            return
        self.floor = floor
        applied = self.applied
        if floor - before <= len(applied):
            gone = [applied.pop(seq, b"") for seq in range(before + 1, floor + 1)]
        else:  # the floor jumped: cheaper, and bounded, to look at what there is
            gone = [applied.pop(seq) for seq in list(applied) if seq <= floor]
        self.kept_bytes -= sum(map(len, gone))


Table = OrderedDict[bytes, Session]
"""Least recently used first. Key: the random half of the id, or the whole id of version 1."""


def key_of(session: bytes) -> bytes:
    """Also right for an id of version 1, which is shorter than the random half."""
    return session[: session_id.NONCE_BYTES]


def dump(sessions: Table, taken_ms: int) -> bytes:
    """The whole table: a join of what is kept anyway."""
    return b"".join(_parts(sessions, taken_ms))


def frozen(sessions: Table, taken_ms: int) -> Iterator[bytes]:
    """The bytes of `dump`, in chunks that are joined when asked for, on any thread."""
    parts = _parts(sessions, taken_ms)
    return (b"".join(parts[at : at + PARTS]) for at in range(0, len(parts), PARTS))


def _parts(sessions: Table, taken_ms: int) -> list[bytes]:
    parts = [TABLE_HEAD.pack(MAGIC, VERSION, len(sessions)), TAKEN.pack(taken_ms)]
    for session in sessions.values():
        id, principal, applied = session.id, session.principal, session.applied
        sizes = len(id), len(principal)
        parts.append(SESSION_HEAD.pack(*sizes, session.floor, session.used_ms, len(applied)))
        parts.append(id)
        parts.append(principal)
        parts += applied.values()
    return parts


def load(data: bytes) -> tuple[Table, int]:
    """The inverse of `dump`; b"" is the empty table. Raises SnapshotFormatError."""
    sessions: Table = OrderedDict()
    if not data:
        return sessions, 0
    magic, version, count = TABLE_HEAD.unpack(_slice(data, 0, TABLE_HEAD.size))
    if magic != MAGIC or version not in _KEPT:
        raise SnapshotFormatError(
            f"sessions: {magic!r} version {version}, this program reads {MAGIC!r} 1 and {VERSION};"
            " start the newer program"
        )
    at, taken_ms = TABLE_HEAD.size, 0
    if version == VERSION:
        taken_ms = TAKEN.unpack(_slice(data, at, TAKEN.size))[0]
        at += TAKEN.size
    load_session = _load_session if version == VERSION else _load_session_1
    for _ in range(count):
        session, kept, at = load_session(data, at)
        key = key_of(session.id)
        if key in sessions:
            raise SnapshotFormatError(
                f"sessions: the one {session_id.shown(session.id)} is there twice"
            )
        sessions[key] = session
        at = _load_kept(session, data, at, kept, _KEPT[version])
    if at != len(data):
        raise SnapshotFormatError(f"sessions: {count} sessions end at byte {at} of {len(data)}")
    return sessions, taken_ms


def _load_session(data: bytes, at: int) -> tuple[Session, int, int]:
    """(session, how many answers follow, where)."""
    head = SESSION_HEAD.unpack(_slice(data, at, SESSION_HEAD.size))
    id_bytes, principal_bytes, floor, used_ms, kept = head
    at += SESSION_HEAD.size
    id = _slice(data, at, id_bytes)
    if not (session_id.is_id(id) or session_id.is_version_1(id)):
        raise SnapshotFormatError(f"sessions: an id of {id_bytes} bytes that is none")
    if principal_bytes > PRINCIPAL_BYTES_MAX:
        raise SnapshotFormatError(f"sessions: a principal of {principal_bytes} bytes")
    at += id_bytes
    session = Session(id, _slice(data, at, principal_bytes), used_ms)
    session.floor = floor
    return session, kept, at + principal_bytes


def _load_session_1(data: bytes, at: int) -> tuple[Session, int, int]:
    index, floor, kept = SESSION_HEAD_1.unpack(_slice(data, at, SESSION_HEAD_1.size))
    if not index:
        raise SnapshotFormatError("sessions: id 0 is none")
    session = Session(session_id.of_version_1(index))
    session.floor = floor
    return session, kept, at + SESSION_HEAD_1.size


def _load_kept(session: Session, data: bytes, at: int, count: int, statuses: frozenset[int]) -> int:
    begin = at
    for _ in range(count):
        seq, _, status, length = KEPT_HEAD.unpack(_slice(data, at, KEPT_HEAD.size))
        if seq <= session.floor or seq in session.applied or status not in statuses:
            raise SnapshotFormatError(f"sessions: number {seq} with status {status} cannot be kept")
        kept = session.applied[seq] = _slice(data, at, KEPT_HEAD.size + length)
        at += len(kept)
    session.kept_bytes = at - begin
    return at


def _slice(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size]
    if len(part) != size:
        raise SnapshotFormatError(f"sessions: cut off at byte {len(data)}")
    return part
