"""From operations to pending calls, and from settled calls to answers or errors. Any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from raftd.client.delivery.calls import PendingCall, Wake
from raftd.client.errors import (
    AnswerTooLong,
    BulkError,
    Compacted,
    Invalid,
    MachineError,
    NoSpace,
    NotAllowed,
    NotDone,
    OutcomeUnknown,
    ProtocolError,
    RaftdError,
)
from raftd.client.operations import Bulk, Operation
from raftd.client.settings import TIMEOUT_MAX
from raftd.wire import batch
from raftd.wire.errors import WireError
from raftd.wire.refusals import COMPACTED, DENIALS, NO_SPACE, refusal_of
from raftd.wire.session_id import opened_at

BULK_COUNT = 512
BULK_BYTES = 512 << 10
"""A bulk call is cut into pieces of at most so many commands, and so many bytes."""
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Done(Generic[Answer]):
    """An answer, and where it comes from.

    index, term: the log entry that carried the command; for a query, index is how far the node had
    applied its log, and term is 0.
    """

    answer: Answer
    index: int
    term: int


def seconds(timeout: float | None, default: float) -> float:
    """For how long a call may take, 0 if less. Raises Invalid for what no lock can wait for."""
    if timeout is None:
        return default
    given: Any = timeout
    if isinstance(given, int | float) and given <= TIMEOUT_MAX:  # so not for NaN
        return max(0.0, given)
    raise Invalid(f"timeout {given!r}: expected seconds, {TIMEOUT_MAX:.0f} at most")


def decoded(decode: Callable[[bytes], Answer], answer: bytes) -> Answer:
    """Raises ProtocolError: done, but by another kind of state machine than the built-in store."""
    try:
        return decode(answer)
    except WireError as error:
        raise ProtocolError(f"{error}; does this cluster run the built-in store?") from None


def cut(bulk: Bulk[Answer], wake: Wake) -> list[PendingCall]:
    """Pending calls of at most BULK_COUNT commands and (but for a single one) BULK_BYTES bytes."""
    pending: list[PendingCall] = []
    chunk: list[bytes] = []
    size = 0
    for command in bulk.commands:
        if chunk and (len(chunk) == BULK_COUNT or size + len(command) > BULK_BYTES):
            pending.append(PendingCall(chunk, size, wake))
            chunk, size = [], 0
        chunk.append(command)
        size += len(command)
    if chunk:
        pending.append(PendingCall(chunk, size, wake))
    return pending


def single(operation: Operation[Answer], wake: Wake) -> PendingCall:
    """The pending call of one operation."""
    return PendingCall((operation.payload,), len(operation.payload), wake)


def done(operation: Operation[Answer], call: PendingCall) -> Done[Answer]:
    """What a settled call brought, or its error, raised."""
    return Done(decoded(operation.decode, answer_of(call)), call.index, call.term)


def answer_of(call: PendingCall) -> bytes:
    """The answer of a settled call of one command, or its error, raised."""
    if call.error is not None:
        raise call.error
    status, data = (call.results or _NONE)[0]
    if status != batch.OK:
        raise _error(status, data, call, 0)
    return data


def answers_of(bulk: Bulk[Answer], pending: Sequence[PendingCall]) -> list[Answer]:
    """All answers in order, or a BulkError that holds them and the errors."""
    answers: list[Answer] = []
    mixed: list[Answer | RaftdError] = []
    for call in pending:
        results, error = call.results, call.error
        if error is not None or results is None:
            error = error or ProtocolError("settled without an answer")
            results = call.answered  # the first of them may have their answers all the same
        for offset, (status, data) in enumerate(results):
            if status == batch.OK:
                answer = decoded(bulk.decode, data)
                answers.append(answer)
                mixed.append(answer)
            else:
                mixed.append(_error(status, data, call, offset))
        if error is not None:
            mixed.extend([error] * (call.count - len(results)))
    if len(answers) == len(mixed):
        return answers
    first = next(item for item in mixed if isinstance(item, RaftdError))
    unknown = sum(isinstance(item, OutcomeUnknown) for item in mixed)
    failed = len(mixed) - len(answers)
    text = f"{failed} of {len(mixed)} failed, {unknown} of them unknown; first: {first}"
    raise BulkError(text, mixed)


def stalled(*, changes: bool) -> RaftdError:
    """The client's own loop does not answer: for commands nobody can say what was done.

    Not even of one that was never sent: the loop may come back, and find it in its queue before it
    hears that its caller has gone.
    """
    text = "the client's own loop is stalled (is the process starved of CPU?)"
    if changes:
        return OutcomeUnknown(f"{text}; it may be done or not")
    return NotDone(text)


_NONE: list[tuple[int, bytes]] = [(batch.INVALID, b"settled without an answer")]


def _error(status: int, data: bytes, call: PendingCall, offset: int) -> RaftdError:
    text = data.decode("utf-8", "replace")
    if status == batch.MACHINE_ERROR:
        if refusal_of(text) == COMPACTED:
            return Compacted(f"{text}: read a later one", endpoint=call.endpoint)
        if refusal_of(text) == NO_SPACE:
            return NoSpace(text, endpoint=call.endpoint)
        if refusal_of(text) in DENIALS:
            return NotAllowed(text, endpoint=call.endpoint)
        why = text or "the state machine refused, without a reason"
        return MachineError(why, endpoint=call.endpoint)
    if status == batch.INVALID:
        return Invalid(text or "the nodes call this invalid", endpoint=call.endpoint)
    if status == batch.ANSWER_TOO_LONG:
        why = text or "done, but its answer is too long"
        return AnswerTooLong(why, endpoint=call.endpoint)
    seq = call.first_seq - len(call.answered) + offset
    session = opened_at(call.session)
    name = batch.STATUS_NAMES[status]
    if status == batch.SEQ_STALE and call.unknown:
        return OutcomeUnknown(
            f"{name}: number {seq} was given up; it may be done or not",
            session=session,
            seq=seq,
        )
    return ProtocolError(f"{name}: number {seq} of session {session}; report this: {text}")
