"""What both faces share: checking and cutting up what goes in, and making sense of what comes
out.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal, ParamSpec, TypeVar

from raftd.client.errors import (
    AnswerTooLong,
    BulkError,
    Invalid,
    MachineError,
    NotDone,
    OutcomeUnknown,
    ProtocolError,
    RaftdError,
)
from raftd.client.parcels import Parcel, Wake
from raftd.client.settings import TIMEOUT_MAX
from raftd.wire import batch, kv
from raftd.wire.errors import WireError
from raftd.wire.session_id import opened_at

Consistency = Literal["linearizable", "stale"]
Data = bytes | str
"""A key, value or command: bytes, or text that stands for its UTF-8 bytes."""
P = ParamSpec("P")
Result = TypeVar("Result")
Answer = TypeVar("Answer")
Job = Coroutine[Any, Any, Answer]


def data(name: str, value: Data) -> bytes:
    """The bytes that an argument stands for; text is UTF-8. Raises Invalid, naming the argument."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise Invalid(f"{name} {value[:64]!r}: is no text that UTF-8 can hold") from None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise Invalid(f"{name}: {type(value).__name__}, expected bytes or str")


def operations_of(
    operations: Iterable[tuple[Data, Data | None]],
) -> list[tuple[bytes, bytes | None]]:
    """The operations of an atomic batch. Raises Invalid."""
    found: list[tuple[bytes, bytes | None]] = []
    given: Iterable[Any] = operations
    for number, operation in enumerate(given):
        name = f"operations[{number}]"
        if not isinstance(operation, tuple | list) or len(operation) != 2:
            raise Invalid(f"{name}: expected (key, value), or (key, None) for a delete")
        key, value = operation
        found.append((data(f"{name} key", key), None if value is None else data(name, value)))
    return found


def pairs_of(pairs: Iterable[tuple[Data, Data]]) -> list[bytes]:
    """The commands of many puts. Raises Invalid."""
    commands = []
    for key, value in operations_of(pairs):
        if value is None:
            raise Invalid(f"put_many: key {key[:64]!r}: value: NoneType, expected bytes or str")
        commands.append(encoded(kv.encode_put, key, value))
    return commands


def seconds(timeout: float | None, default: float) -> float:
    """For how long a call may take, 0 if less. Raises Invalid for what no lock can wait for."""
    if timeout is None:
        return default
    given: Any = timeout
    if isinstance(given, int | float) and given <= TIMEOUT_MAX:  # so not for NaN
        return max(0.0, given)
    raise Invalid(f"timeout {given!r}: expected seconds, {TIMEOUT_MAX:.0f} at most")


def encoded(encode: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> bytes:
    """A command or query of the built-in store. Raises Invalid, naming field and limit."""
    try:
        return encode(*args, **kwargs)
    except WireError as error:
        raise Invalid(str(error)) from None


def decoded(decode: Callable[[bytes], Answer], answer: bytes) -> Answer:
    """Raises ProtocolError: done, but by another kind of state machine than the built-in store."""
    try:
        return decode(answer)
    except WireError as error:
        raise ProtocolError(f"{error}; does this cluster run the built-in store?") from None


def checked(command: Data) -> bytes:
    """Raises Invalid for a command or query that no node would take."""
    command = data("command", command)
    if len(command) > batch.COMMAND_BYTES_MAX:
        raise Invalid(
            f"command: {len(command)} bytes, the limit is {batch.COMMAND_BYTES_MAX}; split it"
        )
    return command


def is_stale(consistency: Consistency) -> bool:
    """Raises Invalid for anything that is neither of the two."""
    if consistency not in ("linearizable", "stale"):
        raise Invalid(f"consistency {consistency!r}: expected 'linearizable' or 'stale'")
    return consistency == "stale"


def cut(commands: Sequence[Data], count_max: int, bytes_max: int, wake: Wake) -> list[Parcel]:
    """Parcels of at most `count_max` commands and (but for a single one) `bytes_max` bytes."""
    parcels: list[Parcel] = []
    chunk: list[bytes] = []
    size = 0
    for given in commands:
        command = checked(given)
        if chunk and (len(chunk) == count_max or size + len(command) > bytes_max):
            parcels.append(Parcel(chunk, size, wake))
            chunk, size = [], 0
        chunk.append(command)
        size += len(command)
    if chunk:
        parcels.append(Parcel(chunk, size, wake))
    return parcels


def answer_of(parcel: Parcel) -> bytes:
    """The answer of a settled parcel of one command, or its error, raised."""
    if parcel.error is not None:
        raise parcel.error
    status, data = (parcel.results or _NONE)[0]
    if status != batch.OK:
        raise _error(status, data, parcel, 0)
    return data


def answers_of(parcels: Sequence[Parcel], decode: Callable[[bytes], Answer]) -> list[Answer]:
    """All answers in order, or a BulkError that holds them and the errors."""
    answers: list[Answer] = []
    mixed: list[Answer | RaftdError] = []
    for parcel in parcels:
        results, error = parcel.results, parcel.error
        if error is not None or results is None:
            error = error or ProtocolError("settled without an answer")
            results = parcel.answered  # the first of them may have their answers all the same
        for offset, (status, data) in enumerate(results):
            if status == batch.OK:
                answer = decoded(decode, data)
                answers.append(answer)
                mixed.append(answer)
            else:
                mixed.append(_error(status, data, parcel, offset))
        if error is not None:
            mixed.extend([error] * (parcel.count - len(results)))
    if len(answers) == len(mixed):
        return answers
    first = next(item for item in mixed if isinstance(item, RaftdError))
    unknown = sum(isinstance(item, OutcomeUnknown) for item in mixed)
    failed = len(mixed) - len(answers)
    text = f"{failed} of {len(mixed)} failed, {unknown} of them unknown; first: {first}"
    raise BulkError(text, mixed)


def same(answer: bytes) -> bytes:
    """The decoder of commands that are opaque to us."""
    return answer


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


def _error(status: int, data: bytes, parcel: Parcel, offset: int) -> RaftdError:
    text = data.decode("utf-8", "replace")
    if status == batch.MACHINE_ERROR:
        return MachineError(text or "the state machine refused, without a reason")
    if status == batch.INVALID:
        return Invalid(text or "the nodes call this invalid")
    if status == batch.ANSWER_TOO_LONG:
        return AnswerTooLong(text or "done, but its answer is too long")
    seq = parcel.first_seq - len(parcel.answered) + offset
    session = opened_at(parcel.session)
    name = batch.STATUS_NAMES[status]
    if status == batch.SEQ_STALE and parcel.unknown:
        return OutcomeUnknown(
            f"{name}: number {seq} was given up; it may be done or not",
            session=session,
            seq=seq,
        )
    return ProtocolError(f"{name}: number {seq} of session {session}; report this: {text}")
