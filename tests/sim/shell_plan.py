"""How the node that ships is set and treated by a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from raftd.core.types import Settings

WAITING_FROM = 1_060_000
"""In earlier seeds no call is held while a leader is elected: each keeps the plan that it had."""

GATHERING_FROM = 1_070_000
"""In earlier seeds no batch waits for the round under way."""


@dataclass(slots=True)
class ShellPlan:
    inline: bool = True
    quick: bool = True
    """The machine lives on the network thread, or on one of its own."""
    turn_delay: float = 0.0
    """A turn of the loop begins up to so many seconds after what it is for."""
    wake_delay: float = 0.0002
    """A thread runs up to so many seconds after it was notified."""
    fatal_returns: bool = False
    """The fatal port returns, and the process ends a little later: a node embedded in a program."""
    pending_batches_max: int = 16_384
    pending_queries_max: int = 65_536
    log_memory_limit_bytes: int = 1 << 30
    no_space: float = 0.0
    """Probability that a write begins a time without room, on top of the disk's own."""
    operator_every: float = 0.0
    """Mean seconds between digests and snapshots that an operator asks for; 0 = never."""
    light_bytes: int = 64 << 10
    bulk_bytes_max: int = 1 << 20
    """Small ones have clients of one or two puts at a time wait for each other's turn."""
    state_check: float = 0.0
    """Seconds between two comparisons of all states; 0 = never."""
    leader_wait: float = 0.0
    """Seconds for which a call is held after a leader was lost; 0 = it is refused at once."""
    gather: float = 0.0
    """Seconds for which a batch waits for the round under way; 0 = each turn is a round."""

    def core(self, settings: Settings) -> Settings:
        """The core's, with what belongs to the shell."""
        limit, interval = self.log_memory_limit_bytes, self.state_check
        return replace(settings, log_bytes_max=limit, state_check_interval=interval)


def draw_shell(rng: random.Random, settings: Settings) -> ShellPlan:
    # Where a snapshot cannot make the log small the door would stay closed for ever.
    shrinks = settings.keep_entries <= 10 and settings.pin_bytes_max <= 1 << 10
    plan = ShellPlan(
        inline=rng.random() < 0.7,
        quick=rng.random() < 0.7,
        turn_delay=rng.choice((0.0, 0.0, 0.0005, 0.003)),
        wake_delay=rng.choice((0.0001, 0.002)),
        fatal_returns=rng.random() < 0.5,
        pending_batches_max=rng.choice((16_384, 16_384, 2)),
        pending_queries_max=rng.choice((65_536, 65_536, 3)),
        log_memory_limit_bytes=rng.choice((1 << 30, 40_000)) if shrinks else 1 << 30,
        operator_every=rng.choice((0.0, 0.5, 2.0)),
        no_space=rng.choice((0.0, 0.0, 0.0, 0.05)),
    )
    plan.state_check = {0.0: 0.3, 0.5: 1.0, 2.0: 0.0}[plan.operator_every]  # no further draw
    if plan.wake_delay == 0.002:
        plan.light_bytes, plan.bulk_bytes_max = 80, 300
    return plan


def draw_leader_wait(seed: int) -> float:
    if seed <= WAITING_FROM:
        return 0.0
    return random.Random(f"{seed}/wait").choice((0.0, 0.1, 0.5))


def draw_gather(seed: int) -> float:
    if seed <= GATHERING_FROM:
        return 0.0
    return random.Random(f"{seed}/gather").choice((0.0, 0.005, 0.05))
