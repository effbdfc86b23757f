"""The results of a batch, or of a frame of queries [frozen format, little-endian].

    results   version u8 = 1, count u16
              then per result: status u8, length u32, bytes

All functions: any thread, no I/O. The decoder raises WireError and nothing else on bad bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from raftd.wire.errors import WireError

RESULTS_VERSION: Final = 1

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
"""Never of a command: for queries whose answer is too long, and for whoever answers in this format
without asking the machine.
"""
ANSWER_TOO_LONG: Final = 7
"""Executed, and it stays so; only the answer is gone: it passed its limit, or cannot be given here.
"""
FLOOR_AHEAD: Final = 8
"""The batch's floor is above every number that was ever sent in the session: a bug of the client.
Nothing of the batch was executed by this entry, and the floor stayed where it was.
"""

STATUS_NAMES: Final = (
    "OK",
    "MACHINE_ERROR",
    "SESSION_EXPIRED",
    "SEQ_STALE",
    "SEQ_REUSED",
    "SESSION_FULL",
    "INVALID",
    "ANSWER_TOO_LONG",
    "FLOOR_AHEAD",
)
"""Indexed by status. Only with OK, MACHINE_ERROR and ANSWER_TOO_LONG did the machine see it."""
STATUS_MAX: Final = FLOOR_AHEAD

COMMANDS_MAX: Final = 4096
QUERY_ANSWER_BYTES_MAX: Final = 32 << 20
"""A longer answer to a query is INVALID: nothing can be done but to ask for less."""

RESULTS_HEADER: Final = Struct("<BH")
RESULT_HEAD: Final = Struct("<BI")


def encode_results(results: Sequence[tuple[int, bytes]]) -> bytes:
    """Results as (status, bytes), one a command (or query), in order.

    Raises WireError for an unknown status or too many results.
    """
    parts = [RESULTS_HEADER.pack(RESULTS_VERSION, _count(len(results)))]
    for status, answer in results:
        if not 0 <= status <= STATUS_MAX:
            raise WireError(f"results: status {status} is unknown, the highest is {STATUS_MAX}")
        parts.append(RESULT_HEAD.pack(status, len(answer)))
        parts.append(answer)
    return b"".join(parts)


def decode_results(data: bytes) -> list[tuple[int, bytes]]:
    """The inverse of `encode_results`. Raises WireError."""
    size = len(data)
    if size < RESULTS_HEADER.size:
        raise WireError(f"results: {size} bytes, a header alone has {RESULTS_HEADER.size}")
    version, count = RESULTS_HEADER.unpack_from(data)
    if version != RESULTS_VERSION:
        raise WireError(
            f"results: version {version}, this program knows {RESULTS_VERSION}; upgrade one side"
        )
    _count(count)
    unpack = RESULT_HEAD.unpack_from
    head = RESULT_HEAD.size
    results: list[tuple[int, bytes]] = []
    at = RESULTS_HEADER.size
    for offset in range(count):
        if at + head > size:
            raise WireError(f"results: result {offset} of {count} is cut off at byte {size}")
        status, length = unpack(data, at)
        if status > STATUS_MAX:
            raise WireError(
                f"results: result {offset} has status {status}, the highest is {STATUS_MAX}"
            )
        at += head
        results.append((status, data[at : at + length]))
        at += length
    if at != size:
        raise WireError(f"results: {count} results end at byte {at}, there are {size}")
    return results


def _count(count: int) -> int:
    if count > COMMANDS_MAX:
        raise WireError(f"results: {count} results, the limit is {COMMANDS_MAX}")
    return count
