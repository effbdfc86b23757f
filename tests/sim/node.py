"""A driver of the core as effects.py describes one, on simulated time: one node and its processes.

A Node is a machine: disk, clock, network address, incarnation. A Process is one life of raftd on
it: core, log store, snapshot store, sessions and state machine, all of them the ones that ship.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from raftd.core.core import RaftCore
from raftd.core.effects import Effects, NotLeader, Unavailable
from raftd.core.messages import Channel, HelloRequest, Reply, SnapshotRequest
from raftd.core.types import Entry, EntryType, Identity, Incarnation, Index, NodeId, Role, SnapshotMeta, Term
from tests.sim.disk import Disk
from tests.sim.disk_worker import LogWorker, SnapshotWorker
from tests.sim.network import Call
from tests.sim.stores import DiskImage, Stores

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

TICK_SPACING = 0.0002
"""Seconds between two ticks at least: what is due stays due until a sender pulls it."""

PULLS_MAX = 2_000
"""More requests than that at one wake-up mean that the core floods."""

Answer = Callable[[str, Any], None]
"""How a client hears: ("ok", ...), ("refused", leader hint) or ("unknown", None)."""


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
        self.process: Process | None = None
        self.paused = False
        self.frozen_out = False
        """Wiped under its old id, or its disk gave up: it counts as down for good."""
        self._backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.lives = 0
        self.doomed = ""
        """"log" or "snapshot": crash in the middle of the next such operation."""
        self.doomed_power = False

    def now(self) -> float:
        return self.clock.local(self.world.now)

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
        self.world.trace(self.name, "resumed")
        backlog, self._backlog = self._backlog, []
        if self.process is not None:
            self.process.wake_timer()
        for call, args in backlog:
            self.world.after(self.disk.rng.random() * 0.002, self.run, call, *args)

    def start(self) -> None:
        """Recover from disk and go. The checkers compare what is found with what was synced."""
        if self.process is not None or self.frozen_out:
            return
        self.lives += 1
        self.world.trace(self.name, "start")
        process = Process(self)
        if process.begin():
            self.process = process
            process.enter(process.core.start(self.now()))

    def die(self, reason: str, *, lose_unsynced: bool) -> None:
        """The process ends at once; with `lose_unsynced` the power fails, too."""
        process = self.process
        if process is None:
            return
        self.world.trace(self.name, f"crash ({reason}, {'power loss' if lose_unsynced else 'process only'})")
        process.cut_short()
        self.process = None
        self.paused = False
        self.doomed = ""
        self._backlog.clear()
        self.image.crash(lose_unsynced=lose_unsynced)
        self.world.stats["crashes"] += 1
        self.world.stats["power cuts"] += lose_unsynced
        self.cluster.node_died(self)


class Process:
    """One life. Everything in it is gone when it ends; what it synced is not."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.world = node.world
        self.checkers = node.cluster.checkers
        self.plan = node.cluster.plan
        self.stores: Stores
        self.core: RaftCore
        self.log_worker: LogWorker
        self.snapshot_worker: SnapshotWorker
        self.applied: Index = 0
        self.applied_term: Term = 0
        self._apply_queue: deque[SnapshotMeta | Entry] = deque()
        self._apply_busy = False
        self._waiters: dict[tuple[Index, Term], Answer] = {}
        self._proposals: list[tuple[bytes, Answer]] = []
        self._reads: list[tuple[Index, Any]] = []
        self._read_floor: dict[int, tuple[Index, Sequence[bytes], Answer]] = {}
        self._read_number = 0
        self._pulls: set[tuple[NodeId, Channel]] = set()
        self._timer_at = float("inf")
        self._ticked_at = float("-inf")
        self._since_snapshot = 0
        self.leading_term: Term | None = None

    # life and death

    def begin(self) -> bool:
        """False: it crashed while it recovered, or its disk refused."""
        node = self.node
        stores = node.image.open(node)
        if stores is None:
            return False
        self.stores = stores
        node.incarnation = stores.incarnation
        self.checkers.started(node.name, stores.recovered)
        identity = Identity(node.cluster.cluster_id, node.name, node.incarnation)
        self.core = RaftCore(
            identity,
            self.plan.settings,
            node.cluster.configuration,
            stores.recovered,
            node.cluster.core_rng(node),
            node.now(),
        )
        self.log_worker = LogWorker(self)
        self.snapshot_worker = SnapshotWorker(self)
        return True

    def cut_short(self) -> None:
        """Run what the disk had under way up to a random point, in random order."""
        jobs = [self.log_worker.cut_short, self.snapshot_worker.cut_short]
        if self.node.disk.rng.random() < 0.5:
            jobs.reverse()
        for job in jobs:
            job()

    @property
    def alive(self) -> bool:
        return self.node.process is self

    # the core's door

    def enter(self, effects: Effects) -> None:
        """Hand over all effects of one call, in order; then look at the node with every checker."""
        name, world, checkers = self.node.name, self.world, self.checkers
        for write in effects.persist:
            world.trace(name, "write", write)
            if write.marker is not None:
                durable = self.node.image.holds_snapshot(write.marker.meta)
                checkers.marker(name, write.marker.meta.index, durable)
            checkers.persist(name, write)
        self.log_worker.queue(effects.persist)
        for token, reply in effects.replies:
            self._send_reply(token, reply)
        if effects.install is not None:
            self._apply_queue.append(effects.install)
        self._apply_queue.extend(effects.committed)
        for token, request in effects.chunks:
            self.snapshot_worker.chunk(token, request)
        for token, index in effects.reads:
            self._read_confirmed(token, index)
        for token, _ in effects.failed:
            self._read_failed(token, _)
        if effects.released:
            self.log_worker.release(effects.released)
        for event in effects.events:
            world.trace(name, "event", event)
            world.stats[f"event {event.kind}"] += 1
        checkers.after(name, self.core)
        self._note_role()
        self._pull(effects.wake)
        if self._apply_queue and not self._apply_busy:
            self._start_applying()
        self.wake_timer()

    def _note_role(self) -> None:
        core = self.core
        term = core.current_term if core.role is Role.LEADER else None
        if self.leading_term is not None and term != self.leading_term:
            self.world.stats["step-downs"] += 1
            waiters, self._waiters = self._waiters, {}
            for answer in waiters.values():
                answer("unknown", None)
        self.leading_term = term

    # timers

    def wake_timer(self) -> None:
        due = self.node.clock.true(self.core.wake_at(self.node.now()))
        if due < self._timer_at:
            self._timer_at = max(due, self.world.now, self._ticked_at + TICK_SPACING)
            self.world.at(self._timer_at, self._timer, self._timer_at)

    def _timer(self, at: float) -> None:
        if not self.alive or at != self._timer_at:
            return
        self._timer_at = float("inf")
        if self.node.paused:
            return
        now = self.node.now()
        due = self.core.wake_at(now)
        if due <= now + 1e-9:
            self._ticked_at = self.world.now
            self.world.events += 1
            self.world.trace(self.node.name, "tick")
            self.enter(self.core.tick(max(now, due)))
        else:
            self.wake_timer()

    def clock_jumped(self) -> None:
        self._timer_at = float("inf")
        self.wake_timer()

    # messages

    def _pull(self, wake: dict[tuple[NodeId, Channel], None]) -> None:
        delay = self.plan.pull_delay
        for peer, channel in wake:
            if not delay:
                self._pull_now(peer, channel)
            elif (peer, channel) not in self._pulls:
                self._pulls.add((peer, channel))
                self.world.after(self.node.disk.rng.random() * delay, self._pull_later, peer, channel)

    def _pull_later(self, peer: NodeId, channel: Channel) -> None:
        self._pulls.discard((peer, channel))
        if self.alive:
            self.node.run(self._pull_and_look, peer, channel)

    def _pull_and_look(self, peer: NodeId, channel: Channel) -> None:
        if self.alive:
            self._pull_now(peer, channel)
            self.wake_timer()

    def _pull_now(self, peer: NodeId, channel: Channel) -> None:
        core, name, now = self.core, self.node.name, self.node.now()
        for _ in range(PULLS_MAX):
            request = core.next_request(peer, channel, now)
            if request is None:
                return
            self.world.trace(name, f"-> {peer}", request)
            self.checkers.request(name, core, peer, request)
            if isinstance(request, SnapshotRequest):
                self.snapshot_worker.send_chunk(peer, request)
            else:
                self._transmit(peer, channel, request)
        self.checkers.fail("bounds", f"{name} hands out more than {PULLS_MAX} requests to {peer} at once")

    def _transmit(self, peer: NodeId, channel: Channel, request: Any) -> None:
        settings = self.plan.settings
        patience = settings.election_timeout_min / 2
        if channel is Channel.APPEND:
            patience = settings.election_timeout_max * 2
        elif channel is Channel.BULK:
            patience = settings.election_timeout_max * 4
        expected = self.core.expected_incarnation(peer)
        if not isinstance(request, HelloRequest) and expected is None:
            self.checkers.fail("admission", f"{self.node.name} sends {request} to {peer}, which it has not recorded")
        self.node.cluster.network.send(self, peer, channel, request, expected, patience)

    def transmit_chunk(self, peer: NodeId, request: SnapshotRequest) -> None:
        self.world.stats["snapshot chunks"] += 1
        self._transmit(peer, Channel.BULK, request)

    def receive(self, call: Call) -> None:
        """A peer's request, after the envelope check that the shell does."""
        if not self.alive:
            return
        node = self.node
        hello = isinstance(call.request, HelloRequest)
        sender = call.sender.node
        wrong = call.to_incarnation not in (None, node.incarnation)
        if not hello and self.core.expected_incarnation(sender.name) not in (None, sender_incarnation(call)):
            wrong = True
        if wrong and not (hello and call.to_incarnation is None):
            self.world.stats["envelopes refused"] += 1
            node.cluster.network.fail(call)
            return
        self.world.events += 1
        self.world.trace(node.name, f"<- {sender.name}", call.request)
        self.enter(self.core.step(call.request, node.now(), call))

    def _send_reply(self, call: Call, reply: Reply) -> None:
        self.world.trace(self.node.name, f"=> {call.sender.node.name}", reply)
        self.checkers.reply(self.node.name, reply, call.request)
        self.node.cluster.network.reply(self, call, reply)

    def on_reply(self, call: Call, reply: Reply) -> None:
        self.world.events += 1
        self.world.trace(self.node.name, f"<= {call.peer}", reply)
        self.enter(self.core.on_reply(call.peer, call.request, reply, self.node.now()))

    def unreachable(self, call: Call) -> None:
        self.world.events += 1
        self.world.trace(self.node.name, f"lost {call.peer}", call.request)
        self.enter(self.core.unreachable(call.peer, call.request, self.node.now()))

    def link_lost(self, peer: NodeId) -> None:
        if self.alive:
            self.world.events += 1
            self.world.trace(self.node.name, f"link lost {peer}")
            self.enter(self.core.link_lost(peer, self.node.now()))

    # the state machine

    def _start_applying(self) -> None:
        self._apply_busy = True
        if self.plan.apply_delay:
            delay = self.node.disk.rng.random() * self.plan.apply_delay
            self.world.after(delay, self._apply_later)
        else:
            self._apply_some(len(self._apply_queue))

    def _apply_later(self) -> None:
        if self.alive:
            self.node.run(self._apply_event)

    def _apply_event(self) -> None:
        if self.alive:
            self.world.events += 1
            self._apply_some(self.node.disk.rng.randint(1, 8))

    def _apply_some(self, count: int) -> None:
        queue = self._apply_queue
        for _ in range(min(count, len(queue))):
            item = queue.popleft()
            if isinstance(item, SnapshotMeta):
                self._restore(item)
            else:
                self._apply(item)
        self._answer_reads()
        self._apply_busy = False
        self._maybe_snapshot()
        self.enter(self.core.applied(self.applied, self.node.now()))

    def _restore(self, meta: SnapshotMeta) -> None:
        self.checkers.installed(self.node.name, meta.index)
        self.stores.restore(meta)
        self.world.stats["snapshots installed"] += 1
        self.applied, self.applied_term = meta.index, meta.term
        self._since_snapshot = 0

    def _apply(self, entry: Entry) -> None:
        self.checkers.applying(self.node.name, entry)
        self.applied, self.applied_term = entry.index, entry.term
        self._since_snapshot += 1
        result = b""
        if entry.type is EntryType.BATCH:
            result = self.stores.host.apply_batch(entry.index, entry.term, entry.payload)
            self.checkers.applied_result(self.node.name, entry.index, entry.payload, result)
        answer = self._waiters.pop((entry.index, entry.term), None)
        if answer is not None:
            answer("ok", result)

    def _maybe_snapshot(self) -> None:
        if self.plan.snapshot_entries and self._since_snapshot >= self.plan.snapshot_entries:
            self.take_snapshot()

    def take_snapshot(self) -> None:
        if self.snapshot_worker.taking or not self.applied:
            return
        self._since_snapshot = 0
        sessions, chunks = self.stores.host.capture()
        configuration = self.node.cluster.configuration
        self.snapshot_worker.take(self.applied, self.applied_term, configuration, sessions, chunks)

    # clients

    def submit(self, payload: bytes, answer: Answer) -> None:
        """A client's frame. All that arrive within a turn of the loop become one append."""
        if not self.plan.propose_delay:
            self._propose([(payload, answer)])
            return
        self._proposals.append((payload, answer))
        if len(self._proposals) == 1:
            self.world.after(self.plan.propose_delay, self._propose_later)

    def _propose_later(self) -> None:
        if self.alive:
            self.node.run(self._propose_queued)

    def _propose_queued(self) -> None:
        if self.alive:
            batch, self._proposals = self._proposals, []
            self._propose(batch)

    def _propose(self, batch: list[tuple[bytes, Answer]]) -> None:
        self.world.events += 1
        try:
            effects = self.core.propose([payload for payload, _ in batch], self.node.now())
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
        self.enter(effects)

    def read(self, query: bytes, answer: Answer) -> None:
        self.world.events += 1
        self._read_number += 1
        token = self._read_number
        self._read_floor[token] = (self.checkers.read_arrives(), (query,), answer)
        self.world.trace(self.node.name, f"read {token}")
        try:
            effects = self.core.read(self.node.now(), token)
        except NotLeader as error:
            del self._read_floor[token]
            answer("refused", error.leader)
            return
        except Unavailable:
            del self._read_floor[token]
            answer("refused", None)
            return
        self.enter(effects)

    def _read_confirmed(self, token: int, index: Index) -> None:
        floor, _, _ = self._read_floor[token]
        self.world.trace(self.node.name, f"read {token} confirmed at {index}")
        self.checkers.read_confirmed(self.node.name, index, floor)
        self.world.stats["reads confirmed"] += 1
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
            _, queries, answer = self._read_floor.pop(token)
            answer("ok", self.stores.host.query(queries[0]))

    def _read_failed(self, token: int, error: NotLeader) -> None:
        _, _, answer = self._read_floor.pop(token)
        self.world.stats["reads failed"] += 1
        answer("refused", error.leader)


def sender_incarnation(call: Call) -> Incarnation:
    """The incarnation that the sender had when it sent."""
    return call.sender.core.identity.incarnation
