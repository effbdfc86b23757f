"""The machine's side of a process: applying, snapshots, and the clients that wait for answers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from raftd.core.changes import Change
from raftd.core.effects import NOTHING_DONE, Effects, NotLeader, Unavailable
from raftd.core.types import Entry, EntryType, Index, Role, SnapshotMeta, Term
from raftd.machine.kv.store import KvStore
from raftd.wire.batch import encode_batch, noted
from raftd.wire.leases import encode_compact
from tests.sim.process import Answer
from tests.sim.stores import KEEP

if TYPE_CHECKING:
    from tests.sim.light import LightProcess


class Application:
    """Sessions and store of one process, applied in order and on their own time."""

    def __init__(self, process: LightProcess) -> None:
        self._process = process
        self._world = process.world
        self._plan = process.plan
        self.applied: Index = 0
        self.applied_term: Term = 0
        self._apply_queue: deque[SnapshotMeta | Entry] = deque()
        self._apply_busy = False
        self._since_snapshot = 0
        self._asked_to_compact = 0
        self._waiters: dict[tuple[Index, Term], Answer] = {}
        self._proposals: list[tuple[bytes, Answer]] = []
        self._reads: list[tuple[Index, int]] = []
        self._read_floor: dict[int, tuple[Index, bytes, Answer]] = {}
        self._read_number = 0

    def take(self, effects: Effects) -> None:
        """`install`, then `committed`: applied in this order."""
        if effects.install is not None:
            self._apply_queue.append(effects.install)
        self._apply_queue.extend(effects.committed)

    def to_restore(self) -> list[SnapshotMeta]:
        """Snapshots that are given out and not restored yet."""
        return [item for item in self._apply_queue if isinstance(item, SnapshotMeta)]

    def go_on(self) -> None:
        if self._apply_queue and not self._apply_busy:
            self.start_applying()

    def leadership_lost(self) -> None:
        """Nobody waits for what another leader decides: the outcome is unknown."""
        waiters, self._waiters = self._waiters, {}
        for answer in waiters.values():
            answer("unknown", None)

    def start_applying(self) -> None:
        self._apply_busy = True
        if self._plan.apply_delay:
            delay = self._process.node.disk.rng.random() * self._plan.apply_delay
            self._world.after(delay, self._apply_later)
        else:
            self._apply_some(len(self._apply_queue))

    def _apply_later(self) -> None:
        if self._process.alive:
            self._process.node.run(self._apply_event)

    def _apply_event(self) -> None:
        if self._process.alive:
            self._world.events += 1
            self._apply_some(self._process.node.disk.rng.randint(1, 8))

    def _apply_some(self, count: int) -> None:
        queue = self._apply_queue
        for _ in range(min(count, len(queue))):
            item = queue.popleft()
            if isinstance(item, SnapshotMeta):
                self._restore(item)
            else:
                self._apply(item)
        self._answer_reads()
        self._compact()
        self._apply_busy = False
        self._maybe_snapshot()
        self._process.enter(self._process.core.applied(self.applied, self._process.node.now()))

    def _restore(self, meta: SnapshotMeta) -> None:
        self._process.checkers.installed(self._process.node.name, meta.index)
        self._process.stores.restore(meta)
        self._process.stores.host.on_applied(meta.index)
        self._world.stats["snapshots installed"] += 1
        self.applied, self.applied_term = meta.index, meta.term
        self._since_snapshot = 0

    def _apply(self, entry: Entry) -> None:
        self._process.checkers.applying(self._process.node.name, entry)
        self.applied, self.applied_term = entry.index, entry.term
        self._since_snapshot += 1
        result = b""
        if entry.type is EntryType.BATCH:
            result = self._process.stores.host.apply_batch(entry.index, entry.term, entry.payload)
            self._process.checkers.applied_result(
                self._process.node.name, entry.index, entry.payload, result
            )
        answer = self._waiters.pop((entry.index, entry.term), None)
        if answer is not None:
            answer("ok", result)
        self._process.stores.host.on_applied(entry.index)

    def _compact(self) -> None:
        """What the store proposes by itself where it is attached to a node."""
        store = self._process.stores.host.machine
        if self._process.core.role is not Role.LEADER or not isinstance(store, KvStore):
            return
        revision = store.history.last - KEEP.revisions
        if revision > max(store.history.first, self._asked_to_compact) + KEEP.revisions:
            self._asked_to_compact = revision
            payload = encode_batch(b"", 0, [(0, encode_compact(revision))])
            self._propose([(payload, lambda kind, value: None)])

    def _maybe_snapshot(self) -> None:
        if not self._process.core.configuration_at(self.applied).voters:
            return
        if self._plan.snapshot_entries and self._since_snapshot >= self._plan.snapshot_entries:
            self.take_snapshot()

    def take_snapshot(self) -> None:
        if self._process.snapshot_worker.taking or not self.applied:
            return
        self._since_snapshot = 0
        sessions, chunks = self._process.stores.host.capture()
        configuration = self._process.core.configuration_at(self.applied)
        self._process.snapshot_worker.take(
            self.applied, self.applied_term, configuration, sessions, chunks
        )

    # clients

    def change(self, change: Change) -> None:
        process = self._process
        try:
            process.enter(process.core.change(change, process.node.now()))
            process.world.stats["changes of members"] += 1
        except NOTHING_DONE as refusal:
            process.world.trace(process.node.name, f"refuses: {refusal}")

    def waiting(self) -> int:
        return len(self._waiters) + len(self._proposals) + len(self._read_floor)

    def submit(self, payload: bytes, answer: Answer) -> None:
        """A client's frame. All that arrive within a turn of the loop become one append."""
        if not self._plan.propose_delay:
            self._propose([(payload, answer)])
            return
        self._proposals.append((payload, answer))
        if len(self._proposals) == 1:
            self._world.after(self._plan.propose_delay, self._propose_later)

    def _propose_later(self) -> None:
        if self._process.alive:
            self._process.node.run(self._propose_queued)

    def _propose_queued(self) -> None:
        if self._process.alive:
            batch, self._proposals = self._proposals, []
            self._propose(batch)

    def _propose(self, batch: list[tuple[bytes, Answer]]) -> None:
        self._world.events += 1
        try:
            node = self._process.node
            payloads = [noted(payload, node.epoch_ms()) for payload, _ in batch]
            effects = self._process.core.propose(payloads, node.now())
        except NotLeader as error:
            for _, answer in batch:
                answer("refused", error.leader)
            return
        except Unavailable:
            for _, answer in batch:
                answer("refused", None)
            return
        for position, (_, answer) in zip(effects.assigned, batch, strict=True):
            self._waiters[position] = answer
        self._process.enter(effects)

    def read(self, query: bytes, answer: Answer) -> None:
        self._world.events += 1
        self._read_number += 1
        token = self._read_number
        self._read_floor[token] = (self._process.checkers.read_arrives(), query, answer)
        self._world.trace(self._process.node.name, f"read {token}")
        try:
            effects = self._process.core.read(self._process.node.now(), token)
        except NotLeader as error:
            del self._read_floor[token]
            answer("refused", error.leader)
            return
        except Unavailable:
            del self._read_floor[token]
            answer("refused", None)
            return
        self._process.enter(effects)

    def read_confirmed(self, token: int, index: Index) -> None:
        floor, _, _ = self._read_floor[token]
        self._world.trace(self._process.node.name, f"read {token} confirmed at {index}")
        self._process.checkers.read_confirmed(self._process.node.name, index, floor)
        self._world.stats["reads confirmed"] += 1
        self._reads.append((index, token))
        if index <= self.applied:
            self._answer_reads()

    def _answer_reads(self) -> None:
        if not self._reads:
            return
        waiting, self._reads = self._reads, []
        for index, token in waiting:
            if index > self.applied:
                self._reads.append((index, token))
                continue
            _, query, answer = self._read_floor.pop(token)
            answer("ok", self._process.stores.host.query(query))

    def read_failed(self, token: int, error: NotLeader) -> None:
        _, _, answer = self._read_floor.pop(token)
        self._world.stats["reads failed"] += 1
        answer("refused", error.leader)
