"""How one submitted batch or query ended. Exactly one of these reaches the caller, once.

The difference between `Refused` and `Unknown` is the client contract: after `Refused` it is certain
that nothing was done and nothing will be; after `Unknown` the batch may be applied now, later or
never, and it stays unknown however later attempts end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from raftd.core.types import Index, NodeId, Term


class NodeStopped(Exception):
    """The node takes no more calls: it was stopped, or it failed and its process is about to
    end.
    """


class Refusal(Enum):
    NOT_LEADER = "not_leader"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    NOT_ALLOWED = "not_allowed"  # asking again will not help: the message says what would


@dataclass(frozen=True, slots=True)
class Applied:
    """The batch was committed as entry (index, term) and applied; `results` is encoded by
    wire.batch.
    """

    index: Index
    term: Term
    results: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The queries were answered from the state at `applied_index`; one (status, answer) each, or to
    the first of them, at least one, where all together would be too large.
    """

    applied_index: Index
    results: list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly not done. leader: whom to ask instead, if known."""

    refusal: Refusal
    message: str
    leader: NodeId | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It reached the log; whether it will be applied is not known to this node any more."""

    message: str
    leader: NodeId | None = None


Outcome = Applied | Answered | Refused | Unknown

Done = Callable[[Outcome], None]


def answer(dones: Iterable[Done], outcome: Outcome) -> None:
    for done in dones:
        done(outcome)
