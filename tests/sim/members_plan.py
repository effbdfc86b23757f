"""How a seed's members change."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class MembersPlan:
    """every: mean seconds between what the operator asks for; 0: the members stay as they are.

    force: share of what is asked for with force.
    """

    every: float = 0.0
    force: float = 0.0


def draw_members(rng: random.Random) -> MembersPlan:
    """A third of the seeds."""
    every = rng.choice((0.0, 0.0, 0.0, 0.0, 0.1, 0.4))
    return MembersPlan(every, rng.choice((0.0, 0.3)))
