"""A fake node under a store: its clock, its timers, and what it is asked to propose."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import RaftState, Role
from raftd.machine.kv.retention import DEFAULT, Keep
from raftd.machine.kv.store import KvStore
from raftd.wire import leases


class FakeNode:
    """One node's clock, timers and proposals."""

    def __init__(self, keep: Keep = DEFAULT, chunk: int = 4) -> None:
        self.store = KvStore(keep, chunk)
        self.time = 100.0
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.proposals: list[tuple[bytes, int]] = []
        self.index = 0
        self.store.attach(self)

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self.timers, (self.time + seconds, len(self.timers) + self.index, call))
        self.index += 1

    def propose(self, command: bytes, term: int) -> None:
        self.proposals.append((command, term))

    def state(self) -> RaftState:
        raise AssertionError

    def mark_snapshot(self) -> tuple[int, bytes]:
        raise AssertionError

    def hand_in(self, index: int, chunks: Iterable[bytes]) -> None:
        raise AssertionError

    def lead(self, term: int) -> None:
        self.store.on_event(_event(term, Role.LEADER))

    def follow(self, term: int) -> None:
        self.store.on_event(_event(term, Role.FOLLOWER))

    def run(self, seconds: float) -> None:
        """Time passes, and timers are called when they are due."""
        end = self.time + seconds
        while self.timers and self.timers[0][0] <= end:
            at, _, call = heapq.heappop(self.timers)
            self.time = max(self.time, at)
            call()
        self.time = end

    def pause(self, seconds: float) -> None:
        """The process stands still: its timers are late."""
        self.time += seconds

    def apply(self, command: bytes) -> bytes:
        answer = self.store.apply(command)
        self.store.on_applied(1)
        return answer

    def renew(self, lease: int) -> int:
        answer = self.store.query(leases.encode_lease_renew(lease))
        return leases.decode_renew_answer(answer).ttl_s

    def left(self, lease: int) -> int:
        query = leases.encode_lease_time_to_live(lease)
        return leases.decode_time_to_live_answer(self.store.query(query)).ttl_s

    def ended(self) -> list[list[tuple[int, int]]]:
        return [leases.decode_expire(command) for command, _ in self.proposals]


def _event(term: int, role: Role) -> Event:
    return Event(EventKind.ROLE, term, role, "n1", "")
