"""Members that come and go while everything else breaks: the operator of a cluster that changes.

He looks at the leader that a bystander sees, asks it for something that makes sense there, and
tries again later if it refuses. New nodes join with an empty disk; one that is removed ends for
good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftd.core.changes import Change, ChangeKind
from raftd.core.types import Configuration, Member, NodeId
from tests.sim.states import note

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.node import Node

VOTERS_MAX = 7
NODES_MAX = 14
"""That a run ever has; those that are gone count."""
ENDS_WITHIN = 0.05
"""Seconds after which a process that knows that it was removed has ended."""


class Membership:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._rng = cluster.world.stream("members")
        self._plan = cluster.plan.members
        self._active = False
        self._made = 0

    def begin(self) -> None:
        if self._plan.every:
            self._active = True
            self._later()

    def end(self) -> None:
        self._active = False

    def _later(self) -> None:
        self._world.after(self._rng.expovariate(1.0 / self._plan.every), self._due)

    def _due(self) -> None:
        if not self._active:
            return
        self._world.events += 1
        leader = self._cluster.leader()
        if leader is not None and leader.process is not None:
            change = self._change(leader.process.core.configuration)
            if change is not None:
                self._ask(leader, change)
        self._later()

    def _ask(self, leader: Node, change: Change) -> None:
        assert leader.process is not None
        text = f"{change.kind.value} {change.member.node} {change.by}".rstrip()
        self._world.trace(leader.name, f"is asked to {text}")
        self._world.stats[f"asked to {change.kind.value}"] += 1
        note(self._cluster, "members", leader)
        leader.process.app.change(change)

    # what is asked for

    def _change(self, now: Configuration) -> Change | None:
        rng = self._rng
        kind = rng.choice((*ChangeKind, ChangeKind.ADD, ChangeKind.PROMOTE, ChangeKind.REPLACE))
        force = rng.random() < self._plan.force
        if kind is ChangeKind.ADD:
            return self._add(now)
        lost = self._cluster.spoilt
        voters = [name for name in now.voters if name != lost]
        if kind is ChangeKind.REPLACE and now.learners:
            node = lost if lost in now.voters else rng.choice(now.voters)
            by = rng.choice(now.learners)
            return Change(kind, Member(node), by, force) if by != lost else None
        if kind is ChangeKind.PROMOTE and now.learners and len(now.voters) < VOTERS_MAX:
            # A learner that lost its disk a moment ago looks well: a voter alone that promotes
            # it has no majority any more, and nobody can help that.
            node = rng.choice(now.learners)
            return Change(kind, Member(node), force=force) if node != lost else None
        if kind is ChangeKind.UPDATE:
            node = rng.choice(now.members())
            return Change(kind, Member(node, f"{node}-{rng.random()}:1"), force=force)
        if kind is ChangeKind.REMOVE and lost in now.members():
            return Change(kind, Member(lost), force=force)
        if kind in (ChangeKind.DEMOTE, ChangeKind.REMOVE):
            may = list(now.learners) if kind is ChangeKind.REMOVE else []
            if len(voters) > (2 if lost in now.voters else 1):
                may += voters
            return Change(kind, Member(rng.choice(may)), force=force) if may else None
        return None

    def _add(self, now: Configuration) -> Change | None:
        """A node that runs and waits; if there is none a new one is started first."""
        waiting = [
            node
            for node in self._cluster.nodes.values()
            if node.joins and node.process is not None and not now.is_member(node.name)
        ]
        waiting = [node for node in waiting if node.name not in now.retired]
        if waiting:
            node = self._rng.choice(waiting)
            member = Member(node.name, f"{node.name}:1", f"{node.name}:2", node.incarnation)
            return Change(ChangeKind.ADD, member)
        if len(self._cluster.nodes) < NODES_MAX:
            self._made += 1
            self._cluster.add_node(f"j{self._made}").start()
        return None

    # who is gone

    def removed(self, node: Node) -> None:
        """Its process knows that it was removed: it ends, and nobody starts it again."""
        self._world.stats["nodes that left"] += 1
        self._cluster.checkers.left(node.name)
        self._world.after(self._rng.random() * ENDS_WITHIN, self._leave, node)

    def _leave(self, node: Node) -> None:
        if node.frozen_out:
            return
        node.frozen_out = node.left = True
        self._cluster.forget_name(node.name)
        node.resume()
        node.die("removed", lose_unsynced=False)


def may_lose(cluster: Cluster, name: NodeId) -> bool:
    """Can the cluster do without this disk for good, whichever of its configurations holds on?"""
    return all(
        name not in voters or len(voters) > 2
        for held in cluster.checkers.configurations_held()
        for voters in (held.voters, held.outgoing)
        if voters
    )
