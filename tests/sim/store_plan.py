"""Who uses the store beside the clients whose calls are the history."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class StorePlan:
    """others: transactions, leases and compactions, by clients that are not in the history."""

    watchers: int = 0
    others: bool = False


def draw_store(rng: random.Random) -> StorePlan:
    return StorePlan(rng.choice((0, 2, 4)), rng.random() < 0.5)
