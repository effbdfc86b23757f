"""What a node's failure means for the one question that counts: was it done, and what now?

Pure functions over gRPC's errors and the Failure message. Streams and unary calls are judged here
alike; `Context.after_failure` acts on the verdict. Any thread.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import grpc

from raftd._pb import client_pb2 as pb
from raftd.client.errors import (
    AnswerTooLong,
    Invalid,
    MachineError,
    NotAllowed,
    NotDone,
    Overloaded,
    ProtocolError,
    RaftdError,
    Unavailable,
)

FAILURE_KEY = "raftd-failure-bin"
_NEVER_LEFT = ("failed to connect", "connections to all backends failing", "name resolution")
"""How gRPC words a call that it could not hand to any connection. Only ever used as proof that a
call did not leave: another wording makes the outcome unknown, which is always safe."""


class Next(Enum):
    """What to do with a command after a failed attempt."""

    REDIRECT = "redirect"  # another node leads: follow the hint or try the next
    PAUSE = "pause"  # same node, a little later
    ROTATE = "rotate"  # another node, a little later
    REOPEN = "reopen"  # the session is gone
    GIVE_UP = "give_up"  # asking again cannot help


class Verdict(NamedTuple):
    """A failed attempt, judged. certain: this attempt did nothing and will do nothing."""

    next: Next
    certain: bool
    message: str
    leader_id: str = ""
    leader_address: str = ""
    code: int = 0


_NEXT = {
    pb.NOT_LEADER: Next.REDIRECT,
    pb.OVERLOADED: Next.PAUSE,
    pb.UNAVAILABLE: Next.ROTATE,
    pb.OUTCOME_UNKNOWN: Next.REDIRECT,
    pb.INVALID: Next.GIVE_UP,
    pb.SESSION_EXPIRED: Next.REOPEN,
    pb.SEQUENCE_STALE: Next.GIVE_UP,
    pb.SEQUENCE_REUSED: Next.GIVE_UP,
    pb.MACHINE_ERROR: Next.GIVE_UP,
    pb.DEADLINE: Next.PAUSE,
    pb.DONE_ANSWER_TOO_LONG: Next.GIVE_UP,
    pb.FLOOR_AHEAD: Next.GIVE_UP,
    pb.UNAUTHENTICATED: Next.PAUSE,
    pb.PERMISSION_DENIED: Next.GIVE_UP,
}
_ALWAYS_CERTAIN = frozenset(
    (
        pb.INVALID,
        pb.SESSION_EXPIRED,
        pb.SEQUENCE_STALE,
        pb.SEQUENCE_REUSED,
        pb.MACHINE_ERROR,
        pb.FLOOR_AHEAD,
        pb.UNAUTHENTICATED,
        pb.PERMISSION_DENIED,
    )
)
"""The protocol says so whatever the flag: the call itself did not execute the command."""


class AttemptFailed(Exception):
    """An attempt that ended before a stream was open: nothing was sent that could be done."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def judge(failure: pb.Failure) -> Verdict:
    """An unknown code (a newer node's) is neither certain nor hopeless: try elsewhere."""
    certain = failure.certainly_not_done or failure.code in _ALWAYS_CERTAIN
    if failure.code in (pb.OUTCOME_UNKNOWN, pb.DONE_ANSWER_TOO_LONG):
        certain = False
    return Verdict(
        _NEXT.get(failure.code, Next.ROTATE),
        certain,
        failure.message or pb.FailureCode.Name(failure.code),
        failure.leader_id,
        failure.leader_address,
        failure.code,
    )


def judge_rpc(error: grpc.RpcError) -> Verdict:
    """A failed call, unary or stream, sync or aio: by the Failure it carries, else by its
    status.
    """
    carried = _carried(error)
    if carried is not None:
        return judge(carried)
    status, details = status_of(error)
    message = f"{status.name}: {details}"
    if status is grpc.StatusCode.UNAVAILABLE:
        if never_left(details):
            reason = details.rpartition(": ")[2]
            return Verdict(Next.ROTATE, True, f"cannot connect ({reason}); is the node up?")
        return Verdict(Next.ROTATE, False, message)
    if status is grpc.StatusCode.UNIMPLEMENTED:
        return Verdict(
            Next.GIVE_UP, True, f"{message}; is this the client port of a raftd?", code=pb.INVALID
        )
    if status is grpc.StatusCode.UNAUTHENTICATED:
        return Verdict(Next.PAUSE, True, message, code=pb.UNAUTHENTICATED)
    if status is grpc.StatusCode.PERMISSION_DENIED:
        return Verdict(Next.GIVE_UP, True, message, code=pb.PERMISSION_DENIED)
    if status is grpc.StatusCode.INVALID_ARGUMENT:
        return Verdict(Next.GIVE_UP, True, message, code=pb.INVALID)
    return Verdict(Next.ROTATE, False, message)


def error_of(verdict: Verdict, endpoint: str) -> RaftdError:
    """The error of a GIVE_UP verdict, or of a certain one that ran out of time."""
    text = f"{endpoint}: {verdict.message}" if endpoint else verdict.message
    if verdict.code == pb.MACHINE_ERROR:
        return MachineError(verdict.message, endpoint=endpoint)
    if verdict.code == pb.INVALID:
        return Invalid(text, endpoint=endpoint)
    if verdict.code in (pb.PERMISSION_DENIED, pb.UNAUTHENTICATED):
        return NotAllowed(text, endpoint=endpoint)
    if verdict.code == pb.DONE_ANSWER_TOO_LONG:
        return AnswerTooLong(text, endpoint=endpoint)
    if verdict.code in (pb.SEQUENCE_STALE, pb.SEQUENCE_REUSED, pb.FLOOR_AHEAD):
        return ProtocolError(f"{text}; two programs share one session, or a bug", endpoint=endpoint)
    if verdict.code == pb.OVERLOADED:
        return Overloaded(text, endpoint=endpoint)
    if verdict.code in (pb.NOT_LEADER, pb.UNAVAILABLE, 0):
        return Unavailable(text, endpoint=endpoint)
    return NotDone(text, endpoint=endpoint)


def never_left(details: str) -> bool:
    """True: gRPC says that it had no connection to send the call on."""
    lowered = details.lower()
    return any(words in lowered for words in _NEVER_LEFT)


def status_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Status and details, one line, of any of gRPC's error classes."""
    subject: Any = error  # the sync class has these methods only by what it really is
    if not hasattr(error, "code"):
        return grpc.StatusCode.UNKNOWN, str(error)
    status = subject.code() or grpc.StatusCode.UNKNOWN
    return status, " ".join(str(subject.details() or "").split())


def _carried(error: grpc.RpcError) -> pb.Failure | None:
    subject: Any = error
    metadata = subject.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    for key, value in metadata or ():
        if key == FAILURE_KEY:
            try:
                return pb.Failure.FromString(value)
            except Exception:  # noqa: BLE001 - protobuf's DecodeError; judged by the status instead
                return None
    return None
