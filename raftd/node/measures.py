"""What a node measures of itself: histograms, written by one thread and read by any without a lock.

A reader may see a count of one moment and a sum of the next; for a histogram that does not matter.
"""

from __future__ import annotations

from bisect import bisect_left

from raftd.core.messages import AppendRequest, Request
from raftd.core.types import NodeId
from raftd.node.ports import Clock

BOUNDS = tuple(0.0001 * 2**power for power in range(17))
"""Seconds, upper ends of the buckets: 0.1 ms to 6.6 s."""


class Histogram:
    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """One a bucket, not cumulative; the last is for what is longer than all BOUNDS."""
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds


class Measures:
    """The thread that writes the log updates `syncs`, the network thread everything else."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now = clock.now
        self.syncs = Histogram()
        self.round_trips: dict[NodeId, Histogram] = {}
        self.leader_changes = 0
        self.scrubs = 0  # whole readings of a snapshot's file
        self._leader: NodeId | None = None

    def replied(self, peer: NodeId, sent: Request) -> None:
        """A peer answered. Heartbeats are what a round trip is measured by: no disk is in them."""
        if isinstance(sent, AppendRequest) and sent.is_heartbeat:
            known = self.round_trips.get(peer) or self.round_trips.setdefault(peer, Histogram())
            known.observe(self._clock.now() - sent.pulled_at)

    def leader_seen(self, leader: NodeId | None) -> None:
        if leader is not None and leader != self._leader:
            self._leader = leader
            self.leader_changes += 1
