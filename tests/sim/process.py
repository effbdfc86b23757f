"""One life of raftd on a node: a driver of the core, as effects.py wants it, on simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raftd.core.core import RaftCore
from raftd.core.effects import Effects
from raftd.core.messages import Channel, HelloRequest, Reply, SnapshotRequest
from raftd.core.types import Identity, Incarnation, NodeId, Role, Term
from tests.sim.application import Application
from tests.sim.disk_worker import LogWorker, SnapshotWorker
from tests.sim.network import Call
from tests.sim.plan import Plan
from tests.sim.stores import Stores
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.node import Node

TICK_SPACING = 0.0002
"""Seconds between two ticks at least: what is due stays due until a sender pulls it."""

PULLS_MAX = 2_000
"""More requests than that at one wake-up mean that the core floods."""


class Process:
    """One life. Everything in it is gone when it ends; what it synced is not."""

    def __init__(self, node: Node) -> None:
        self.node: Node = node
        self.world: World = node.world
        self.checkers = node.cluster.checkers
        self.plan: Plan = node.cluster.plan
        self.stores: Stores
        self.core: RaftCore
        self.log_worker: LogWorker
        self.snapshot_worker: SnapshotWorker
        self.app = Application(self)
        self._pulls: set[tuple[NodeId, Channel]] = set()
        self._timer_at = float("inf")
        self._ticked_at = float("-inf")
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
        self.checkers.fail(
            "bounds", f"{name} hands out more than {PULLS_MAX} requests to {peer} at once"
        )

    def _transmit(self, peer: NodeId, channel: Channel, request: Any) -> None:
        settings = self.plan.settings
        patience = settings.election_timeout_min / 2
        if channel is Channel.APPEND:
            patience = settings.election_timeout_max * 2
        elif channel is Channel.BULK:
            patience = settings.election_timeout_max * 4
        expected = self.core.expected_incarnation(peer)
        if not isinstance(request, HelloRequest) and expected is None:
            self.checkers.fail(
                "admission",
                f"{self.node.name} sends {request} to {peer}, which it has not recorded",
            )
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
        if not hello and self.core.expected_incarnation(sender.name) not in (
            None,
            sender_incarnation(call),
        ):
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


def sender_incarnation(call: Call) -> Incarnation:
    """The incarnation that the sender had when it sent."""
    return call.sender.core.identity.incarnation
