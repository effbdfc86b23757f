"""How long storage operations take, and where in one a crash hits.

The bytes themselves are in the storage tests' memory file system, which loses any subset of what
was not synced. An operation (a log commit, a snapshot's file) runs at the *end* of its time; when a
crash comes while it is under way, it runs up to a file system call drawn at random, and stops
there.
"""

from __future__ import annotations

import random

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

    def sync_fails(self) -> bool:
        return (
            not self.calm and self.plan.sync_error > 0 and self.rng.random() < self.plan.sync_error
        )

    def is_full(self) -> bool:
        return not self.calm and self.plan.no_space > 0 and self.rng.random() < self.plan.no_space
