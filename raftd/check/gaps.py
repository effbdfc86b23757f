"""Revisions of which no answer tells: where they are, who can have made them, and which of them can
be to blame when an answer does not fit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from raftd.check.anchors import Anchors
from raftd.check.operations import INFINITY, Item, Op, may_put
from raftd.check.timeline import Timeline


@dataclass(slots=True)
class Conflict:
    """What another choice would have to change. gaps: revisions at which it could; keys: whose
    state it is about; everything: all of both.
    """

    gaps: set[int] = field(default_factory=set)
    keys: set[bytes] = field(default_factory=set)
    everything: bool = False

    def add(self, other: Conflict) -> None:
        self.gaps |= other.gaps
        self.keys |= other.keys
        self.everything = self.everything or other.everything


class Gaps:
    """start: the revision before the history. unknown: writes without an answer."""

    def __init__(
        self, timeline: Timeline, anchors: Anchors, unknown: Sequence[Op], start: int
    ) -> None:
        self.timeline = timeline
        self._anchors = anchors
        self._start = start
        self.unknown = unknown
        self.steps = 0
        """Operations looked at."""
        known = timeline.last - start
        self.missing = known - len(timeline.writer)
        """How many there are."""
        makers = len(unknown) + sum(map(len, timeline.maybe.values()))
        self.hopeless = self.missing > makers
        """More than operations that can have made them."""
        every = range(start + 1, timeline.last + 1)
        gaps = (revision for revision in every if revision not in timeline.writer)
        self.revisions = list(islice(gaps, makers + 1))
        """In order; no attempt gets past more of them."""
        self._naming: dict[bytes, list[Op]] = {}
        for op in (*unknown, *(op for ops in timeline.maybe.values() for op in ops)):
            for key in op.named():
                self._naming.setdefault(key, []).append(op)

    def limit(self, revision: int) -> float:
        """Whoever made it was called by then: it had been seen."""
        first = self.timeline.first_return(revision)
        return first.ret if first is not None else INFINITY

    def makers(self, revision: int) -> list[Op]:
        """Who can have made it, whatever the state was; oldest first."""
        limit, seen = self.limit(revision), self._anchors.seen_at(revision)
        maybe = self.timeline.maybe.get(revision, [])
        if seen:
            suspects = [*maybe, *self._naming.get(next(iter(seen)), ())]
        elif gone := self._anchors.gone_at(revision):
            suspects = [*maybe, *self._naming.get(gone[0], ())]
        else:
            early = bisect_right(self.unknown, limit, key=lambda op: op.call)
            suspects = [*maybe, *self.unknown[:early]]
        self.steps += len(suspects)
        return [op for op in suspects if _can_have_made(op, revision, limit, seen)]

    def blame(self, key: bytes, revision: int, *, before: bool) -> Conflict:
        """Where a hidden write of `key` can change what it is at `revision` (before: at the one
        before).

        Not earlier than the last answer that tells all about the key: whatever was chosen up to
        there, the key was the same after it.
        """
        conflict = Conflict(keys={key})
        if not before and self._anchors.is_pinned_by_write(key, revision):
            return conflict
        low = self._anchors.pinned_below(key, revision, self._start)
        at = bisect_right(self.revisions, low)
        end = (
            bisect_left(self.revisions, revision)
            if before
            else bisect_right(self.revisions, revision)
        )
        naming = self._naming.get(key, ())
        self.steps += (end - at) * len(naming)
        for gap in self.revisions[at:end]:
            limit, seen = self.limit(gap), self._anchors.seen_at(gap)
            if any(_can_have_made(op, gap, limit, seen) for op in naming):
                conflict.gaps.add(gap)
        return conflict


def _can_have_made(op: Op, revision: int, limit: float, seen: Mapping[bytes, Item]) -> bool:
    if op.call > limit or (op.revision is not None and op.revision != revision):
        return False
    return all(may_put(op, key, item.value) for key, item in seen.items())
