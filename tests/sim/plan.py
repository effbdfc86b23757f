"""What one seed does to its cluster: configuration and faults, drawn from the seed (swarm testing).

Each seed switches kinds of faults on or off and draws their rates, instead of running everything
everywhere: a fault that is always on hides what happens without it. Legal but odd settings (window
1, one-byte batches, a snapshot every few entries, timeouts close to the heartbeat) reach rare
states
far sooner than long runs do.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields, replace

from raftd.core.types import Settings
from tests.sim.members_plan import MembersPlan, draw_members
from tests.sim.rare_plan import RarePlan, draw_rare, draw_tails
from tests.sim.shell_plan import ShellPlan, draw_gather, draw_leader_wait, draw_shell
from tests.sim.store_plan import StorePlan, draw_store

DIVERGING = 0.2
CRAWLING = 0.28
"""Shares of the seeds, cumulative."""

UNUSED = (0, 1)
"""Drawn for what there is no more, so that each seed keeps the plan that it always had."""


@dataclass(slots=True)
class NetworkPlan:
    """Rates are probabilities per message; times in seconds."""

    delay_min: float = 0.0005
    delay_mean: float = 0.002
    loss: float = 0.0
    duplicate: float = 0.0
    reply_hold: float = 0.0
    """Probability that a reply is held for 0.2-2.2 s (the long reordering of the MIT labs)."""
    fifo_appends: bool = True
    """Appends on a stream that keeps order and breaks on a loss; else any order, like datagrams."""
    notice_crash: float = 1.0
    """Probability that a peer's crash is seen at once (connections reset) instead of by deadline.
    """


@dataclass(slots=True)
class DiskPlan:
    sync_mean: float = 0.0015
    stall: float = 0.0
    """Probability that a sync takes stall_max * random seconds."""
    stall_max: float = 2.0
    sync_error: float = 0.0
    no_space: float = 0.0
    power_loss: float = 0.7
    """Probability that a crash loses what was not synced; else only the process dies."""
    crash_recovering: float = 0.0
    slow_nodes: float = 0.0
    """Share of the nodes whose syncs take ten to fifty times as long."""


@dataclass(slots=True)
class FaultPlan:
    """Mean seconds between faults of a kind; 0 = never."""

    crash_every: float = 0.0
    down_mean: float = 0.5
    crash_many: float = 0.0
    pause_every: float = 0.0
    pause_mean: float = 0.6
    partition_every: float = 0.0
    partition_mean: float = 1.0
    partition_kinds: tuple[str, ...] = ()
    flap_every: float = 0.0
    transfer_every: float = 0.0
    link_lost_every: float = 0.0
    clock_jump_every: float = 0.0
    wipe: bool = False


@dataclass(slots=True)
class Plan:
    nodes: int = 3
    learners: int = 0
    settings: Settings = field(default_factory=Settings)
    network: NetworkPlan = field(default_factory=NetworkPlan)
    disk: DiskPlan = field(default_factory=DiskPlan)
    faults: FaultPlan = field(default_factory=FaultPlan)
    shell: ShellPlan = field(default_factory=ShellPlan)
    rare: RarePlan = field(default_factory=RarePlan)
    store: StorePlan = field(default_factory=StorePlan)
    members: MembersPlan = field(default_factory=MembersPlan)
    clock_rate_spread: float = 0.0
    clients: int = 3
    client_width: int = 1
    client_think: float = 0.01
    client_spread: float = 0.15
    """Probability that an attempt goes to any node and not to the one that led last."""
    keys: int = 3
    value_bytes: int = 24
    batches: float = 0.0
    """Share of the commands that are atomic batches."""
    ranges: float = 0.0
    """Share of the reads that are ranges."""
    cas_kinds: bool = False
    """Compare-and-set with everything there is to compare with, and deletes by it."""
    ops_max: int = 1_000_000
    """Clients begin no more than so many operations together."""
    snapshot_entries: int = 0
    """Take a snapshot after so many applied entries; 0 = never."""
    segment_bytes: int = 1 << 16
    sessions_max: int = 10_000
    pull_delay: float = 0.0
    apply_delay: float = 0.0
    calm_start: bool = True

    def summary(self) -> str:
        """One line for a failing seed's report: what differs from the defaults."""
        base = Plan()
        parts = []
        for part in fields(self):
            value, usual = getattr(self, part.name), getattr(base, part.name)
            if value == usual:
                continue
            if hasattr(value, "__dataclass_fields__"):
                inner = [
                    f"{f.name}={getattr(value, f.name)}"
                    for f in fields(value)
                    if getattr(value, f.name) != getattr(usual, f.name)
                ]
                parts.append(f"{part.name}({', '.join(inner)})")
            else:
                parts.append(f"{part.name}={value}")
        return " ".join(parts)


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    plan = _draw_cluster(seed)
    rng = random.Random(f"{seed}/shell")
    rng.choice(UNUSED)
    plan.shell = draw_shell(rng, plan.settings)
    plan.shell.leader_wait = draw_leader_wait(seed)
    plan.shell.gather = draw_gather(seed)
    plan.rare = draw_rare(random.Random(f"{seed}/rare"), plan.nodes)
    plan.rare.tails = draw_tails(random.Random(f"{seed}/tails"))
    plan.members = draw_members(random.Random(f"{seed}/members"))
    plan.store = draw_store(random.Random(f"{seed}/store"))
    return plan


def _draw_cluster(seed: int) -> Plan:
    rng = random.Random(f"{seed}/plan")
    plan = Plan(nodes=rng.choice((1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7)))
    plan.learners = rng.choice((0, 0, 0, 0, 1))
    plan.settings = _settings(rng)
    plan.network = _network(rng)
    plan.disk = _disk(rng)
    plan.faults = _faults(rng, plan.nodes)
    plan.clock_rate_spread = rng.choice((0.0, 0.0, 0.05, 0.3))
    plan.clients = rng.choice((1, 2, 3, 5))
    plan.client_width = rng.choice((1, 1, 2, 4))
    plan.client_think = rng.choice((0.0, 0.005, 0.02, 0.05))
    plan.client_spread = rng.choice((0.15, 0.15, 0.6))
    plan.keys = rng.choice((1, 2, 5))
    plan.value_bytes = rng.choice((8, 24, 200))
    plan.snapshot_entries = rng.choice((0, 2, 5, 10, 30, 100))
    plan.segment_bytes = rng.choice((1 << 10, 1 << 12, 1 << 16))
    plan.sessions_max = rng.choice((10_000, 10_000, 2, 4))
    plan.pull_delay = rng.choice((0.0, 0.0, 0.0005, 0.005))
    plan.apply_delay = rng.choice((0.0, 0.0, 0.001, 0.02))
    rng.choice(UNUSED)
    plan.calm_start = rng.random() < 0.7
    profile = rng.random()
    if profile < DIVERGING and plan.nodes > 2:
        _diverge(plan, rng)
    elif profile < CRAWLING:
        _crawl(plan, rng)
    if rng.random() < 0.85:
        _possible(plan)
    if profile < DIVERGING and plan.nodes > 2:
        plan.faults.partition_every = 2.5 * plan.settings.election_timeout_max
        plan.faults.partition_mean = 1.5 * plan.settings.election_timeout_max
    _load(plan, random.Random(f"{seed}/plan load"))
    return plan


def _load(plan: Plan, rng: random.Random) -> None:
    plan.batches = rng.choice((0.0, 0.0, 0.1, 0.3, 0.6))
    plan.ranges = rng.choice((0.0, 0.2, 0.5, 0.9))
    plan.cas_kinds = rng.random() < 0.5


def _possible(plan: Plan) -> None:
    """Timeouts that elections can meet: most seeds shall get something done."""
    round_trip = 2 * (plan.network.delay_min + plan.network.delay_mean)
    needed = 2 * round_trip + 4 * plan.disk.sync_mean
    shortest = plan.settings.election_timeout_min
    if shortest < needed:
        plan.settings = _slower(plan.settings, needed / shortest)


def _slower(settings: Settings, factor: float) -> Settings:
    return replace(
        settings,
        election_timeout_min=settings.election_timeout_min * factor,
        election_timeout_max=settings.election_timeout_max * factor,
        candidate_retry_min=settings.candidate_retry_min * factor,
        candidate_retry_max=settings.candidate_retry_max * factor,
    )


def _diverge(plan: Plan, rng: random.Random) -> None:
    """Leaders that are cut off and go on taking commands: long conflicting logs, and snapshots."""
    faults = plan.faults
    faults.partition_kinds = ("isolate", "leader", "leader")
    faults.crash_every = rng.choice((0.0, 3.0))
    plan.nodes = rng.choice((3, 3, 5))
    plan.network.delay_mean = min(plan.network.delay_mean, 0.005)
    plan.disk.sync_mean = min(plan.disk.sync_mean, 0.01)
    shortest = plan.settings.election_timeout_min
    plan.settings = replace(
        _slower(plan.settings, min(1.0, 0.2 / shortest)),
        check_quorum=rng.random() < 0.3,
        keep_entries=rng.choice((0, 1)),
        batch_entries_max=rng.choice((1, 64)),
        batch_bytes_max=1 << 20,
    )
    plan.clients, plan.client_width, plan.client_think = 3, 4, rng.choice((0.0, 0.02))
    plan.client_spread = 0.6
    plan.snapshot_entries = rng.choice((2, 5, 20))


def _crawl(plan: Plan, rng: random.Random) -> None:
    """Disks that take longer than messages do: queues in which terms meet."""
    disk = plan.disk
    disk.sync_mean = rng.choice((0.03, 0.1))
    rng.choice(UNUSED)
    disk.stall, disk.stall_max = 0.02, 0.5
    plan.network.delay_mean = rng.choice((0.001, 0.005))
    plan.settings = replace(plan.settings, disk_stall_refuse=5.0, disk_stall_step_down=10.0)
    if plan.nodes > 2:
        plan.faults.partition_kinds = ("isolate", "leader", "one_way")
        plan.faults.partition_every, plan.faults.partition_mean = 0.7, 0.5


def _settings(rng: random.Random) -> Settings:
    heartbeat = rng.choice((0.05, 0.075, 0.1))
    shortest = heartbeat * rng.choice((2.0, 3.0, 5.0, 10.0))
    batch = rng.choice((1, 2, 64, 512))
    keep = rng.choice((0, 0, 1, 10, 100))
    return Settings(
        heartbeat_interval=heartbeat,
        election_timeout_min=shortest,
        election_timeout_max=shortest * rng.choice((1.5, 2.0, 2.0)),
        candidate_retry_min=shortest * 0.2,
        candidate_retry_max=shortest * rng.choice((1.0, 2.0)),
        prevote=rng.random() < 0.85,
        check_quorum=rng.random() < 0.9,
        concede=rng.random() < 0.7,
        self_vote_last=rng.random() < 0.3,
        batch_entries_max=batch,
        batch_bytes_max=rng.choice((1, 200, 1 << 12, 1 << 20)),
        window_messages_max=rng.choice((1, 2, 8, 64)),
        window_bytes_max=rng.choice((1 << 9, 1 << 20)),
        snapshot_chunk_bytes=rng.choice((64, 200, 1000, 1 << 20)),
        keep_entries=keep,
        keep_bytes=1 << 20,
        pin_bytes_max=rng.choice((1 << 10, 1 << 20)),
        pin_seconds_max=rng.choice((0.5, 10.0)),
        link_lost_stagger_max=0.02,
        disk_stall_refuse=rng.choice((0.3, 1.0)),
        disk_stall_step_down=rng.choice((0.6, 5.0)),
        hello_retry=0.1,
    )


def _network(rng: random.Random) -> NetworkPlan:
    return NetworkPlan(
        delay_min=rng.choice((0.0, 0.0005, 0.003)),
        delay_mean=rng.choice((0.001, 0.005, 0.02, 0.05)),
        loss=rng.choice((0.0, 0.0, 0.01, 0.05, 0.2)),
        duplicate=rng.choice((0.0, 0.0, 0.02, 0.2)),
        reply_hold=rng.choice((0.0, 0.0, 0.0, 0.02, 0.2)),
        fifo_appends=rng.random() < 0.6,
        notice_crash=rng.choice((0.0, 0.5, 1.0)),
    )


def _disk(rng: random.Random) -> DiskPlan:
    plan = DiskPlan(
        sync_mean=rng.choice((0.0002, 0.0015, 0.01, 0.04)),
        stall=rng.choice((0.0, 0.0, 0.002, 0.02)),
        stall_max=rng.choice((0.5, 2.0)),
        sync_error=rng.choice((0.0, 0.0, 0.0, 0.002)),
        no_space=rng.choice((0.0, 0.0, 0.0, 0.02)),
        power_loss=rng.choice((0.5, 1.0)),
        crash_recovering=rng.choice((0.0, 0.3)),
        slow_nodes=rng.choice((0.0, 0.0, 0.3)),
    )
    rng.choice((*UNUSED, *UNUSED))
    return plan


def _faults(rng: random.Random, nodes: int) -> FaultPlan:
    kinds = ("halves", "isolate", "one_way", "bridge", "leader", "random")
    return FaultPlan(
        crash_every=rng.choice((0.0, 0.3, 0.8, 2.0)),
        down_mean=rng.choice((0.1, 0.5, 2.0)),
        crash_many=rng.choice((0.0, 0.0, 0.2, 0.5)),
        pause_every=rng.choice((0.0, 0.0, 1.0, 3.0)),
        pause_mean=rng.choice((0.1, 0.6, 2.0)),
        partition_every=rng.choice((0.0, 0.5, 1.0, 3.0)) if nodes > 1 else 0.0,
        partition_mean=rng.choice((0.3, 1.0, 2.0)),
        partition_kinds=tuple(sorted(rng.sample(kinds, rng.randint(1, len(kinds))))),
        flap_every=rng.choice((0.0, 0.0, 0.5)),
        transfer_every=rng.choice((0.0, 0.0, 1.0)),
        link_lost_every=rng.choice((0.0, 0.0, 0.7)),
        clock_jump_every=rng.choice((0.0, 0.0, 1.0)),
        wipe=nodes > 2 and rng.random() < 0.1,
    )
