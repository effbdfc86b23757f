"""What is kept of each session, its limits, and its bytes in a snapshot [frozen, little-endian].

table    magic "rses", version u8 = 1, sessions u32, least recently used first
session  id u64, floor u64, kept u32, then the kept answers in order of application
kept     seq u64, crc of the command u32, status u8, length u32, answer
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from struct import Struct
from typing import Final

from raftd.machine.protocol import SnapshotFormatError
from raftd.wire.batch import MACHINE_ERROR

MAGIC: Final = b"rses"
VERSION: Final = 1
TABLE_HEAD: Final = Struct("<4sBI")
SESSION_HEAD: Final = Struct("<QQI")
KEPT_HEAD: Final = Struct("<QIBI")
RESULT_AT: Final = 12
"""From here on a kept answer is byte for byte a result as wire.batch encodes it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What apply looks at. Constants of the format, not settings: replicas that differ diverge.

    sessions, all_numbers, all_bytes: the least recently used session expires beyond them. They
    bound what `dump` costs: 0.25 us a number, so 65 ms at worst, 2 ms with a few bulk clients.
    session_numbers, session_bytes: kept above one session's floor; beyond them SESSION_FULL.
    results_bytes: once a batch's results have passed it, the rest of the batch is SESSION_FULL.
    answer_bytes: a longer answer of the machine is replaced by a MACHINE_ERROR that says so.
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
    """One client's numbers. applied: by number, in order of application, all above the floor."""

    __slots__ = ("applied", "floor", "kept_bytes")

    def __init__(self) -> None:
        self.floor = 0
        self.applied: dict[int, bytes] = {}
        self.kept_bytes = 0

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


def dump(sessions: OrderedDict[int, Session]) -> bytes:
    """The whole table: a join of what is kept anyway."""
    parts = [TABLE_HEAD.pack(MAGIC, VERSION, len(sessions))]
    for number, session in sessions.items():
        parts.append(SESSION_HEAD.pack(number, session.floor, len(session.applied)))
        parts += session.applied.values()
    return b"".join(parts)


def load(data: bytes) -> OrderedDict[int, Session]:
    """The inverse of `dump`; b"" is the empty table. Raises SnapshotFormatError."""
    sessions: OrderedDict[int, Session] = OrderedDict()
    if not data:
        return sessions
    magic, version, count = TABLE_HEAD.unpack(_slice(data, 0, TABLE_HEAD.size))
    if magic != MAGIC or version != VERSION:
        raise SnapshotFormatError(
            f"sessions: {magic!r} version {version} is not {MAGIC!r} {VERSION}"
        )
    at = TABLE_HEAD.size
    for _ in range(count):
        number, floor, kept = SESSION_HEAD.unpack(_slice(data, at, SESSION_HEAD.size))
        if not number or number in sessions:
            raise SnapshotFormatError(f"sessions: id {number} is 0 or there twice")
        session = sessions[number] = Session()
        session.floor = floor
        at = _load_kept(session, data, at + SESSION_HEAD.size, kept)
    if at != len(data):
        raise SnapshotFormatError(f"sessions: {count} sessions end at byte {at} of {len(data)}")
    return sessions


def _load_kept(session: Session, data: bytes, at: int, count: int) -> int:
    begin = at
    for _ in range(count):
        seq, _, status, length = KEPT_HEAD.unpack(_slice(data, at, KEPT_HEAD.size))
        if seq <= session.floor or seq in session.applied or status > MACHINE_ERROR:
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
