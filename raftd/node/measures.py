"""What a node measures of itself: histograms, written by one thread and read by any without a lock.

A reader may see a count of one moment and a sum of the next; for a histogram that does not matter.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from raftd.core.messages import AppendRequest, Request
from raftd.core.types import Configuration, NodeId, Term
from raftd.node.ports import Clock
from raftd.node.tally import Tally

BOUNDS = tuple(0.0001 * 2**power for power in range(17))
"""Seconds, upper ends of the buckets: 0.1 ms to 6.6 s."""

LATE_SHARE = 0.5
"""Of election_timeout_min: a leader that was silent for longer is late. Five heartbeats, as set."""


class Histogram:
    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """One a bucket, not cumulative; the last is for what is longer than all BOUNDS."""
        self.sum = 0.0

    def observe(self, seconds: float, count: int = 1) -> None:
        """count: so many took as long, together."""
        self.counts[bisect_left(BOUNDS, seconds)] += count
        self.sum += seconds * count


@dataclass(frozen=True, slots=True)
class SlowLimits:
    """Seconds from which on one write to the log, slice of applying, silence of the leader is
    noted.
    """

    sync: float = 0.25
    apply: float = 0.1
    heartbeat: float = 0.375


class Measures:
    """The thread that writes the log calls `synced`, the network thread everything else."""

    def __init__(self, clock: Clock, slow: SlowLimits | None = None) -> None:
        limits = slow or SlowLimits()
        self.slow_syncs = Tally(limits.sync)
        self.slow_applies = Tally(limits.apply)
        self.late_heartbeats = Tally(limits.heartbeat)
        self._heard: tuple[NodeId, Term] = ("", 0)
        self._heard_at = 0.0
        self._clock = clock
        self.now = clock.now
        self.syncs = Histogram()
        self.requests = {"command": Histogram(), "read": Histogram(), "stale_read": Histogram()}
        """Frames of commands and of queries from the wait for their round to the answer.
        What was refused, or is unknown, is in none of them.
        """
        self.round_trips: dict[NodeId, Histogram] = {}
        """Of members only: who was removed would be in every answer for ever."""
        self._members: frozenset[NodeId] | None = None
        self.leader_changes = 0
        self.scrubs = 0  # whole readings of a snapshot's file
        self._leader: NodeId | None = None

    def synced(self, seconds: float) -> None:
        """A write to the log and its sync took so long. The thread that writes the log."""
        self.syncs.observe(seconds)
        if seconds >= self.slow_syncs.limit_seconds:
            self.slow_syncs.note(seconds)

    def heard(self, request: Request) -> None:
        """A peer's request was taken. The first one of a leader ends no silence of its own."""
        if not isinstance(request, AppendRequest) or request.term < self._heard[1]:
            return
        now, leader = self._clock.now(), (request.leader, request.term)
        silence, self._heard_at = now - self._heard_at, now
        if leader != self._heard:
            self._heard = leader
        elif silence >= self.late_heartbeats.limit_seconds:
            self.late_heartbeats.note(silence, request.leader)

    def replied(self, peer: NodeId, sent: Request) -> None:
        """A peer answered. Heartbeats are what a round trip is measured by: no disk is in them."""
        if self._members is not None and peer not in self._members:
            return  # late: it has been removed
        if isinstance(sent, AppendRequest) and sent.is_heartbeat:
            known = self.round_trips.get(peer) or self.round_trips.setdefault(peer, Histogram())
            known.observe(self._clock.now() - sent.pulled_at)

    def seen(self, leader: NodeId | None, configuration: Configuration) -> None:
        """Who leads, and who belongs to the cluster now."""
        self.leader_seen(leader)
        self._members = frozenset(configuration.members())
        for peer in self.round_trips.keys() - self._members:
            del self.round_trips[peer]

    def leader_seen(self, leader: NodeId | None) -> None:
        if leader is not None and leader != self._leader:
            self._leader = leader
            self.leader_changes += 1
