"""Who breaks what, and when: crashes, pauses, partitions, flapping links, jumps of a clock, wiped
disks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftd.core.types import NodeId
from tests.sim.node import Node
from tests.sim.states import note

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster


DOOM_SECONDS = 0.5


class Faults:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._rng = cluster.world.stream("faults")
        self._operator = cluster.world.stream("operator")
        self._network = cluster.network
        self._active = False
        self._wiped = False
        self._partition = 0

    def begin(self) -> None:
        plan = self._cluster.plan.faults
        self._active = True
        if self._cluster.plan.shell.operator_every:
            self._operate()
        for every, fault in (
            (plan.crash_every, self._crash),
            (plan.pause_every, self._pause),
            (plan.partition_every, self._part),
            (plan.flap_every, self._flap),
            (plan.transfer_every, self._transfer),
            (plan.link_lost_every, self._link_lost),
            (plan.clock_jump_every, self._jump),
            (4.0 if plan.wipe else 0.0, self._wipe),
        ):
            if every:
                self._later(every, fault)

    def _later(self, every: float, fault: Callable[[], None]) -> None:
        self._world.after(self._rng.expovariate(1.0 / every), self._strike, every, fault)

    def _strike(self, every: float, fault: Callable[[], None]) -> None:
        if self._active:
            self._world.events += 1
            fault()
            self._later(every, fault)

    def _nodes(self) -> list[Node]:
        return list(self._cluster.nodes.values())

    def _victim(self) -> Node:
        """Anybody, and the leader half of the time."""
        leader = self._cluster.leader()
        if leader is not None and self._rng.random() < 0.5:
            return leader
        return self._rng.choice(self._nodes())

    # nodes

    def _crash(self) -> None:
        plan = self._cluster.plan
        victims = [self._victim()]
        if self._rng.random() < plan.faults.crash_many:
            count = self._rng.randint(1, len(self._nodes()))
            victims = self._rng.sample(self._nodes(), count)
            self._world.stats["crashes of many"] += 1
        if self._rng.random() < 0.1:
            for node in victims:
                note(self._cluster, "stop", node)
                node.stop()
            return
        power = self._rng.random() < plan.disk.power_loss
        for node in victims:
            doom = self._rng.choice(("", "log", "log", "snapshot"))
            if doom and node.process is not None:
                self._doom(node, doom, power=power)
            else:
                self._cluster.crash(node, "fault", lose_unsynced=power)

    def _doom(self, node: Node, doom: str, *, power: bool) -> None:
        """Crash in the middle of the next commit or snapshot; or, if there is none, soon."""
        node.doomed, node.doomed_power = doom, power
        self._world.after(DOOM_SECONDS, self._overdue, node, node.process)

    def _overdue(self, node: Node, process: object) -> None:
        if node.doomed and node.process is process:
            self._cluster.crash(node, "fault", lose_unsynced=node.doomed_power)

    def restart_later(self, node: Node) -> None:
        mean = self._cluster.plan.faults.down_mean
        delay = self._rng.expovariate(1.0 / mean) if self._active else 0.05
        self._world.after(min(delay, 5 * mean), self._restart, node)

    def _restart(self, node: Node) -> None:
        if node.process is None and not node.frozen_out:
            self._world.stats["restarts"] += 1
            node.start()
            if self._active and node.killed_only and self._rng.random() < 0.3:
                # What a killed process left in the cache only must not be believed.
                self._world.after(self._rng.random() * 0.003, self._power_cut, node)

    def _power_cut(self, node: Node) -> None:
        if node.process is not None:
            self._cluster.crash(node, "power soon after a restart", lose_unsynced=True)

    def _pause(self) -> None:
        node = self._victim()
        if node.process is None or node.paused:
            return
        note(self._cluster, "pause", node)
        node.pause()
        self._world.after(
            self._rng.expovariate(1.0 / self._cluster.plan.faults.pause_mean), node.resume
        )

    def _jump(self) -> None:
        node = self._rng.choice(self._nodes())
        node.clock.jump(self._world.now, self._rng.choice((0.05, 0.5, 5.0)) * self._rng.random())
        self._world.stats["clock jumps"] += 1
        note(self._cluster, "clock-jump", node)

    def _wipe(self) -> None:
        """A disk is lost and replaced under the old id. Once a seed; that node counts as down
        from then on.
        """
        node = self._cluster.nodes[self._rng.choice(self._cluster.configuration.voters)]
        if self._wiped or node.frozen_out or not self._cluster.may_spoil(node):
            return
        self._wiped = True
        self._cluster.spoilt = node.name
        self._world.stats["disks wiped"] += 1
        note(self._cluster, "wipe", node)
        self._cluster.crash(node, "disk lost", lose_unsynced=True)
        node.image.wipe()
        self._cluster.checkers.wiped(node.name)
        self._world.trace(node.name, "wiped")

    def _transfer(self) -> None:
        leader = self._cluster.leader()
        if leader is None or leader.process is None or len(self._nodes()) < 2:
            return
        target = self._rng.choice(self._cluster.names)
        self._world.trace(leader.name, f"transfer to {target}")
        note(self._cluster, "transfer", leader)
        leader.process.transfer(target)

    def _operate(self) -> None:
        """An operator asks some node for something, now and then."""
        rng = self._operator
        process = rng.choice(self._nodes()).process
        if process is not None:
            process.operate(rng)
        if self._active:
            every = self._cluster.plan.shell.operator_every
            self._world.after(rng.expovariate(1.0 / every), self._operate)

    def _link_lost(self) -> None:
        node = self._rng.choice(self._nodes())
        if node.process is not None and not node.paused and node.process.core.leader_id is not None:
            note(self._cluster, "link-lost", node)
            node.process.link_lost(node.process.core.leader_id)

    # links

    def _part(self) -> None:
        plan = self._cluster.plan.faults
        names = list(self._cluster.names)
        if len(names) < 2:
            return
        self._partition += 1
        self._network.cut.clear()
        kind = self._rng.choice(plan.partition_kinds)
        cut = getattr(self, f"_cut_{kind}")(names)
        self._network.cut.update(cut)
        self._world.stats["partitions"] += 1
        self._world.trace(
            "sim", f"partition {kind}: {' '.join(f'{a}>{b}' for a, b in sorted(cut))}"
        )
        self._world.after(
            self._rng.expovariate(1.0 / plan.partition_mean), self._heal_partition, self._partition
        )

    def _heal_partition(self, number: int) -> None:
        if number == self._partition and self._active:
            self._network.cut.clear()
            self._world.trace("sim", "partition healed")

    def _cut_halves(self, names: list[NodeId]) -> set[tuple[NodeId, NodeId]]:
        self._rng.shuffle(names)
        middle = self._rng.randint(1, len(names) - 1)
        return _between(names[:middle], names[middle:])

    def _cut_isolate(self, names: list[NodeId]) -> set[tuple[NodeId, NodeId]]:
        alone = self._rng.choice(names)
        return _between([alone], [name for name in names if name != alone])

    def _cut_leader(self, names: list[NodeId]) -> set[tuple[NodeId, NodeId]]:
        leader = self._cluster.leader()
        alone = leader.name if leader is not None else names[0]
        return _between([alone], [name for name in names if name != alone])

    def _cut_one_way(self, names: list[NodeId]) -> set[tuple[NodeId, NodeId]]:
        leader = self._cluster.leader()
        alone = (
            leader.name
            if leader is not None and self._rng.random() < 0.5
            else self._rng.choice(names)
        )
        deaf = self._rng.random() < 0.5
        return {(name, alone) if deaf else (alone, name) for name in names if name != alone}

    def _cut_bridge(self, names: list[NodeId]) -> set[tuple[NodeId, NodeId]]:
        """Two halves that both see one node in the middle."""
        self._rng.shuffle(names)
        rest = names[1:]
        middle = len(rest) // 2
        return _between(rest[:middle], rest[middle:])

    def _cut_random(self, names: list[NodeId]) -> set[tuple[NodeId, NodeId]]:
        return {(a, b) for a in names for b in names if a != b and self._rng.random() < 0.3}

    def _flap(self) -> None:
        names = list(self._cluster.names)
        if len(names) < 2:  # a removed member is no name any more, its process may still run
            return
        a, b = self._rng.sample(names, 2)
        self._network.cut.update({(a, b), (b, a)})
        self._world.after(self._rng.random() * 0.1, self._unflap, a, b)

    def _unflap(self, a: NodeId, b: NodeId) -> None:
        if self._active:
            self._network.cut.difference_update({(a, b), (b, a)})

    # the end of faults

    def heal(self) -> list[Node]:
        """Stop, mend a majority, and return it. The others stay as they are, or are cut off one
        way.
        """
        self._active = False
        self._cluster.troubles.end()
        self._cluster.membership.end()
        core = self._choose_core()
        members = {node.name for node in core}
        plan = self._cluster.plan
        for node in self._nodes():
            node.disk.calm = True
            node.doomed = ""
            node.resume()
        network = self._network
        network.plan.loss = network.plan.duplicate = network.plan.reply_hold = 0.0
        network.plan.delay_mean = min(network.plan.delay_mean, 0.002)
        network.cut.clear()
        hears_nothing = (
            self._rng.random() < 0.5 and plan.settings.prevote and plan.settings.check_quorum
        )
        for node in self._nodes():
            if node.name in members:
                continue
            for name in self._cluster.names:
                if name != node.name:
                    network.cut.add((name, node.name))
                    if not hears_nothing:
                        network.cut.add((node.name, name))
        for node in core:
            if node.process is None:
                self._world.after(0.01, self._restart, node)
        return core

    def _choose_core(self) -> list[Node]:
        views = self._cluster.checkers.views
        healthy = [node for node in self._nodes() if not _is_spoilt(node, views[node.name].wiped)]
        if self._cluster.plan.members.every:
            held = self._cluster.checkers.configurations_held()
            return [n for n in healthy if any(each.is_member(n.name) for each in held)]
        majority = self._cluster.checkers.majority
        if not all(views[node.name].disk.admitted for node in healthy) or self._rng.random() < 0.5:
            return healthy
        voters = [node for node in healthy if node.name in self._cluster.configuration.voters]
        return sorted(self._rng.sample(voters, majority), key=lambda node: node.name)


def _is_spoilt(node: Node, wiped: bool) -> bool:
    """It may never start again."""
    return wiped or node.frozen_out or (node.rotten and node.process is None)


def _between(left: list[NodeId], right: list[NodeId]) -> set[tuple[NodeId, NodeId]]:
    return {pair for a in left for b in right for pair in ((a, b), (b, a))}
