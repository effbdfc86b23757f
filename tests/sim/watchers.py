"""Watchers of the store: each reads one node's events, goes to another when that dies, and is
judged by what the committed log says that it must see.

The rules are in tests/machine/watch_rules.py.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from raftd.core.types import NodeId
from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Watcher
from raftd.wire.spans import prefix_end
from tests.machine.watch_rules import BrokenRule, WatchJudge
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.process import Process

SPANS = ((b"k0", b""), (b"k", prefix_end(b"k")), (b"\0", b"\0"), (b"k1", b"m2"))
SKIPS = ((False, False), (False, False), (True, False), (False, True))
"""(no puts, no deletes)"""
LOOK_SECONDS = 0.25
"""How often a watcher looks whether its node is still there."""
MOVE = 0.03
"""Probability that it goes elsewhere, though nothing has happened."""


class SimWatcher:
    """One client that watches, through any fault."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._rng: random.Random = cluster.world.stream(f"watcher {number}")
        self._name = f"watcher {number}"
        self._span = self._rng.choice(SPANS)
        self._skips = self._rng.choice(SKIPS)
        self._lazy = self._rng.choice((0.005, 0.05, 1.0))
        self._judge: WatchJudge | None = None
        """It knows how far the watcher has come; None: it has not begun."""
        self._process: Process | None = None
        self._watcher: Watcher | None = None
        self._taking = False

    def start(self) -> None:
        self._world.after(self._rng.random() * 0.3, self._look)

    def _look(self) -> None:
        """Subscribe where somebody is alive; sometimes leave, for no reason."""
        if self._cluster.clients_stopped:
            return
        self._world.after(LOOK_SECONDS * (0.5 + self._rng.random()), self._look)
        process = self._process
        if process is not None and process.alive and self._watcher is not None:
            if self._rng.random() >= MOVE:
                return
            self._leave()
        name: NodeId = self._rng.choice(self._cluster.names)
        node = self._cluster.nodes[name]
        if node.process is not None and not node.paused:
            node.process.run(self._subscribe, node.process)

    def _leave(self) -> None:
        process, watcher = self._process, self._watcher
        self._process = self._watcher = None
        if process is not None and watcher is not None:
            process.run(watcher.cancel)

    def _subscribe(self, process: Process) -> None:
        store = process.stores.host.machine
        if self._watcher is not None or not isinstance(store, KvStore) or process.machine.away:
            return
        start = self._judge.seen + 1 if self._judge is not None else 0
        self._process = process
        if self._judge is None:
            self._judge = WatchJudge(self._span, self._skips, store.watches.revision)
        self._watcher = store.watches.subscribe(
            *self._span,
            start,
            on_ready=self._ready,
            no_put=self._skips[0],
            no_delete=self._skips[1],
            prev_kv=True,
        )
        self._world.stats["watches"] += 1
        self._world.stats["watches resumed"] += start != 0
        self._ready()

    def _ready(self) -> None:
        if not self._taking and self._process is not None:
            self._taking = True
            delay = self._rng.random() * self._lazy
            self._world.after(delay, self._on_network, self._process, self._watcher)

    def _on_network(self, process: Process, watcher: Watcher) -> None:
        self._taking = False
        if self._watcher is watcher and process.alive:
            process.run(self._take, process, watcher)

    def _take(self, process: Process, watcher: Watcher) -> None:
        judge = self._judge
        if self._watcher is not watcher or judge is None or process.machine.away:
            return
        delivery = watcher.take(self._rng.choice((1, 4, 64)))
        naive = self._cluster.checkers.store
        try:
            if delivery.compacted:
                self._world.stats["watches compacted"] += 1
                judge.compacted(naive, delivery.compacted)
                self._watcher = self._process = self._judge = None
                return
            progress = watcher.progress
            self._world.stats["watch progress"] += progress > 0
            self._world.stats["events watched"] += judge.delivery(naive, delivery, progress)
        except BrokenRule as broken:
            where = process.node.name
            raise Violation(broken.rule, f"{self._name} on {where}: {broken.detail}") from None
        if delivery.more:
            self._ready()
