"""Which rare faults a seed has, and which two things it forces to meet.

Faults that each come now and then hardly ever meet by chance. So a seed draws one pair, of two
faults or of a fault and a state of a node, and makes it happen again and again, beside at most two
kinds that come by themselves. What has met is counted (states.py) and printed by `--pairs`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

LASTING = (
    "full",
    "hung-sync",
    "hung-machine",
    "no-files",
    "pause",
    "cut-off",
    "chunks-lost",
    "handover-lost",
)
"""They begin and end."""

SUDDEN = ("stop", "kill", "power", "transfer", "rot", "snapshot", "sync-error", "fat-chunk")
"""They strike."""

FAULTS = LASTING + SUDDEN

ROLES = ("leader", "follower", "candidate")
STATES = (
    *ROLES,
    "not-admitted",
    "wal-writes",
    "wal-queue",
    "waits-for-room",
    "snapshot-written",
    "restoring",
    "receiving",
    "sending",
    "transfer",
    "stopping",
    "held",
)
"""What a node may be doing (states.py says what each means); the lasting faults are states, too."""

HUNTED = tuple(state for state in STATES if state not in ("leader", "follower"))

OF_SNAPSHOTS = (
    "rot",
    "chunks-lost",
    "fat-chunk",
    "snapshot-written",
    "restoring",
    "receiving",
    "sending",
)
"""They need snapshots, and followers that need them."""


@dataclass(slots=True)
class RarePlan:
    """kinds: those that come by themselves, every `every` seconds on the mean.

    pair: two faults that overlap; or hunt: a fault that strikes who is in a state. force_every:
    mean seconds between two tries, 0 = never.
    """

    dice: int = 0
    kinds: tuple[str, ...] = ()
    every: float = 2.0
    pair: tuple[str, str] = ("", "")
    hunt: tuple[str, str] = ("", "")
    force_every: float = 0.0
    elsewhere: float = 0.2
    """Probability that the second of a pair strikes another node."""
    damage: float = 0.0
    """Probability that a power cut between a new segment and the seal before it damages what the
    new one proves."""
    tails: float = 0.0
    """Probability that a node that dies loses what it synced last, where the rules survive it."""
    scrub_seconds: float = 3600.0
    restore_seconds: float = 0.0
    """A restore takes up to so long."""

    def has(self, *names: str) -> bool:
        """Is any of these faults or states among what it wants?"""
        return any(name in (*self.kinds, *self.pair, *self.hunt) for name in names)


def draw_tails(rng: random.Random) -> float:
    """By dice of its own: other seeds keep the plan that they had."""
    return rng.choice((0.0, 0.0, 0.0, 0.3, 1.0))


def draw_rare(rng: random.Random, nodes: int) -> RarePlan:
    plan = RarePlan(dice=rng.getrandbits(32))
    kind = rng.random()
    if kind < 0.25:
        return plan
    plan.force_every = rng.choice((0.4, 1.0, 2.0))
    plan.elsewhere = rng.choice((0.0, 0.2, 0.5)) if nodes > 1 else 0.0
    if kind < 0.65:
        first, second = rng.sample(FAULTS, 2)
        if "hung-machine" in (first, second) and rng.random() < 0.5:
            first, second = "hung-machine", "cut-off"  # what comes meanwhile comes as a snapshot
        plan.pair = (second, first) if first in SUDDEN and second in LASTING else (first, second)
    else:
        plan.hunt = (rng.choice(FAULTS), rng.choice(HUNTED))
    if plan.has("rot") and rng.random() < 0.5:
        plan.pair, plan.hunt = (
            ("", ""),
            ("rot", "sending"),
        )  # a file that nobody needs shows nothing
    plan.kinds = tuple(sorted(rng.sample(FAULTS, rng.choice((0, 0, 1, 2)))))
    plan.every = rng.choice((1.0, 3.0))
    plan.damage = rng.choice((0.0, 0.0, 1.0))
    plan.scrub_seconds = rng.choice((1.0, 3600.0))
    plan.restore_seconds = rng.choice((0.0, 0.01, 0.2, 1.0))
    return plan
