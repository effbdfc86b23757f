"""What can be left out of a seed's plan: kinds of faults and of load, nodes, clients, operations.

python -m tests.sim --seed 42 --without crash,loss --clients 1 --ops 20 --dice 2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tests.sim.plan import Plan
from tests.sim.suit import suit

KINDS: Final[dict[str, tuple[tuple[str, str, Any], ...]]] = {
    "crash": (("faults", "crash_every", 0.0),),
    "crash-many": (("faults", "crash_many", 0.0),),
    "power": (("disk", "power_loss", 0.0),),
    "crash-recovering": (("disk", "crash_recovering", 0.0),),
    "pause": (("faults", "pause_every", 0.0),),
    "partition": (("faults", "partition_every", 0.0),),
    "flap": (("faults", "flap_every", 0.0),),
    "transfer": (("faults", "transfer_every", 0.0),),
    "link-lost": (("faults", "link_lost_every", 0.0),),
    "clock-jump": (("faults", "clock_jump_every", 0.0),),
    "clock-rate": (("", "clock_rate_spread", 0.0),),
    "wipe": (("faults", "wipe", False),),
    "loss": (("network", "loss", 0.0),),
    "duplicate": (("network", "duplicate", 0.0),),
    "reply-hold": (("network", "reply_hold", 0.0),),
    "delay": (("network", "delay_min", 0.0005), ("network", "delay_mean", 0.001)),
    "reorder": (("network", "fifo_appends", True),),
    "late-notice": (("network", "notice_crash", 1.0),),
    "slow-disk": (("disk", "sync_mean", 0.0002), ("disk", "slow_nodes", 0.0)),
    "stall": (("disk", "stall", 0.0),),
    "sync-error": (("disk", "sync_error", 0.0),),
    "no-space": (("disk", "no_space", 0.0), ("shell", "no_space", 0.0)),
    "snapshots": (("", "snapshot_entries", 0),),
    "expiry": (("", "sessions_max", 10_000),),
    "learners": (("", "learners", 0),),
    "pull-delay": (("", "pull_delay", 0.0),),
    "apply-delay": (("", "apply_delay", 0.0),),
    "client-width": (("", "client_width", 1),),
    "batches": (("", "batches", 0.0),),
    "ranges": (("", "ranges", 0.0),),
    "cas-kinds": (("", "cas_kinds", False),),
    "inline": (("shell", "inline", False),),
    "apply-thread": (("shell", "quick", True),),
    "turn-delay": (("shell", "turn_delay", 0.0),),
    "wake-delay": (("shell", "wake_delay", 0.0001),),
    "fair-queue": (("shell", "light_bytes", 64 << 10),),
    "fatal-returns": (("shell", "fatal_returns", False),),
    "small-door": (
        ("shell", "pending_batches_max", 16_384),
        ("shell", "pending_queries_max", 65_536),
        ("shell", "log_memory_limit_bytes", 1 << 30),
    ),
    "rare-pair": (("rare", "force_every", 0.0),),
    "rare-kinds": (("rare", "kinds", ()),),
    "damage": (("rare", "damage", 0.0),),
    "tails": (("rare", "tails", 0.0),),
    "restore-time": (("rare", "restore_seconds", 0.0),),
    "members": (("members", "every", 0.0),),
    "operator": (("shell", "operator_every", 0.0),),
    "state-check": (("shell", "state_check", 0.0),),
}
"""By name: which part of the plan, which field of it, and its value where the kind is off."""

DICE_APART: Final = 10**9


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left out; 0 leaves a number as it was drawn. dice: the same plan, other accidents."""

    without: tuple[str, ...] = ()
    nodes: int = 0
    clients: int = 0
    ops: int = 0
    dice: int = 0

    def apply(self, plan: Plan) -> None:
        """Changes `plan`."""
        suit(plan)
        for kind in self.without:
            for part, name, value in KINDS[kind]:
                setattr(_part(plan, part), name, value)
        plan.nodes = min(plan.nodes, self.nodes or plan.nodes)
        plan.clients = min(plan.clients, self.clients or plan.clients)
        plan.ops_max = self.ops or plan.ops_max

    def world_seed(self, seed: int) -> int:
        return seed + self.dice * DICE_APART

    def options(self) -> str:
        """Those of the command line, with a space before each."""
        text = f" --without {','.join(self.without)}" if self.without else ""
        for name in ("nodes", "clients", "ops", "dice"):
            if getattr(self, name):
                text += f" --{name} {getattr(self, name)}"
        return text


def active(plan: Plan) -> list[str]:
    """The kinds that `plan` has and a cut could leave out."""
    return [
        kind
        for kind, fields in KINDS.items()
        if any(getattr(_part(plan, part), name) != value for part, name, value in fields)
    ]


def _part(plan: Plan, name: str) -> Any:
    return getattr(plan, name) if name else plan
