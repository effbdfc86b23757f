"""What sessions answer where the machine was not asked, or could not be quoted. Any thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any, Final

from raftd.machine.protocol import AnswerLost, MachineError, MachineFailure, describe
from raftd.machine.session_table import KEPT_HEAD, RESULT_AT
from raftd.wire import batch as wire

log = logging.getLogger(__name__)

Read = tuple[int, bytes]
"""(OK, answer) or (MACHINE_ERROR, message)."""
ERROR_BYTES_MAX: Final = 4096
QUERY_MAX: Final = wire.QUERY_ANSWER_BYTES_MAX


def result(status: int, answer: bytes) -> bytes:
    return wire.RESULT_HEAD.pack(status, len(answer)) + answer


STALE: Final = result(wire.SEQ_STALE, b"number at or below the session's floor; not executed now")
REUSED: Final = result(wire.SEQ_REUSED, b"number used before for another command; not executed now")
FULL: Final = result(wire.SESSION_FULL, b"no room for the answer; not executed now; send it again")
EXPIRED: Final = (wire.SESSION_EXPIRED, b"session unknown or expired; not executed now")
AHEAD: Final = (
    wire.FLOOR_AHEAD,
    b"floor above every number that was sent; nothing was executed now; a bug of the client",
)


def again(kept: bytes, crc: int) -> bytes:
    """The result for a number that was applied before."""
    return kept[RESULT_AT:] if KEPT_HEAD.unpack_from(kept)[1] == crc else REUSED


def raised(error: Exception) -> tuple[int, bytes]:
    """What is answered, and kept: a refusal, or that the answer alone is lost."""
    status = wire.ANSWER_TOO_LONG if isinstance(error, AnswerLost) else wire.MACHINE_ERROR
    return status, message(error)


def message(error: Exception) -> bytes:
    """Its text in bounds; cut between characters, and equal on all nodes as its text is."""
    data = str(error).encode("utf-8", "backslashreplace")[:ERROR_BYTES_MAX]
    return data.decode("utf-8", "ignore").encode()


def blame(answer: object, error: Exception) -> Exception:
    """Why an answer could not be kept: it is none. Else the error itself, the machine's own."""
    if isinstance(answer, bytes | bytearray | memoryview):
        return error
    return TypeError(f"apply answered {type(answer).__name__}, expected bytes")


def failure(index: int, term: int, offset: int, count: int, error: Exception) -> MachineFailure:
    return MachineFailure(
        f"entry {index} (term {term}), command {offset} of {count}: the machine raised"
        f" {describe(error)}; it is not applied; correct the machine on all nodes and restart"
    )


def too_long(answer: bytes, limit: int, version: int) -> tuple[int, bytes]:
    """What is answered, and kept, in its place: the command is done all the same."""
    if version == wire.VERSION_1:
        text = f"the command was applied, but its answer is too long: {len(answer)} bytes"
        return wire.MACHINE_ERROR, text.encode()
    text = f"done, but its answer has {len(answer)} bytes, the limit is {limit}: the answer is lost"
    return wire.ANSWER_TOO_LONG, text.encode()


def of_command(
    apply: Callable[[bytes], object], command: bytes, limit: int, version: int
) -> Generator[None, None, bytes]:
    """The result of a command, of which nobody keeps a copy."""
    answer: Any = b""
    try:
        answer = apply(command)
        if type(answer) is GeneratorType:
            answer = yield from answer
        if len(answer) > limit:
            return result(*too_long(answer, limit, version))
        found: bytes = wire.RESULT_HEAD.pack(wire.OK, len(answer)) + answer
        return found
    except (MachineError, AnswerLost) as error:
        return result(*raised(error))
    except Exception as error:
        if (why := blame(answer, error)) is error:
            raise
        raise why from error


def of_read(answer: object) -> Read:
    """Raises TypeError if it is none. One that is too long to travel is INVALID."""
    if not isinstance(answer, bytes):
        raise TypeError(f"it answered {type(answer).__name__}, not bytes")
    if len(answer) <= QUERY_MAX:
        return wire.OK, answer
    text = f"the answer has {len(answer)} bytes, the limit is {QUERY_MAX}: ask for less"
    return wire.INVALID, text.encode()


def of_failed_read(error: Exception) -> Read:
    """A query changes nothing, so a bug in one is logged and answered, not fatal."""
    if not isinstance(error, MachineError):
        text = "the machine's query raised; it should answer or raise MachineError"
        log.error(text, exc_info=error)
        error = MachineError(f"query failed: {describe(error)}")
    return wire.MACHINE_ERROR, message(error)


def in_pieces(pieces: Generator[None, None, object]) -> Generator[None, None, Read]:
    """The same of a read that gives way now and then."""
    try:
        return of_read((yield from pieces))
    except Exception as error:  # noqa: BLE001  as for a read that does not
        return of_failed_read(error)
