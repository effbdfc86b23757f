"""How long things take on a node, from one look of its film to the next. Network thread only."""

from __future__ import annotations

from typing import Any

from raftd.core.core import RaftCore
from raftd.core.messages import AppendRequest
from raftd.core.types import Index, Role
from raftd.node.measures import Histogram, Measures

GIVEN_UP_SECONDS = 10.0
"""An append that was not applied in that time, or is no longer ours, is not waited for."""


class Mean:
    """Of what a histogram has observed since the last look."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0

    def take_ms(self, histogram: Histogram) -> float | None:
        """None: nothing was observed."""
        count, total = sum(histogram.counts), histogram.sum
        seen, spent = count - self._count, total - self._sum
        self._count, self._sum = count, total
        return round(spent / seen * 1e3, 3) if seen > 0 else None


class Latencies:
    """One append at a time is followed: from leaving the leader until it is applied there."""

    def __init__(self, core: RaftCore, measures: Measures) -> None:
        self._core = core
        self._measures = measures
        self._index: Index = 0
        self._since = 0.0
        self._taken: list[float] = []
        self._syncs = Mean()
        self._trips: dict[str, Mean] = {}

    def sent(self, request: AppendRequest, now: float) -> None:
        """Entries leave for a peer."""
        last = request.prev_index + len(request.entries)
        if not self._index and last > self._core.commit_index:  # else to one that catches up
            self._index, self._since = last, now

    def applied(self, index: Index, now: float) -> None:
        """Everything up to `index` is."""
        if self._index and index >= self._index:
            self._taken.append(now - self._since)
            self._index = 0

    def take(self, now: float) -> dict[str, Any]:
        """Mean milliseconds of each kind; None where nothing was measured."""
        if now - self._since > GIVEN_UP_SECONDS or self._core.role is not Role.LEADER:
            self._index = 0
        taken, self._taken = self._taken, []
        measured = self._measures.round_trips
        self._trips = {peer: self._trips.get(peer, Mean()) for peer in measured}
        trips = {peer: self._trips[peer].take_ms(took) for peer, took in measured.items()}
        return {
            "entry": round(sum(taken) / len(taken) * 1e3, 3) if taken else None,
            "sync": self._syncs.take_ms(self._measures.syncs),
            "trips": {peer: trip for peer, trip in trips.items() if trip is not None},
        }
