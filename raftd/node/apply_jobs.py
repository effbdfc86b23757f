"""What the machine's owner is asked to do, and what a slice of it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from raftd.core.comparing import Mark
from raftd.core.effects import Effects, Event
from raftd.core.types import Entry, Index, SnapshotMeta, Term
from raftd.node.outcomes import Done, Outcome
from raftd.wire.principal import NOBODY

Captured = tuple[Index, Term, bytes, Iterable[bytes]]
Parts = Sequence[tuple[str, Iterable[bytes]]]

WITHIN_AN_ENTRY = "mark_snapshot: not within apply, an entry holds several commands; use on_applied"


@dataclass(frozen=True, slots=True)
class ApplyEntries:
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Install:
    meta: SnapshotMeta


@dataclass(frozen=True, slots=True)
class Query:
    """Answer `queries` of `principal` once everything up to `index` is applied."""

    index: Index
    queries: Sequence[bytes]
    done: Done
    principal: bytes = NOBODY


@dataclass(frozen=True, slots=True)
class Capture:
    """Freeze the state as of now; `done` gets it on the owner's thread."""

    done: Callable[[Captured], None]


@dataclass(frozen=True, slots=True)
class TakeParts:
    """Freeze the state as of now, to be digested for a mark."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class Tell:
    """An event, for a machine that watches."""

    event: Event


EVENTS_WAITING_MAX = 1024
"""Events that a machine has not come to see yet; past it they are dropped, and that is told."""


class EventsWaiting:
    """The network thread counts what is told, the machine's owner what is seen."""

    def __init__(self) -> None:
        self.seen = self._told = self._dropped = 0

    def told(self, event: Event) -> Event | None:
        """What the machine is to be told; None: there is no room."""
        if self._told - self.seen >= EVENTS_WAITING_MAX:
            self._dropped += 1
            return None
        self._told += 1
        if not self._dropped:
            return event
        lost, self._dropped = self._dropped, 0
        text = f"{lost} events before this one were dropped: the machine was too slow"
        return replace(event, detail=f"{event.detail}; {text}")


@dataclass(frozen=True, slots=True)
class Call:
    """Something that the machine asked to be called for later."""

    call: Callable[[], None]


@dataclass(frozen=True, slots=True)
class GoOn:
    """What a machine has left to do after a restore, which is under way in pieces."""


Job = ApplyEntries | Install | Query | Capture | TakeParts | Tell | Call | GoOn


@dataclass(slots=True)
class Slice:
    """What one slice of work did, for the network thread."""

    applied: list[tuple[Entry, bytes]]
    answers: list[tuple[Done, Outcome]]
    index: Index = 0
    bytes: int = 0
    jumped_to: Index = 0
    seconds: float = 0.0
    """It took so long; 0: no longer than a slice should."""


def jobs_of(fx: Effects) -> Sequence[Job]:
    """What was committed, and where the state is to be digested."""
    if fx.mark is not None:
        return round_mark(fx.mark, fx.committed)
    return [ApplyEntries(fx.committed)] if fx.committed else ()


def round_mark(mark: Mark, entries: Sequence[Entry]) -> list[Job]:
    """What is before a mark, the mark, what is behind it."""
    behind = mark.index + 1 - entries[0].index if entries else 0
    jobs: list[Job] = [ApplyEntries(entries[:behind])] if entries[:behind] else []
    jobs.append(TakeParts(mark))
    return [*jobs, ApplyEntries(entries[behind:])] if entries[behind:] else jobs


def in_words(job: Job | None, applied: Index) -> str:
    """What the machine "has been" at with this job, `applied` entries being behind it."""
    if isinstance(job, ApplyEntries):
        return f"applying entry {applied + 1}"
    if isinstance(job, Query):
        return "answering a query"
    return "freezing its state" if isinstance(job, Capture | TakeParts) else "told an event"
