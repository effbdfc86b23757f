"""A driver of the core, as effects.py wants it, on simulated time: small, fast, none that ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftd.core.core import RaftCore
from raftd.core.effects import Effects, NotLeader, Unavailable
from raftd.core.messages import Channel, Reply, SnapshotRequest
from raftd.core.types import Identity, NodeId, Role, Term
from raftd.storage.errors import StorageError
from tests.sim.application import Application
from tests.sim.disk_worker import LogWorker, SnapshotWorker
from tests.sim.network import Call
from tests.sim.process import PULLS_MAX, Process

if TYPE_CHECKING:
    from tests.sim.node import Node

TICK_SPACING = 0.0002
"""Seconds between two ticks at least: what is due stays due until a sender pulls it."""


class LightProcess(Process):
    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.core: RaftCore
        self.app: Application = Application(self)
        self.log_worker: LogWorker
        self.snapshot_worker: SnapshotWorker
        self._pulls: set[tuple[NodeId, Channel]] = set()
        self._timer_at = float("inf")
        self._ticked_at = float("-inf")
        self.leading_term: Term | None = None

    # life and death

    def _assemble(self, identity: Identity) -> None:
        node = self.node
        self.core = RaftCore(
            identity,
            self.plan.settings,
            node.first_configuration,
            self.stores.recovered,
            node.cluster.core_rng(node),
            node.now(),
        )
        self.log_worker = LogWorker(self)
        self.snapshot_worker = SnapshotWorker(self)

    def go(self) -> None:
        self.enter(self.core.start(self.node.now()))

    def stop(self) -> None:
        try:
            self.log_worker.stop()
        except StorageError:
            return
        self.node.stopped()

    def cut_short(self) -> None:
        jobs = [self.log_worker.cut_short, self.snapshot_worker.cut_short]
        if self.node.disk.rng.random() < 0.5:
            jobs.reverse()
        for job in jobs:
            job()

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
        self.app.take(effects)
        for token, request in effects.chunks:
            self.snapshot_worker.chunk(token, request)
        for token, index in effects.reads:
            self.app.read_confirmed(token, index)
        for token, error in effects.failed:
            self.app.read_failed(token, error)
        if effects.released:
            self.log_worker.release(effects.released)
        for event in effects.events:
            world.trace(name, "event", event)
            world.stats[f"event {event.kind}"] += 1
            self.saw(event)
        checkers.after(name, self.core)
        self._note_role()
        self._pull(effects.wake)
        self.app.go_on()
        self.wake_timer()

    def _note_role(self) -> None:
        core = self.core
        term = core.current_term if core.role is Role.LEADER else None
        if self.leading_term is not None and term != self.leading_term:
            self.world.stats["step-downs"] += 1
            self.app.leadership_lost()
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

    def woken(self) -> None:
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
                self.world.after(
                    self.node.disk.rng.random() * delay, self._pull_later, peer, channel
                )

    def _pull_later(self, peer: NodeId, channel: Channel) -> None:
        self._pulls.discard((peer, channel))
        if self.alive:
            self.node.run(self._pull_and_look, peer, channel)

    def _pull_and_look(self, peer: NodeId, channel: Channel) -> None:
        if self.alive:
            self._pull_now(peer, channel)
            self.wake_timer()

    def _pull_now(self, peer: NodeId, channel: Channel) -> None:
        core, now = self.core, self.node.now()
        for _ in range(PULLS_MAX):
            request = core.next_request(peer, channel, now)
            if request is None:
                return
            self.pulled(peer, request)
            if isinstance(request, SnapshotRequest):
                self.snapshot_worker.send_chunk(peer, request)
            else:
                self.transmit(peer, channel, request)
        self.floods(peer)

    def receive(self, call: Call) -> None:
        if self.alive and self._accepts(call):
            self.enter(self.core.step(call.request, self.node.now(), call))

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

    def transfer(self, target: NodeId) -> None:
        try:
            self.enter(self.core.transfer(target, self.node.now()))
            self.world.stats["transfers"] += 1
        except (NotLeader, Unavailable):
            return
