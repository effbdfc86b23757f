"""The words of comparing states: marks, digests, verdicts, and what a node remembers of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Mark:
    """Where all members digest their states. term, number: the leader's; no two marks are the
    same.
    """

    index: int
    term: int
    number: int


class Differing(NamedTuple):
    """A node whose state is not that of a majority: it must serve nothing. what: for people."""

    node: str
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the last comparison of the members' states found, at `index`; 0: there was none."""

    index: int = 0
    differing: tuple[Differing, ...] = ()

    def about(self, node: str) -> str:
        """In what it differs; empty: it was not found to."""
        return next((what for each, what in self.differing if each == node), "")


NOTHING_COMPARED = Verdict()


@dataclass(frozen=True, slots=True)
class StateDigest:
    """The applied state at a mark: (name, hash) of each part that its machine knows."""

    mark: Mark
    parts: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Check:
    """A comparison of all members' states under way."""

    mark: Mark
    begun: float
    deadline: float
    own_seconds: float = 0.0  # until the own digest was there
    work_seconds: float = 0.0  # of a processor, for that
    rested_at: float = 0.0  # the earliest time for the next one
    reports: dict[str, StateDigest] = field(default_factory=dict)


@dataclass(slots=True)
class Agreement:
    """What this node knows of whether all states are the same.

    mark: the newest that it was told of. due: the same, until the machine is there. digest: of the
    own state at `mark`. heard: (term, number) of the message that brought `verdict`.
    """

    mark: Mark | None = None
    due: Mark | None = None
    digest: StateDigest | None = None
    verdict: Verdict = NOTHING_COMPARED
    heard: tuple[int, int] = (0, 0)
