"""The one table from refusals to what a client sees: a Failure, and a status for unary calls."""

from __future__ import annotations

from typing import NoReturn

import grpc
import grpc.aio

from raftd._pb import client_pb2 as pb
from raftd.node.outcomes import Answered, Applied, Outcome, Refusal, Refused, Unknown
from raftd.rpc.directory import Directory
from raftd.wire import batch

FAILURE_KEY = "raftd-failure-bin"
MESSAGE_MAX = 512
_NOT_DONE = True
_PERHAPS = False

STATUS: dict[int, grpc.StatusCode] = {
    pb.NOT_LEADER: grpc.StatusCode.FAILED_PRECONDITION,
    pb.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    pb.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    pb.OUTCOME_UNKNOWN: grpc.StatusCode.UNKNOWN,
    pb.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    pb.SESSION_EXPIRED: grpc.StatusCode.NOT_FOUND,
    pb.SEQUENCE_STALE: grpc.StatusCode.OUT_OF_RANGE,
    pb.SEQUENCE_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    pb.MACHINE_ERROR: grpc.StatusCode.FAILED_PRECONDITION,
    pb.DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    pb.DONE_ANSWER_TOO_LONG: grpc.StatusCode.DATA_LOSS,
    pb.FLOOR_AHEAD: grpc.StatusCode.OUT_OF_RANGE,
    pb.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    pb.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
}

_REFUSALS: dict[Refusal, pb.FailureCode] = {
    Refusal.NOT_LEADER: pb.NOT_LEADER,
    Refusal.OVERLOADED: pb.OVERLOADED,
    Refusal.UNAVAILABLE: pb.UNAVAILABLE,
    Refusal.NOT_ALLOWED: pb.INVALID,
}

_RESULTS: dict[int, tuple[pb.FailureCode, str]] = {
    batch.MACHINE_ERROR: (pb.MACHINE_ERROR, "the state machine refused the command"),
    batch.SESSION_EXPIRED: (
        pb.SESSION_EXPIRED,
        "the session is unknown or has expired: open one",
    ),
    batch.SEQ_STALE: (pb.SEQUENCE_STALE, "the number is at or below the session's floor"),
    batch.SEQ_REUSED: (pb.SEQUENCE_REUSED, "the number was used for another command"),
    batch.SESSION_FULL: (pb.OVERLOADED, "the session keeps too many answers: raise its floor"),
    batch.INVALID: (pb.INVALID, "the command is malformed"),
    batch.ANSWER_TOO_LONG: (pb.DONE_ANSWER_TOO_LONG, "done, but the answer is too long"),
    batch.FLOOR_AHEAD: (pb.FLOOR_AHEAD, "the floor is above every number sent in the session"),
}

_MAY_BE_DONE = frozenset((pb.OUTCOME_UNKNOWN, pb.DONE_ANSWER_TOO_LONG))


class CallFailed(Exception):
    """A call that ends with `failure`."""

    def __init__(self, failure: pb.Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def invalid(message: str) -> pb.Failure:
    return pb.Failure(code=pb.INVALID, certainly_not_done=_NOT_DONE, message=message[:MESSAGE_MAX])


def deadline_passed() -> pb.Failure:
    return pb.Failure(
        code=pb.DEADLINE,
        certainly_not_done=_NOT_DONE,
        message="the deadline had passed when the call arrived: nothing was done",
    )


def overloaded(message: str) -> pb.Failure:
    return pb.Failure(code=pb.OVERLOADED, certainly_not_done=_NOT_DONE, message=message)


def unavailable(message: str) -> pb.Failure:
    return pb.Failure(code=pb.UNAVAILABLE, certainly_not_done=_NOT_DONE, message=message)


def unauthenticated(message: str) -> pb.Failure:
    return pb.Failure(code=pb.UNAUTHENTICATED, certainly_not_done=_NOT_DONE, message=message)


def denied(message: str) -> pb.Failure:
    return pb.Failure(code=pb.PERMISSION_DENIED, certainly_not_done=_NOT_DONE, message=message)


def unknown(message: str) -> pb.Failure:
    return pb.Failure(code=pb.OUTCOME_UNKNOWN, certainly_not_done=_PERHAPS, message=message)


def of_outcome(outcome: Outcome, directory: Directory) -> pb.Failure:
    """What a caller is told about an outcome that is not the one it hoped for."""
    if isinstance(outcome, Refused):
        return pb.Failure(
            code=_REFUSALS[outcome.refusal],
            certainly_not_done=_NOT_DONE,
            message=_with_next_step(outcome, directory)[:MESSAGE_MAX],
            leader_id=outcome.leader or "",
            leader_address=directory.client_address(outcome.leader),
        )
    if isinstance(outcome, Unknown):
        return pb.Failure(
            code=pb.OUTCOME_UNKNOWN,
            certainly_not_done=_PERHAPS,
            message=outcome.message[:MESSAGE_MAX],
            leader_id=outcome.leader or "",
            leader_address=directory.client_address(outcome.leader),
        )
    assert isinstance(outcome, Applied | Answered)
    return unknown(f"raftd answered with {type(outcome).__name__} where that makes no sense")


def _with_next_step(refused: Refused, directory: Directory) -> str:
    if refused.refusal is not Refusal.NOT_LEADER:
        return refused.message
    if refused.leader is None:
        return f"{refused.message}, and no leader is known now: try again in a moment"
    address = directory.client_address(refused.leader)
    return f"{refused.message}: ask {refused.leader}" + (f" at {address}" if address else "")


def of_result(status: int, answer: bytes) -> pb.Failure | None:
    """None if `status` (wire.batch) is OK. `answer` may hold a message of the state machine."""
    if status == batch.OK:
        return None
    code, text = _RESULTS.get(status, (pb.OUTCOME_UNKNOWN, f"result status {status} is unknown"))
    said = answer.decode("utf-8", "replace")
    return pb.Failure(
        code=code,
        certainly_not_done=code not in _MAY_BE_DONE,
        message=(said or text)[:MESSAGE_MAX],
    )


async def abort(context: grpc.aio.ServicerContext[object, object], failure: pb.Failure) -> NoReturn:
    """End a unary call: status, one line, and the Failure in the trailing metadata."""
    await context.abort(
        STATUS.get(failure.code, grpc.StatusCode.UNKNOWN),
        failure.message,
        ((FAILURE_KEY, failure.SerializeToString()),),
    )
    raise AssertionError("abort raises")  # pragma: no cover
