"""What a test may let happen to a frame."""

from __future__ import annotations

from enum import Enum

from raftd._pb import client_pb2 as pb


class Fault(Enum):
    """What happens to one frame or call."""

    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    UNKNOWN_BEFORE = "answered as unknown, never applied"
    UNKNOWN_AFTER = "answered as unknown, applied"
    DROP_BEFORE = "stream broken, never applied"
    DROP_AFTER = "stream broken, applied"
    HANG_AFTER = "applied, no answer ever"
    HANG_BEFORE = "not applied, no answer ever"
    NOT_LEADER = "refused, with this node's hint"


class Broken(Exception):
    """Ends a stream."""


def failure_of(code: pb.FailureCode, message: str, *, certain: bool) -> pb.Failure:
    return pb.Failure(code=code, certainly_not_done=certain, message=message)
