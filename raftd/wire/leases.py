"""Compaction, leases and the store's own state: commands, queries, answers [frozen formats].

Little-endian; every one starts with its number and the format, u8 = 1 each.

    commands    compact 6         revision u64
                grant 7           lease i64, ttl i64 (seconds)
                revoke 8          lease i64
                expire 9          count u16, per lease: lease i64, serial u64; the leader's own
    queries     renew 18          lease i64
                time to live 19   lease i64, keys u8: list the attached ones, too
                list 20
                status 21
    answers     compact, revoke, expire   revision u64, number u64
                grant                     revision u64, ttl i64
                renew                     revision u64, ttl i64; 0: there is no such lease
                time to live              revision u64, ttl i64, granted i64, keys u32,
                                          then per key: length u16, key; ttl -1: no such lease
                list                      revision u64, count u32, leases i64 each
                status                    revision u64, compacted u64, keys u64, bytes u64,
                                          history u64, history bytes u64, leases u64

A lease's serial is its number among all grants. An end names it, so that one which comes late, or
twice, does not end a lease that was granted anew under the same id.

A renewal is a query: nothing of it is in the log. Only the leader counts the time of leases, so
`renew` and `time to live` go to the leader (the machine elsewhere refuses by NOT_PRIMARY).
Any thread, no I/O. Bad input or bad bytes: WireError, one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from raftd.wire.errors import WireError

FORMAT: Final = 1

COMPACT: Final = 6
LEASE_GRANT: Final = 7
LEASE_REVOKE: Final = 8
LEASE_EXPIRE: Final = 9
LEASE_RENEW: Final = 18
LEASE_TIME_TO_LIVE: Final = 19
LEASE_LIST: Final = 20
STATUS: Final = 21

TTL_MAX: Final = 9_000_000_000
"""Seconds, as in etcd."""
LEASES_MAX: Final = 100_000
"""In one store: a new leader looks at all of them in one go."""
EXPIRED_MAX: Final = 1000
"""Leases in one command: it bounds a pause."""

HEAD: Final = Struct("<BB")
NUMBER: Final = Struct("<BBq")
GRANT: Final = Struct("<BBqq")
TIME_TO_LIVE: Final = Struct("<BBqB")
EXPIRE: Final = Struct("<BBH")
REVISION_ANSWER: Final = Struct("<BBQQ")
TTL_ANSWER: Final = Struct("<BBQq")
TIME_TO_LIVE_ANSWER: Final = Struct("<BBQqqI")
LIST_ANSWER: Final = Struct("<BBQI")
STATUS_ANSWER: Final = Struct("<BBQQQQQQQ")
LEASE: Final = Struct("<q")
ENDED: Final = Struct("<qQ")
KEY_BYTES: Final = Struct("<H")


class Grant(NamedTuple):
    lease: int
    ttl_s: int


class GrantResult(NamedTuple):
    revision: int
    ttl_s: int


class RevokeResult(NamedTuple):
    """deleted: how many keys went with it, or with them."""

    revision: int
    deleted: int


class CompactResult(NamedTuple):
    """compacted: the revision below which nothing can be read any more."""

    revision: int
    compacted: int


class RenewResult(NamedTuple):
    """ttl_s 0: there is no such lease. Its truth value says whether there is."""

    revision: int
    ttl_s: int

    def __bool__(self) -> bool:
        return self.ttl_s > 0


class TimeToLiveResult(NamedTuple):
    """ttl_s -1: there is no such lease."""

    revision: int
    ttl_s: int
    granted_s: int
    keys: list[bytes]

    def __bool__(self) -> bool:
        return self.ttl_s >= 0


class LeaseListResult(NamedTuple):
    revision: int
    leases: list[int]


class StatusResult(NamedTuple):
    """size_bytes: of keys and records. history: revisions since the last compaction."""

    revision: int
    compacted: int
    keys: int
    size_bytes: int
    history: int
    history_bytes: int
    leases: int


def encode_compact(revision: int) -> bytes:
    return NUMBER.pack(COMPACT, FORMAT, _in(revision, "revision", 0, 2**63 - 1))


def encode_lease_grant(lease: int, ttl_s: int) -> bytes:
    """lease: not 0; whoever asks picks it, at random if it has none."""
    _in(ttl_s, "ttl", 1, TTL_MAX)
    return GRANT.pack(LEASE_GRANT, FORMAT, _lease(lease), ttl_s)


def encode_lease_revoke(lease: int) -> bytes:
    return NUMBER.pack(LEASE_REVOKE, FORMAT, _lease(lease))


def encode_lease_expire(leases: Sequence[tuple[int, int]]) -> bytes:
    """(lease, serial) each. For the leader's own proposals."""
    if not 0 < len(leases) <= EXPIRED_MAX:
        raise WireError(f"leases: {len(leases)} at once, the limit is {EXPIRED_MAX}")
    head = EXPIRE.pack(LEASE_EXPIRE, FORMAT, len(leases))
    return head + b"".join(ENDED.pack(_lease(lease), serial) for lease, serial in leases)


def encode_lease_renew(lease: int) -> bytes:
    return NUMBER.pack(LEASE_RENEW, FORMAT, _lease(lease))


def encode_lease_time_to_live(lease: int, keys: bool = False) -> bytes:
    return TIME_TO_LIVE.pack(LEASE_TIME_TO_LIVE, FORMAT, _lease(lease), keys)


def encode_lease_list() -> bytes:
    return HEAD.pack(LEASE_LIST, FORMAT)


def encode_status() -> bytes:
    return HEAD.pack(STATUS, FORMAT)


def decode_number(command: bytes) -> int:
    """The revision or the lease in a command or query that holds only that."""
    number: int = _fields(command, NUMBER)[2]
    return number


def decode_grant(command: bytes) -> Grant:
    grant = Grant(*_fields(command, GRANT)[2:])
    _in(grant.ttl_s, "ttl", 1, TTL_MAX)
    _lease(grant.lease)
    return grant


def decode_expire(command: bytes) -> list[tuple[int, int]]:
    count = _fields(command, EXPIRE, whole=False)[2]
    body = command[EXPIRE.size :]
    if len(body) != count * ENDED.size or not 0 < count <= EXPIRED_MAX:
        raise _bad(command)
    return list(ENDED.iter_unpack(body))


def decode_time_to_live(query: bytes) -> tuple[int, bool]:
    """(lease, list its keys?)"""
    _, _, lease, keys = _fields(query, TIME_TO_LIVE)
    return lease, keys != 0


def decode_compact_answer(answer: bytes) -> CompactResult:
    return CompactResult(*_answer(answer, COMPACT, REVISION_ANSWER))


def decode_revoke_answer(answer: bytes) -> RevokeResult:
    kind = LEASE_EXPIRE if answer[:1] == bytes((LEASE_EXPIRE,)) else LEASE_REVOKE
    return RevokeResult(*_answer(answer, kind, REVISION_ANSWER))


def decode_grant_answer(answer: bytes) -> GrantResult:
    return GrantResult(*_answer(answer, LEASE_GRANT, TTL_ANSWER))


def decode_renew_answer(answer: bytes) -> RenewResult:
    return RenewResult(*_answer(answer, LEASE_RENEW, TTL_ANSWER))


def decode_status_answer(answer: bytes) -> StatusResult:
    return StatusResult(*_answer(answer, STATUS, STATUS_ANSWER))


def decode_list_answer(answer: bytes) -> LeaseListResult:
    revision, count = _answer(answer, LEASE_LIST, LIST_ANSWER, whole=False)
    body = answer[LIST_ANSWER.size :]
    if len(body) != count * LEASE.size:
        raise _bad(answer)
    return LeaseListResult(revision, [lease for (lease,) in LEASE.iter_unpack(body)])


def encode_time_to_live_answer(
    revision: int, ttl_s: int, granted_s: int, keys: Sequence[bytes]
) -> bytes:
    return time_to_live_head(revision, ttl_s, granted_s, len(keys)) + encode_keys(keys)


def time_to_live_head(revision: int, ttl_s: int, granted_s: int, keys: int) -> bytes:
    """The answer up to its `keys` keys."""
    fields = revision, ttl_s, granted_s, keys
    return TIME_TO_LIVE_ANSWER.pack(LEASE_TIME_TO_LIVE, FORMAT, *fields)


def encode_keys(keys: Iterable[bytes]) -> bytes:
    """Of that answer; also some of them."""
    parts: list[bytes] = []
    for key in keys:
        parts += (KEY_BYTES.pack(len(key)), key)
    return b"".join(parts)


def decode_time_to_live_answer(answer: bytes) -> TimeToLiveResult:
    head = _answer(answer, LEASE_TIME_TO_LIVE, TIME_TO_LIVE_ANSWER, whole=False)
    revision, ttl_s, granted_s, count = head
    keys: list[bytes] = []
    at = TIME_TO_LIVE_ANSWER.size
    for _ in range(count):
        if at + KEY_BYTES.size > len(answer):
            raise _bad(answer)
        begin = at + KEY_BYTES.size
        at = begin + KEY_BYTES.unpack_from(answer, at)[0]
        keys.append(answer[begin:at])
    if at != len(answer):
        raise _bad(answer)
    return TimeToLiveResult(revision, ttl_s, granted_s, keys)


def encode_list_answer(revision: int, leases: Sequence[int]) -> bytes:
    head = LIST_ANSWER.pack(LEASE_LIST, FORMAT, revision, len(leases))
    return head + b"".join(map(LEASE.pack, leases))


def _answer(answer: bytes, kind: int, layout: Struct, whole: bool = True) -> tuple[int, ...]:
    if answer[:1] != bytes((kind,)):
        raise _bad(answer)
    return _fields(answer, layout, whole)[2:]


def _fields(data: bytes, layout: Struct, whole: bool = True) -> tuple[int, ...]:
    if whole and len(data) != layout.size:
        raise _bad(data)
    try:
        fields = layout.unpack_from(data)
    except StructError:
        raise _bad(data) from None
    if fields[1] != FORMAT:
        raise WireError(f"store: format {fields[1]}, this program reads {FORMAT}; upgrade it")
    return fields


def _lease(lease: int) -> int:
    if not -(2**63) <= lease < 2**63 or not lease:
        raise WireError(f"lease {lease}: not 0, and of 64 bits")
    return lease


def _in(number: int, what: str, least: int, most: int) -> int:
    if not least <= number <= most:
        raise WireError(f"{what}: {number}, must be {least} to {most}")
    return number


def _bad(data: bytes) -> WireError:
    return WireError(f"store: not what is expected: {len(data)} bytes {data[:16].hex()}")
