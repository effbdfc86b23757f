"""The simulator's rare faults do what they say, and what they met is counted."""

from __future__ import annotations

from collections import Counter

from raftd.wire import batch as wire
from tests.sim import states
from tests.sim.cluster import Cluster
from tests.sim.cut import Cut
from tests.sim.node import Node
from tests.sim.plan import Plan
from tests.sim.process import Process
from tests.sim.rare_plan import FAULTS, LASTING, RarePlan
from tests.sim.suit import suit


def _formed(**changes: object) -> Cluster:
    """Three nodes with a leader, nobody in a hurry."""
    cluster = Cluster(7, Plan(clients=0, **changes))  # type: ignore[arg-type]
    for node in cluster.nodes.values():
        cluster.world.at(0.0, node.start)
    cluster.until(lambda: cluster._formed() or cluster.world.now > 10)
    assert cluster.leader() is not None
    return cluster


def _pass(cluster: Cluster, seconds: float) -> None:
    end = cluster.world.now + seconds
    cluster.world.at(end, lambda: None)
    cluster.until(lambda: cluster.world.now >= end)


def _process(node: Node) -> Process:
    assert node.process is not None
    return node.process


def _follower(cluster: Cluster) -> Node:
    leader = cluster.leader()
    return next(node for node in cluster.nodes.values() if node is not leader)


def _submit(leader: Node) -> None:
    _process(leader).app.submit(wire.encode_open(), lambda kind, value: None)


def test_a_stop_waits_for_its_workers_and_the_world_goes_on() -> None:
    """A write on a hung disk holds the stop up; it is over when the disk goes on."""
    cluster = _formed()
    node = _follower(cluster)
    process = _process(node)
    process.raftd._wal._inline = False
    node.disk.hang(2.0)
    leader = cluster.leader()
    assert leader is not None
    _submit(leader)
    _pass(cluster, 0.3)
    before = cluster.world.now
    node.stop()
    _pass(cluster, 0.5)
    assert states.is_in(node, "stopping")
    cluster.until(lambda: node.process is not process)
    assert cluster.world.now - before > 1.0
    assert cluster.world.stats["orderly stops"] == 1
    cluster.abandon()


def test_a_killed_stop_unwinds() -> None:
    cluster = _formed()
    node = _follower(cluster)
    process = _process(node)
    node.disk.hang(60.0)
    process.raftd._wal._inline = False
    node.stop()
    cluster.crash(node, "in the middle", lose_unsynced=True)
    assert node.process is None
    assert process.stop_under_way is None or not process.stop_under_way._thread.is_alive()


def test_who_hangs_goes_on_with_its_heartbeats() -> None:
    cluster = _formed()
    leader = cluster.leader()
    assert leader is not None
    process = _process(leader)
    leader.disk.hang(60.0)
    _submit(leader)
    _pass(cluster, cluster.plan.settings.disk_stall_step_down / 2)
    assert process.wal.hangs
    assert cluster.leader() is leader
    _pass(cluster, cluster.plan.settings.disk_stall_step_down)
    assert leader.process is process
    assert cluster.leader() is not leader


def test_every_fault_strikes() -> None:
    """On a cluster that has a snapshot; each is counted with what it met."""
    for fault in FAULTS:
        cluster = _formed(snapshot_entries=1, rare=RarePlan(kinds=(fault,)))
        _pass(cluster, 1.0)
        leader = cluster.leader()
        assert leader is not None
        if fault == "rot":
            _process(leader).app.snapshot_now()
            _pass(cluster, 1.0)
        cluster.troubles.strike(fault, leader)
        assert cluster.world.stats[f"{fault} x leader"] == 1, fault
        if fault in LASTING:
            assert fault in states.under(leader, cluster)
        cluster.abandon()


def test_the_table_names_what_never_met() -> None:
    stats = Counter({"stop x full": 3, "kill x leader": 12})
    text = states.table(stats)
    assert "12" in text
    assert "kill x follower" in text
    assert "kill x leader" not in text.partition("never met")[2].split(", ")
    assert "stop x pause" not in text, "a stopped process hears nothing"


def test_plans_suit_their_faults() -> None:
    plan = Plan(rare=RarePlan(pair=("full", "stop"), force_every=1.0))
    suit(plan)
    assert plan.segment_bytes == 1 << 10
    cut = Plan(rare=RarePlan(kinds=("full",), force_every=1.0))
    Cut(without=("rare-pair", "rare-kinds")).apply(cut)
    assert not cut.rare.force_every
    assert not cut.rare.kinds
