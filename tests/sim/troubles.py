"""The rare faults: each begins on a node, some end, and two of a seed are made to meet.

What faults.py does comes at its own rates and knows nothing of what a node is doing; here a seed's
pair (rare_plan.py) is forced: the second strikes while the first lasts, or the moment a node is in
a state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.sim.rare_plan import FAULTS, LASTING
from tests.sim.states import count, is_in, sent_by, states_of

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.node import Node

LOOK_SECONDS = 0.004
LOOK_FOR_SECONDS = 2.0
"""How often, and how long, somebody in the wanted state is looked for."""

QUICK_HANGS_MAX = 0.3
"""A quick machine that hangs holds its whole node; longer is a pause."""

SECONDS = {
    "full": (0.3, 6.0),
    "hung-sync": (0.3, 12.0),
    "hung-machine": (0.5, 12.0),
    "no-files": (0.1, 2.0),
    "pause": (0.1, 2.0),
    "cut-off": (0.1, 3.0),
    "chunks-lost": (0.3, 3.0),
    "handover-lost": (0.3, 3.0),
}
"""How long a lasting fault may last."""

BURST_SECONDS = 0.03
"""Two sudden faults follow each other within so much."""


class Troubles:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._rng = cluster.world.stream("rare")
        self._plan = cluster.plan.rare
        self._active = False
        self._hunts = 0

    def begin(self) -> None:
        self._active = True
        if self._plan.force_every:
            self._later(self._plan.force_every, self._force)
        if self._plan.kinds:
            self._later(self._plan.every, self._some_kind)

    def end(self) -> None:
        """Nothing new; what hangs goes on, and there is room again."""
        self._active = False
        self._cluster.network.losing.clear()
        self._cluster.network.fat_chunks = 0
        self._plan.restore_seconds = 0.0
        for node in self._cluster.nodes.values():
            node.disk.mend()
            process = node.process
            if process is not None:
                process.machine.hangs_until = 0.0

    def _later(self, every: float, what: Callable[[], None]) -> None:
        self._world.after(self._rng.expovariate(1.0 / every), self._due, every, what)

    def _due(self, every: float, what: Callable[[], None]) -> None:
        if self._active:
            self._world.events += 1
            what()
            self._later(every, what)

    def _some_kind(self) -> None:
        self.strike(self._rng.choice(self._plan.kinds), self._victim())

    def _victim(self) -> Node:
        """Anybody, and the leader half of the time."""
        leader = self._cluster.leader()
        if leader is not None and self._rng.random() < 0.5:
            return leader
        return self._rng.choice(list(self._cluster.nodes.values()))

    # what is forced

    def _force(self) -> None:
        first, second = self._plan.pair
        if not first:
            self._hunts += 1
            self._world.after(0.0, self._hunt, self._hunts, self._world.now + LOOK_FOR_SECONDS)
            return
        node = self._victim()
        lasts = self.strike(first, node) or BURST_SECONDS
        other = self._victim() if self._rng.random() < self._plan.elsewhere else node
        self._world.after(lasts * self._rng.random() ** 2, self._second, second, other)

    def _second(self, fault: str, node: Node) -> None:
        if self._active:
            self._world.events += 1
            self.strike(fault, node)

    def _hunt(self, number: int, until: float) -> None:
        """Strike whoever is seen in the wanted state."""
        if not self._active or number != self._hunts:
            return
        fault, state = self._plan.hunt
        found = [node for node in self._cluster.nodes.values() if is_in(node, state)]
        if found:
            self._world.events += 1
            self.strike(fault, self._rng.choice(found))
        elif self._world.now < until:
            self._world.after(LOOK_SECONDS, self._hunt, number, until)

    # the faults

    def strike(self, fault: str, node: Node) -> float:
        """Returns for how many seconds it lasts; 0: it does not, or there was nobody to strike."""
        if fault == "rot":
            node = self._who_rots(node)
        if node.process is None:
            return 0.0
        seconds = 0.0
        if fault in LASTING:
            shortest, longest = SECONDS[fault]
            seconds = shortest + (longest - shortest) * self._rng.random() ** 2
        met = states_of(node, self._cluster)
        self._world.trace(node.name, f"{fault} ({', '.join(met)})")
        if _ACTS[fault](self, node, seconds) is False:
            return 0.0
        if fault not in ("kill", "power"):  # counted where a process dies
            count(self._cluster, fault, met)
        return seconds

    def _full(self, node: Node, seconds: float) -> None:
        node.disk.full_until = self._world.now + seconds
        node.image.freed = 0

    def _hang(self, node: Node, seconds: float) -> None:
        node.disk.hang(seconds)

    def _hang_machine(self, node: Node, seconds: float) -> None:
        process = node.process
        assert process is not None
        if self._cluster.plan.shell.quick:
            seconds = min(seconds, QUICK_HANGS_MAX)
        process.machine.hangs_until = self._world.now + seconds

    def _no_files(self, node: Node, seconds: float) -> None:
        node.disk.no_files_until = self._world.now + seconds

    def _pause(self, node: Node, seconds: float) -> bool:
        if node.paused:
            return False
        node.pause()
        self._world.after(seconds, node.resume)
        return True

    def _cut_off(self, node: Node, seconds: float) -> None:
        names = [name for name in self._cluster.names if name != node.name]
        links = {link for name in names for link in ((name, node.name), (node.name, name))}
        self._cluster.network.cut.update(links)
        self._world.after(seconds, self._join_again, links)

    def _join_again(self, links: set[tuple[str, str]]) -> None:
        if self._active:
            self._cluster.network.cut.difference_update(links)

    def _lose(self, what: str, seconds: float) -> None:
        losing = self._cluster.network.losing
        losing[what] = max(losing.get(what, 0.0), self._world.now + seconds)
        self._world.after(seconds, self._lose_no_more, what)

    def _lose_handovers(self, node: Node, seconds: float) -> None:
        """Without a hand-over there is nothing to lose."""
        self._lose("handover-lost", seconds)
        for _ in range(2):
            self._world.after(seconds * self._rng.random(), self._hand_over)

    def _hand_over(self) -> None:
        leader = self._cluster.leader()
        if self._active and leader is not None:
            self.strike("transfer", leader)

    def _lose_no_more(self, what: str) -> None:
        losing = self._cluster.network.losing
        if losing.get(what, 0.0) <= self._world.now:
            losing.pop(what, None)

    def _stop(self, node: Node, _: float) -> bool:
        if node.paused or is_in(node, "stopping"):
            return False
        node.stop()
        return True

    def _kill(self, node: Node, *, power: bool) -> None:
        self._cluster.crash(node, "rare fault", lose_unsynced=power)

    def _transfer(self, node: Node, _: float) -> bool:
        process = node.process
        leads = is_in(node, "leader") and not node.paused and not is_in(node, "stopping")
        if process is None or not leads or len(self._cluster.names) < 2:
            return False
        process.transfer(self._rng.choice([n for n in self._cluster.names if n != node.name]))
        return True

    def _snapshot(self, node: Node, _: float) -> bool:
        process = node.process
        if process is None or node.paused or is_in(node, "stopping"):
            return False
        process.run(process.app.snapshot_now)
        return True

    def _who_rots(self, node: Node) -> Node:
        """A snapshot that somebody needs, if there is one."""
        sending = [n for n in self._cluster.nodes.values() if is_in(n, "sending")]
        able = [n for n in sending if self._cluster.may_spoil(n)]
        return able[0] if able and self._rng.random() < 0.7 else node

    def _rot(self, node: Node, _: float) -> bool:
        sent = sent_by(node)
        if not self._cluster.may_spoil(node) or not node.image.rot(self._rng, sent):
            return False
        node.rotten = True
        self._cluster.spoilt = node.name
        return True

    def _fail_a_sync(self, node: Node, _: float) -> None:
        node.disk.fail_a_sync()

    def _fat_chunk(self, node: Node, _: float) -> None:
        self._cluster.network.fat_chunks += 1


_ACTS = {
    "full": Troubles._full,
    "hung-sync": Troubles._hang,
    "hung-machine": Troubles._hang_machine,
    "no-files": Troubles._no_files,
    "pause": Troubles._pause,
    "cut-off": Troubles._cut_off,
    "chunks-lost": lambda t, node, seconds: t._lose("chunks-lost", seconds),
    "handover-lost": Troubles._lose_handovers,
    "stop": Troubles._stop,
    "kill": lambda t, node, seconds: t._kill(node, power=False),
    "power": lambda t, node, seconds: t._kill(node, power=True),
    "transfer": Troubles._transfer,
    "rot": Troubles._rot,
    "snapshot": Troubles._snapshot,
    "sync-error": Troubles._fail_a_sync,
    "fat-chunk": Troubles._fat_chunk,
}
assert set(_ACTS) == set(FAULTS)
