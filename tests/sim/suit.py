"""What a seed's rare faults need to bite: snapshots, segments that end, a thread that can hang."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.sim.plan import Plan
from tests.sim.rare_plan import OF_SNAPSHOTS


def suit(plan: Plan) -> None:
    """Change `plan`, as its rare faults want it."""
    rare, rng = plan.rare, random.Random(plan.rare.dice)
    if rare.has("hung-machine") and rng.random() < 0.75:
        plan.shell.quick = False
        # One that has hung must be able to catch up with those that go on.
        plan.apply_delay = rng.choice((0.0, 0.0, 0.001))
        plan.client_think = max(plan.client_think, 0.02)
        plan.clients, plan.client_width, plan.client_spread = 3, 4, 0.6
    if rare.has("full", "waits-for-room", "no-files") or rare.damage:
        plan.segment_bytes = 1 << 10
    if rare.has("hung-machine", *OF_SNAPSHOTS) and rng.random() < 0.75:
        plan.snapshot_entries = rng.choice((2, 5, 10))
        plan.settings = replace(plan.settings, keep_entries=rng.choice((0, 1)))
        if rare.has("rot"):
            plan.settings = replace(plan.settings, snapshot_chunk_bytes=64)
        if rare.has("hung-machine") and rng.random() < 0.5:
            plan.shell.log_memory_limit_bytes, plan.value_bytes = 8_000, 200
            plan.settings = replace(plan.settings, pin_bytes_max=1 << 10)
