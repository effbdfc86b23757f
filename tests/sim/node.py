"""A machine: disk, clock, address and incarnation. It outlives the processes that run on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raftd.core.types import Configuration, Incarnation, NodeId
from tests.sim import tails as tails_of
from tests.sim.disk import Disk
from tests.sim.process import Process
from tests.sim.stores import DiskImage

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster


EPOCH_MS = 1_700_000_000_000
"""When the simulated world began."""


class Clock:
    """A node's own monotonic clock: it runs at its own rate and may jump ahead."""

    __slots__ = ("_base_local", "_base_true", "rate")

    def __init__(self, rate: float, start: float) -> None:
        self.rate = rate
        self._base_true = 0.0
        self._base_local = start

    def local(self, true: float) -> float:
        return self._base_local + (true - self._base_true) * self.rate

    def true(self, local: float) -> float:
        return self._base_true + (local - self._base_local) / self.rate

    def jump(self, true: float, seconds: float) -> None:
        self._base_local = self.local(true) + seconds
        self._base_true = true


class Node:
    def __init__(self, cluster: Cluster, name: NodeId, clock: Clock, disk: Disk) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.name = name
        self.clock = clock
        self.disk = disk
        self.image = DiskImage(disk.rng)
        self.incarnation: Incarnation = ""
        self.joins = False
        """It began with an empty disk beside a cluster that was there."""
        self.left = False
        """It was removed from the cluster, knows it, and has ended."""
        self.process: Process | None = None
        self.paused = False
        self.resumed_at = 0.0
        self.frozen_out = False
        """Wiped under its old id, or its disk gave up: it counts as down for good."""
        self._backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.lives = 0
        self.doomed = ""
        """"log" or "snapshot": crash in the middle of the next such operation."""
        self.doomed_power = False
        self.rotten = False
        """Bits of a snapshot or of the log have changed at rest: it may refuse to start."""
        self.killed_only = False
        """The last crash took the process and not the power."""

    @property
    def first_configuration(self) -> Configuration:
        return Configuration(()) if self.joins else self.cluster.configuration

    def now(self) -> float:
        return self.clock.local(self.world.now)

    def epoch_ms(self) -> int:
        """Wrong by as much as the node's own clock is."""
        return EPOCH_MS + int(self.now() * 1000)

    def run(self, call: Callable[..., None], *args: Any) -> None:
        """Something arrives at this node's process: now, or when it is woken up."""
        if self.paused:
            self._backlog.append((call, args))
        elif self.process is not None:
            call(*args)

    def pause(self) -> None:
        self.paused = True
        self.world.stats["pauses"] += 1
        self.world.trace(self.name, "paused")

    def resume(self) -> None:
        if not self.paused:
            return
        self.paused = False
        self.resumed_at = self.world.now
        self.world.trace(self.name, "resumed")
        backlog, self._backlog = self._backlog, []
        for call, args in backlog:
            self.world.after(self.disk.rng.random() * 0.002, self.run, call, *args)

    def start(self) -> None:
        """Recover from disk and go. The checkers compare what is found with what was synced."""
        if self.process is not None or self.frozen_out:
            return
        if self.disk.hung:  # a recovery syncs before it reads
            self.disk.park(self.start)
            return
        self.lives += 1
        self.world.trace(self.name, "start")
        process = Process(self)
        if process.begin():
            self.process = process
            process.go()

    def stop(self) -> None:
        """An orderly stop, as on SIGTERM; what follows it, be it a power cut, must lose nothing."""
        if self.process is not None and not self.paused:
            self.process.stop()

    def stopped(self) -> None:
        """The process says that its stop is over."""
        self.world.stats["orderly stops"] += 1
        self.die("stopped", lose_unsynced=self.disk.rng.random() < 0.5)

    def freeze_out(self, why: str) -> None:
        """Its disk refused, as it must: an operator has to replace it, and none comes."""
        self.world.stats["nodes refused"] += 1
        self.world.trace(self.name, f"frozen out: {why}")
        self.frozen_out = True

    def die(self, reason: str, *, lose_unsynced: bool) -> None:
        """The process ends at once; with `lose_unsynced` the power fails, too."""
        process = self.process
        if process is None:
            return
        self.world.trace(
            self.name, f"crash ({reason}, {'power loss' if lose_unsynced else 'process only'})"
        )
        process.cut_short()
        self.process = None
        self.paused = False
        self.doomed = ""
        self._backlog.clear()
        self.killed_only = not lose_unsynced
        self.image.crash(lose_unsynced=lose_unsynced)
        if lose_unsynced:
            self._damage()
        self._lose_tail()
        self.world.stats["crashes"] += 1
        self.world.stats["power cuts"] += lose_unsynced
        self.cluster.node_died(self)

    def _damage(self) -> None:
        damage, rng = self.cluster.plan.rare.damage, self.disk.rng
        if not damage or rng.random() >= damage or not self.cluster.may_spoil(self):
            return
        if self.image.damage_what_is_proven(rng):
            self.world.stats["proven batches damaged"] += 1
            self.world.trace(self.name, "a proven batch is damaged")
            self.rotten, self.cluster.spoilt = True, self.name

    def _lose_tail(self) -> None:
        tails, rng = self.cluster.plan.rare.tails, self.disk.rng
        if not tails or rng.random() >= tails or self.rotten or not self.cluster.may_spoil(self):
            return
        if tails_of.lose(self):
            self.world.stats["tails lost"] += 1
            self.world.trace(self.name, "its last batch has gone bad")
            self.cluster.spoilt = self.name
