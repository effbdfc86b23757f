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
from raftd.wire import batch as wire
from raftd.wire import kv
from tests.sim import history as histories
from tests.sim.checkers import Checkers
from tests.sim.disk import Disk
from tests.sim.faults import Faults
from tests.sim.network import Network
from tests.sim.node import Clock, Node
from tests.sim.plan import Plan
from tests.sim.workload import Client
from tests.sim.world import Violation, World

if TYPE_CHECKING:
    from tests.sim.process import Process

SECONDS_MAX = 90.0
"""Simulated; a seed whose cluster cannot move has too few events otherwise."""
CALM_SECONDS = 4.0
LEADER_TIMEOUTS = 10
EQUAL_SECONDS = 60.0
EVENTS_MAX = 400_000


class Cluster:
    def __init__(self, seed: int, plan: Plan, *, hashing: bool = False) -> None:
        self.world = World(seed, hashing=hashing)
        self.plan = plan
        self.names: tuple[NodeId, ...] = tuple(f"n{i + 1}" for i in range(plan.nodes))
        self.configuration = Configuration(self.names)
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
        self.clients = [Client(self, number) for number in range(plan.clients)]

    def _make_node(self, name: NodeId) -> Node:
        spread = self.plan.clock_rate_spread
        rate = 1.0 + self._rng.uniform(-spread, spread)
        clock = Clock(rate, self._rng.random() * 1000)
        return Node(self, name, clock, Disk(self.world, self.plan.disk, name))

    def core_rng(self, node: Node) -> random.Random:
        return self.world.stream(f"core {node.name} {node.lives}")

    # what the parts ask of the whole

    def crash(self, node: Node, reason: str, *, lose_unsynced: bool) -> None:
        node.die(reason, lose_unsynced=lose_unsynced)

    def node_died(self, node: Node) -> None:
        self.checkers.stopped(node.name)
        self.network.node_down(node.name)
        known = len(self.checkers.committed) - 1
        self.checkers.durable_on_majority(known)
        self.faults.restart_later(node)

    def to_node(
        self,
        target: NodeId,
        rng: random.Random,
        call: Callable[[Process], None],
        answer: Callable[[str, Any], None],
    ) -> None:
        """A client's request on its way: lost, doubled, refused by a dead port, or delivered."""
        world, loss = self.world, self.plan.network.loss
        if loss and rng.random() < loss:
            return
        copies = 2 if rng.random() < self.plan.network.duplicate else 1
        for _ in range(copies):
            world.after(0.0005 + rng.random() * 0.002, self._deliver, target, call, answer)

    def _deliver(
        self, target: NodeId, call: Callable[[Process], None], answer: Callable[[str, Any], None]
    ) -> None:
        node = self.nodes[target]
        process = node.process
        if process is None:
            answer("refused", None)
        else:
            node.run(self._hand_over, node, process, call)

    def _hand_over(self, node: Node, process: Process, call: Callable[[Process], None]) -> None:
        if node.process is process:
            call(process)

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
        if self.plan.calm_start:
            self._set_calm(True)
            self._until(lambda: self._formed() or self.world.now > CALM_SECONDS)
            self._set_calm(False)
        self.faults.begin()
        world = self.world
        self._until(lambda: world.events >= events or world.now > SECONDS_MAX)
        self._live()
        self.judge()

    def _set_calm(self, calm: bool) -> None:
        for node in self.nodes.values():
            node.disk.calm = calm

    def _formed(self) -> bool:
        return self.leader() is not None and all(
            v.disk.admitted for v in self.checkers.views.values()
        )

    def _until(self, condition: Callable[[], bool]) -> None:
        world = self.world
        while not condition():
            if not world.step() or world.events > EVENTS_MAX:
                raise Violation(
                    "liveness", "nothing more happens" if world.events <= EVENTS_MAX else "no end"
                )

    def _live(self) -> None:
        core = self.faults.heal()
        world, settings = self.world, self.plan.settings
        world.trace("sim", f"healed {','.join(node.name for node in core)}")
        start = world.now
        bound = (
            LEADER_TIMEOUTS * settings.election_timeout_max / (1 - self.plan.clock_rate_spread)
            + 5.0
        )
        self._until(lambda: self._leads(core) or world.now > start + bound)
        if not self._leads(core):
            raise Violation(
                "liveness", f"no leader {bound:.1f} s after the heal; {self.describe()}"
            )
        self._write_one(core)
        start = world.now
        self.clients_stopped = True
        self._until(lambda: self._equal(core) or world.now > start + EQUAL_SECONDS)
        if not self._equal(core):
            raise Violation(
                "liveness", f"not equal {EQUAL_SECONDS} s after the heal; {self.describe()}"
            )
        self._compare(core)
        world.stats["simulated ms"] += int(world.now * 1000)

    def _leads(self, core: list[Node]) -> bool:
        node = self.leader()
        return node is not None and node in core

    def _write_one(self, core: list[Node]) -> None:
        """A write through whoever leads must be committed, however often leaders change."""
        done: list[bytes] = []
        payload = wire.encode_batch(0, 0, [(0, kv.encode_put(b"last", b"write"))])
        start = self.world.now

        def answer(kind: str, value: Any) -> None:
            if kind == "ok":
                done.append(value)

        tried = start - 1.0
        while not done:
            if self.world.now > start + EQUAL_SECONDS:
                raise Violation("liveness", f"no write committed after the heal; {self.describe()}")
            node = self.leader()
            if (
                self.world.now >= tried + 1.0
                and node is not None
                and node.process is not None
                and node in core
            ):
                tried = self.world.now
                node.process.app.submit(payload, answer)
            if not self.world.step():
                raise Violation("liveness", "nothing more happens")

    def _equal(self, core: list[Node]) -> bool:
        known = len(self.checkers.committed) - 1
        for node in core:
            process = node.process
            if process is None or process.app.applied < known or process.core.commit_index < known:
                return False
            if process.core.log.last_index != known:
                return False
        return True

    def _compare(self, core: list[Node]) -> None:
        digests = {node.process.stores.host.digest() for node in core if node.process is not None}
        if len(digests) != 1:
            raise Violation(
                "state-machine-safety", f"{len(digests)} different states at one applied index"
            )

    def judge(self) -> None:
        """What can only be said at the end."""
        judged = histories.check(self.history.ops)
        self.world.stats["ops judged"] += judged
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
