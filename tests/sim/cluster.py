"""One seed: a cluster under its plan's faults, then healed, then judged.

Two phases. First safety: faults come as the plan says, clients work, every event is checked. Then
liveness: the faults stop and a majority is healed (the rest may stay broken, and may shout at it);
within a bound it must have a leader, commit a new write and be equal. At the end the clients'
history must be linearizable.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raftd.core.types import Configuration, NodeId, Role
from tests.sim import history as histories
from tests.sim.checkers import Checkers
from tests.sim.disk import Disk
from tests.sim.faults import Faults
from tests.sim.liveness import Liveness
from tests.sim.members import Membership, may_lose
from tests.sim.network import Network
from tests.sim.node import Clock, Node
from tests.sim.others import Leasebook, Others
from tests.sim.plan import Plan
from tests.sim.states import note
from tests.sim.troubles import Troubles
from tests.sim.watchers import SimWatcher
from tests.sim.workload import Client
from tests.sim.world import TRACE_LINES, Violation, World

if TYPE_CHECKING:
    from tests.sim.doors import Answer
    from tests.sim.process import Process

SECONDS_MAX = 90.0
"""Simulated; a seed whose cluster cannot move has too few events otherwise."""
CALM_SECONDS = 4.0
EVENTS_MAX = 400_000


class Cluster:
    def __init__(
        self,
        seed: int,
        plan: Plan,
        *,
        hashing: bool = False,
        trace_lines: int = TRACE_LINES,
    ) -> None:
        self.world = World(seed, hashing=hashing, trace_lines=trace_lines)
        self.plan = plan
        voters = tuple(f"n{i + 1}" for i in range(plan.nodes))
        learners = tuple(f"x{i + 1}" for i in range(plan.learners))
        self.configuration = Configuration(voters, learners)
        self.names: tuple[NodeId, ...] = self.configuration.members()
        self.cluster_id = "0" * 16
        self.checkers = Checkers(self.world, self.configuration, plan)
        self.history = histories.History()
        self.clients_stopped = False
        self._rng = self.world.stream("cluster")
        self.nodes: dict[NodeId, Node] = {}
        self.network = Network(self.world, plan.network, self.nodes)
        for name in self.names:
            self.nodes[name] = self._make_node(name)
        self.faults = Faults(self)
        self.membership = Membership(self)
        self.troubles = Troubles(self)
        self.spoilt: NodeId = ""
        """The one node of this seed whose disk may lose or change what it has synced."""
        self.clients = [Client(self, number) for number in range(plan.clients)]
        self.leasebook = Leasebook(self)
        self.others = Others(self)
        self.watchers = [SimWatcher(self, number) for number in range(plan.store.watchers)]
        self.checkers.tell_foreign(self.others.was_applied)

    def _make_node(self, name: NodeId) -> Node:
        spread = self.plan.clock_rate_spread
        rate = 1.0 + self._rng.uniform(-spread, spread)
        clock = Clock(rate, self._rng.random() * 1000)
        return Node(self, name, clock, Disk(self.world, self.plan.disk, name))

    def add_node(self, name: NodeId) -> Node:
        """One more machine, with an empty disk; not started yet."""
        node = self.nodes[name] = self._make_node(name)
        node.joins = True
        node.disk.calm = next(iter(self.nodes.values())).disk.calm
        self.names = (*self.names, name)
        self.checkers.joins(name)
        return node

    def forget_name(self, name: NodeId) -> None:
        """Nobody asks it, or cuts it off, any more."""
        self.names = tuple(each for each in self.names if each != name)

    def is_member(self, node: Node) -> bool:
        """As whoever leads now sees it."""
        leader = self.leader()
        if leader is None or leader.process is None:
            return False
        return leader.process.core.configuration.is_member(node.name)

    def is_voter(self, node: Node) -> bool:
        """As whoever leads now sees it; between two leaders everybody is."""
        leader = self.leader()
        if leader is None or leader.process is None:
            return True
        return node.name in leader.process.core.configuration.voters

    def core_rng(self, node: Node) -> random.Random:
        return self.world.stream(f"core {node.name} {node.lives}")

    # what the parts ask of the whole

    def crash(self, node: Node, reason: str, *, lose_unsynced: bool) -> None:
        note(self, "power" if lose_unsynced else "kill", node)
        node.die(reason, lose_unsynced=lose_unsynced)

    def node_died(self, node: Node) -> None:
        self.checkers.stopped(node.name)
        self.network.node_down(node.name)
        known = len(self.checkers.committed) - 1
        self.checkers.durable_on_majority(known)
        self.faults.restart_later(node)

    def may_spoil(self, node: Node) -> bool:
        """Without it the others must be a majority, and have been admitted."""
        return (
            self.spoilt in ("", node.name)
            and may_lose(self, node.name)
            and all(view.disk.admitted for view in self.checkers.views.values())
        )

    def abandon(self) -> None:
        """The run is over, one way or the other."""
        for node in self.nodes.values():
            if node.process is not None:
                node.process.abandon()

    def to_node(
        self,
        target: NodeId,
        rng: random.Random,
        call: Callable[[Process, Answer], None],
        answer: Answer,
    ) -> None:
        """A client's request on its way: lost, doubled, refused by a dead port, or delivered.

        `call` gives each copy's answer to the callback that it is handed, never to `answer` itself.
        """
        world, loss = self.world, self.plan.network.loss
        if loss and rng.random() < loss:
            return
        copies = 2 if rng.random() < self.plan.network.duplicate else 1
        if copies > 1:
            answer = _refused_by_all(answer, copies)
        for _ in range(copies):
            world.after(0.0005 + rng.random() * 0.002, self._deliver, target, call, answer)

    def _deliver(
        self, target: NodeId, call: Callable[[Process, Answer], None], answer: Answer
    ) -> None:
        node = self.nodes[target]
        process = node.process
        if process is None:
            answer("refused", None)
        else:
            node.run(self._hand_over, node, process, call, answer)

    def _hand_over(
        self,
        node: Node,
        process: Process,
        call: Callable[[Process, Answer], None],
        answer: Answer,
    ) -> None:
        if node.process is process:
            call(process, answer)

    def leader(self) -> Node | None:
        """The live leader of the highest term, as a bystander sees it."""
        best: Node | None = None
        best_term = -1
        for node in self.nodes.values():
            if node.process is None or node.paused:
                continue
            core = node.process.core
            if core.role is Role.LEADER and core.current_term > best_term:
                best, best_term = node, core.current_term
        return best

    # the run

    def run(self, events: int) -> None:
        """Raises Violation."""
        for node in self.nodes.values():
            self.world.at(self._rng.random() * 0.05, node.start)
        for client in self.clients:
            client.start()
        for watcher in self.watchers:
            watcher.start()
        if self.plan.store.others:
            self.others.start()
        if self.plan.calm_start:
            self._set_calm(True)
            self.until(lambda: self._formed() or self.world.now > CALM_SECONDS)
            self._set_calm(False)
        self.faults.begin()
        self.membership.begin()
        self.troubles.begin()
        world = self.world
        self.until(lambda: world.events >= events or world.now > SECONDS_MAX)
        Liveness(self).run()
        self.judge()

    def _set_calm(self, calm: bool) -> None:
        for node in self.nodes.values():
            node.disk.calm = calm

    def _formed(self) -> bool:
        return self.leader() is not None and all(
            v.disk.admitted for v in self.checkers.views.values()
        )

    def until(self, condition: Callable[[], bool]) -> None:
        world = self.world
        step = world.step
        while not condition():
            if not step() or world.events > EVENTS_MAX:
                raise Violation(
                    "liveness", "nothing more happens" if world.events <= EVENTS_MAX else "no end"
                )

    def judge(self) -> None:
        """What can only be said at the end."""
        histories.check_told(self.history, self.checkers.made, self.world.stats)
        self.world.stats["linearizable histories"] += 1

    def describe(self) -> str:
        parts = []
        for node in self.nodes.values():
            if node.process is None:
                parts.append(f"{node.name} down")
                continue
            core = node.process.core
            where = f"commit {core.commit_index}/{core.log.last_index}"
            state = f"{core.role.value} term {core.current_term} {where}"
            paused = " paused" if node.paused else ""
            parts.append(f"{node.name} {state} applied {node.process.app.applied}{paused}")
        return "; ".join(parts)


def _refused_by_all(answer: Answer, copies: int) -> Answer:
    """What one copy of a request is refused, the other may be granted: certain only after both.

    One copy went into a log, and the other found the door full, or the process dead: told
    "refused", the client called its command certainly not done.
    """
    left = copies

    def told(kind: str, value: Any) -> None:
        nonlocal left
        if kind == "refused":
            left -= 1
            if left:
                return
        answer(kind, value)

    return told
