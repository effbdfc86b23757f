"""How long storage operations take, and where in one a crash hits.

The bytes themselves are in the storage tests' memory file system, which loses any subset of what
was not synced. An operation (a log commit, a snapshot's file) runs at the *end* of its time; when a
crash comes while it is under way, it runs up to a file system call drawn at random, and stops
there.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.sim.plan import DiskPlan
from tests.sim.world import World

SLOW_MAX = 0.4
CALM_MAX = 0.004


class Disk:
    """Latencies of one node's disk, and its ill will."""

    def __init__(self, world: World, plan: DiskPlan, name: str) -> None:
        self._world = world
        self.plan = plan
        self.rng: random.Random = world.stream(f"disk {name}")
        slow = self.rng.random() < plan.slow_nodes
        self._factor = self.rng.choice((10.0, 50.0)) if slow else 1.0
        self.calm = False
        """In the calm phases nothing stalls and nothing fails."""
        self.full_until = 0.0
        self.no_files_until = 0.0
        self.hung_until = 0.0
        """True times: no room, no descriptor for another file, no sync returns before."""
        self._parked: list[Callable[[], None]] = []
        self._sync_error_due = False

    def sync_seconds(self) -> float:
        rng, plan = self.rng, self.plan
        base = plan.sync_mean * (0.3 + rng.expovariate(1.4))
        if self.calm:
            return min(base, CALM_MAX)
        base = min(base * self._factor, SLOW_MAX)
        if plan.stall and rng.random() < plan.stall:
            self._world.stats["disk stalls"] += 1
            return base + rng.random() * plan.stall_max
        return base

    @property
    def full(self) -> bool:
        return self._world.now < self.full_until

    @property
    def no_files(self) -> bool:
        return self._world.now < self.no_files_until

    @property
    def hung(self) -> bool:
        return self._world.now < self.hung_until

    def hang(self, seconds: float) -> None:
        """Syncs that begin from now on return when that is over, or never."""
        self.hung_until = self._world.now + seconds
        self._world.at(self.hung_until, self._hangs_no_more)

    def park(self, call: Callable[[], None]) -> None:
        """Call this when the disk hangs no more. Only while it is `hung`."""
        self._parked.append(call)

    def _hangs_no_more(self) -> None:
        if self.hung:
            return
        parked, self._parked = self._parked, []
        for call in parked:
            self._world.after(self.rng.random() * 0.001, call)

    def mend(self) -> None:
        """Room, descriptors, and everything that hangs goes on."""
        self.full_until = self.no_files_until = self.hung_until = 0.0
        self._sync_error_due = False
        self._hangs_no_more()

    def fail_a_sync(self) -> None:
        self._sync_error_due = True

    def sync_fails(self) -> bool:
        if self._sync_error_due and not self.calm:
            self._sync_error_due = False
            return True
        return (
            not self.calm and self.plan.sync_error > 0 and self.rng.random() < self.plan.sync_error
        )

    def is_full(self) -> bool:
        return not self.calm and self.plan.no_space > 0 and self.rng.random() < self.plan.no_space
