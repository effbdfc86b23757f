"""Watchers of the store: each reads one node's events, goes to another when that dies, and is
judged by what the committed log says that it must see.

The rules are those of etcd's robustness suite, each a name of its own:

watch-ordered       revisions only grow
watch-unique        no event comes twice, not even after a move to another node
watch-atomic        a revision comes whole
watch-reliable      none that matches is left out
watch-resumable     the same holds from any revision that is not compacted, on any node
watch-bookmarkable  what is reported as handed over has been, and progress is never ahead
watch-filtered      nothing comes that was not asked for
watch-previous      the previous value is the one before this revision
watch-created       a put says truly whether it made its key
watch-compacted     a watcher is told of a compaction only if one took what it had not seen
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from raftd.core.types import NodeId
from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Delivery, Event, Watcher
from raftd.wire.kv import KeyValue
from raftd.wire.spans import prefix_end
from tests.machine.naive import Cell, Naive
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
        self._skips = self._rng.choice(
            ((False, False), (False, False), (True, False), (False, True))
        )
        self._lazy = self._rng.choice((0.005, 0.05, 1.0))
        self._seen = 0
        """Everything up to this revision was handed over; 0: it has not begun."""
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
            node.process.on_network(self._subscribe, node.process)

    def _leave(self) -> None:
        process, watcher = self._process, self._watcher
        self._process = self._watcher = None
        if process is not None and watcher is not None:
            process.on_network(watcher.cancel)

    def _subscribe(self, process: Process) -> None:
        store = process.stores.host.machine
        if self._watcher is not None or not isinstance(store, KvStore) or process.machine_is_away():
            return
        start = self._seen + 1 if self._seen else 0
        self._process = process
        if not start:
            self._seen = store.watches.revision
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
            process.on_network(self._take, process, watcher)

    def _take(self, process: Process, watcher: Watcher) -> None:
        if self._watcher is not watcher or process.machine_is_away():
            return
        delivery = watcher.take(self._rng.choice((1, 4, 64)))
        naive = self._cluster.checkers.store
        if delivery.compacted:
            self._compacted(naive, delivery)
            return
        before = self._seen
        for revision, events in delivery.revisions:
            self._judge(naive, revision, events)
        if delivery.revision < self._seen and before <= delivery.revision:
            self._broken("bookmarkable", f"told {delivery.revision} after {self._seen}")
        self._nothing_between(naive, self._seen, delivery.revision)
        self._seen = max(self._seen, delivery.revision)
        progress = watcher.progress
        if progress:
            if progress < self._seen:
                self._broken("bookmarkable", f"progress {progress} after {self._seen}")
            self._nothing_between(naive, self._seen, progress, "bookmarkable")
            self._world.stats["watch progress"] += 1
        if delivery.more:
            self._ready()

    def _compacted(self, naive: Naive, delivery: Delivery) -> None:
        self._world.stats["watches compacted"] += 1
        if naive.compacted <= self._seen + 1:
            self._broken("compacted", f"told {delivery.compacted}, it had seen {self._seen}")
        self._watcher = self._process = None
        self._seen = 0

    def _judge(self, naive: Naive, revision: int, events: list[Event]) -> None:
        if revision <= self._seen:
            self._broken("unique", f"revision {revision} after {self._seen}")
        self._nothing_between(naive, self._seen, revision - 1)
        every = naive.events.get(revision, [])
        cells = {key: (cell, was) for key, cell, was in every}
        for event in events:
            if event.key not in cells or not self._asked(event.key, cells[event.key][0]):
                self._broken("filtered", f"{event} at {revision} was not asked for")
            self._one(naive, revision, event, *cells[event.key])
        wanted = [key for key, cell, _ in every if self._asked(key, cell)]
        if [event.key for event in events] != wanted:
            self._broken("atomic", f"revision {revision} has {wanted}, it got {events}")
        self._seen = revision
        self._world.stats["events watched"] += len(events)

    def _one(self, naive: Naive, revision: int, event: Event, cell: Cell, was: Cell) -> None:
        shown = _shown(event.key, cell)
        if event.kv is not None and shown is not None:
            made = event.kv.create_revision == event.kv.mod_revision
            if made != (cell.create == cell.mod):
                self._broken("created", f"{event} at {revision}, it is {cell}")
        if event.kv != shown:
            self._broken("reliable", f"{event} at {revision}, it is {cell}")
        previous = _shown(event.key, was)
        if event.previous != previous and not (
            event.previous is None and revision <= naive.compacted
        ):
            self._broken("previous", f"{event} at {revision}, before it was {was}")

    def _nothing_between(self, naive: Naive, after: int, upto: int, rule: str = "reliable") -> None:
        """Nothing that was asked for happened in revisions that were passed over."""
        for revision in range(after + 1, upto + 1):
            if revision not in naive.events:
                self._broken("bookmarkable", f"told {upto}, nobody has made {revision} yet")
            for key, cell, _ in naive.events[revision]:
                if self._asked(key, cell):
                    self._broken(rule, f"{key!r} at {revision} was left out, told {upto}")

    def _asked(self, key: bytes, cell: Cell) -> bool:
        start, end = self._span
        within = key == start if not end else start <= key and (end == b"\0" or key < end)
        return within and not self._skips[0 if cell.value is not None else 1]

    def _broken(self, rule: str, detail: str) -> None:
        where = self._process.node.name if self._process is not None else "nobody"
        raise Violation(f"watch-{rule}", f"{self._name} of {self._span} on {where}: {detail}")


def _shown(key: bytes, cell: Cell) -> KeyValue | None:
    if cell.value is None:
        return None
    return KeyValue(key, cell.value, cell.create, cell.mod, cell.version, cell.lease)
