"""The simulated network: calls between nodes that are lost, late, doubled, reordered or refused.

Every request that a node pulls becomes a Call, and every Call ends in exactly one `on_reply` or
`unreachable` at its sender, as with real RPCs. Control and bulk calls are unary and independent.
Appends go over a stream that keeps order and breaks on a loss (all that is in flight on it becomes
unreachable, while what was sent may still arrive), or, in some seeds, like datagrams. What is under
way outlives both ends: a request from a process that has died since is still delivered, also to a
process that has been restarted in the meantime.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from raftd.core.messages import Channel, Reply, Request, SnapshotRequest, TimeoutNowRequest
from raftd.core.types import Incarnation, NodeId
from tests.sim.plan import NetworkPlan
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.messages import Messages
    from tests.sim.node import Node

CHUNKS_LOST = 0.7
HANDOVERS_LOST = 0.8
"""Probabilities, while such losses go on."""


class Call:
    """One request under way."""

    __slots__ = ("channel", "deadline", "done", "peer", "request", "sender", "to_incarnation")

    def __init__(
        self,
        sender: Messages,
        peer: NodeId,
        channel: Channel,
        request: Request,
        to_incarnation: Incarnation | None,
        deadline: float,
    ) -> None:
        self.sender = sender
        self.peer = peer
        self.channel = channel
        self.request = request
        self.to_incarnation = to_incarnation
        self.deadline = deadline
        self.done = False


class Stream:
    """The append stream of one directed pair: arrival times only grow while it lasts."""

    __slots__ = ("calls", "last_arrival", "last_return")

    def __init__(self) -> None:
        self.last_arrival = 0.0
        self.last_return = 0.0
        self.calls: list[Call] = []


class Deadlines:
    """Calls of one class in order of their deadlines, with one event for the oldest."""

    __slots__ = ("_armed", "_calls", "_expire", "_world")

    def __init__(self, world: World, expire: Callable[[Call], None]) -> None:
        self._world = world
        self._calls: deque[Call] = deque()
        self._armed = False
        self._expire = expire

    def add(self, call: Call) -> None:
        self._calls.append(call)
        if not self._armed:
            self._armed = True
            self._world.at(call.deadline, self._fire)

    def _fire(self) -> None:
        self._armed = False
        calls = self._calls
        while calls:
            call = calls[0]
            if not call.done and call.deadline > self._world.now:
                break
            calls.popleft()
            if not call.done:
                self._expire(call)
        if calls and not self._armed:
            self._armed = True
            self._world.at(calls[0].deadline, self._fire)


class Network:
    def __init__(self, world: World, plan: NetworkPlan, nodes: dict[NodeId, Node]) -> None:
        self._world = world
        self._rng: random.Random = world.stream("network")
        self.plan = plan
        self._nodes = nodes
        self.cut: set[tuple[NodeId, NodeId]] = set()
        """Directed pairs that pass nothing. Only membership is asked of it, never its order."""
        self.losing: dict[str, float] = {}
        """Rare losses that go on, and until when: "chunks-lost", "handover-lost"."""
        self.fat_chunks = 0
        """How many snapshot chunks are to carry more than was announced."""
        self._streams: dict[tuple[NodeId, NodeId], Stream] = {}
        self._deadlines: dict[tuple[NodeId, NodeId, Channel], Deadlines] = {}

    # sending

    def send(
        self,
        process: Messages,
        peer: NodeId,
        channel: Channel,
        request: Request,
        to_incarnation: Incarnation | None,
        patience: float,
    ) -> None:
        """Start a call; `patience` is its deadline in seconds from now."""
        world = self._world
        call = Call(process, peer, channel, request, to_incarnation, world.now + patience)
        me = process.node.name
        world.stats["messages"] += 1
        if channel is Channel.APPEND and self.plan.fifo_appends:
            self._send_on_stream(me, call, patience)
        else:
            self._send_datagram(me, call)
        self._watch(me, call)

    def _watch(self, me: NodeId, call: Call) -> None:
        key = (me, call.peer, call.channel)
        deadlines = self._deadlines.get(key)
        if deadlines is None:
            deadlines = self._deadlines[key] = Deadlines(self._world, self._expired)
        deadlines.add(call)

    def _send_datagram(self, me: NodeId, call: Call) -> None:
        rng, plan, world = self._rng, self.plan, self._world
        if (me, call.peer) in self.cut or (plan.loss and rng.random() < plan.loss):
            world.stats["lost"] += 1
            return
        if (self.losing or self.fat_chunks) and self._goes_wrong(call):
            return
        world.after(self._delay(), self._arrive, call)
        if plan.duplicate and rng.random() < plan.duplicate:
            world.stats["duplicated"] += 1
            world.after(self._delay() * 3, self._arrive, call)

    def _goes_wrong(self, call: Call) -> bool:
        """True: lost. A chunk may also become larger than its sender said."""
        request = call.request
        if isinstance(request, SnapshotRequest):
            lost = "chunks-lost" in self.losing and self._rng.random() < CHUNKS_LOST
            if self.fat_chunks and not lost:
                self.fat_chunks -= 1
                self._world.stats["fat chunks"] += 1
                rest = request.meta.size_bytes - request.offset
                call.request = replace(request, data=request.data.ljust(rest, b"!") + b"!")
        else:
            lost = (
                isinstance(request, TimeoutNowRequest)
                and "handover-lost" in self.losing
                and self._rng.random() < HANDOVERS_LOST
            )
        self._world.stats["rare losses"] += lost
        return lost

    def is_cut_off(self, name: NodeId) -> bool:
        """It neither reaches nor hears anybody."""
        others = [other for other in self._nodes if other != name]
        return bool(others) and all(
            (name, other) in self.cut and (other, name) in self.cut for other in others
        )

    def _send_on_stream(self, me: NodeId, call: Call, patience: float) -> None:
        rng, plan, world = self._rng, self.plan, self._world
        stream = self._streams.get((me, call.peer))
        if stream is None:
            stream = self._streams[me, call.peer] = Stream()
        stream.calls.append(call)
        call.sender.checkers.in_flight(me, call.peer, [c.request for c in stream.calls])
        if (me, call.peer) in self.cut:
            world.stats["lost"] += 1
            return
        if plan.loss and rng.random() < plan.loss * 0.3:
            world.after(self._delay(), self._break_stream, me, call.peer)
            return
        stream.last_arrival = max(stream.last_arrival, world.now + self._delay())
        world.at(stream.last_arrival, self._arrive, call)

    def _delay(self) -> float:
        plan = self.plan
        return plan.delay_min + self._rng.expovariate(1.0) * plan.delay_mean

    # arriving

    def _arrive(self, call: Call) -> None:
        node = self._nodes[call.peer]
        if node.process is None:
            if (call.peer, call.sender.node.name) not in self.cut:
                self._fail_soon(call)
            return
        node.run(node.process.receive, call)

    def reply(self, process: Messages, call: Call, reply: Reply) -> None:
        """Called by the replier's driver; the answer may be lost like anything else."""
        if call.done:
            return
        rng, plan, world = self._rng, self.plan, self._world
        me, back = process.node.name, call.sender.node.name
        if (me, back) in self.cut or (plan.loss and rng.random() < plan.loss):
            world.stats["lost"] += 1
            return
        at = world.now + self._delay()
        if plan.reply_hold and rng.random() < plan.reply_hold:
            at += 0.2 + rng.random() * 2.0
        if call.channel is Channel.APPEND and plan.fifo_appends:
            stream = self._streams.get((back, me))
            if stream is not None:
                at = stream.last_return = max(stream.last_return, at)
        world.at(at, self._return, call, reply, process.node.incarnation)

    def _return(self, call: Call, reply: Reply, incarnation: Incarnation) -> None:
        if call.done:
            return
        process = call.sender
        if process.node.process is not process:
            call.done = True
            return
        if call.to_incarnation not in (None, incarnation):
            self._fail(call)
            return
        process.node.run(self._hand_reply, call, reply)

    def _hand_reply(self, call: Call, reply: Reply) -> None:
        if call.done or call.sender.node.process is not call.sender:
            return
        self._finish(call)
        call.sender.on_reply(call, reply)

    # failing

    def _finish(self, call: Call) -> None:
        call.done = True
        if call.channel is Channel.APPEND and self.plan.fifo_appends:
            stream = self._streams.get((call.sender.node.name, call.peer))
            if stream is not None and call in stream.calls:
                stream.calls.remove(call)

    def _fail_soon(self, call: Call) -> None:
        if call.channel is Channel.APPEND and self.plan.fifo_appends:
            self._world.after(0.001, self._break_stream, call.sender.node.name, call.peer)
        else:
            self._world.after(0.001, self._fail, call)

    def fail(self, call: Call) -> None:
        """Refused by the receiver's envelope check: the sender sees an error."""
        if not call.done:
            self._fail_soon(call)

    def _fail(self, call: Call) -> None:
        if call.done:
            return
        if call.sender.node.process is not call.sender:
            call.done = True
            return
        call.sender.node.run(self._hand_failure, call)

    def _hand_failure(self, call: Call) -> None:
        if call.done or call.sender.node.process is not call.sender:
            return
        self._finish(call)
        self._world.stats["unreachable"] += 1
        call.sender.unreachable(call)

    def _expired(self, call: Call) -> None:
        if call.channel is Channel.APPEND and self.plan.fifo_appends:
            self._break_stream(call.sender.node.name, call.peer)
        self._fail(call)

    def _break_stream(self, me: NodeId, peer: NodeId) -> None:
        stream = self._streams.pop((me, peer), None)
        if stream is None:
            return
        self._world.stats["streams cut"] += 1
        for call in list(stream.calls):
            self._fail(call)

    def node_down(self, name: NodeId) -> None:
        """A process died: its sockets close, and its peers notice, now or by deadlines."""
        for key in [key for key in self._streams if name in key]:
            if key[0] == name:
                self._streams.pop(key)
            elif (name, key[0]) not in self.cut and self._rng.random() < self.plan.notice_crash:
                self._world.after(self._delay(), self._break_stream, *key)
        for other in self._nodes.values():
            if other.name == name or (name, other.name) in self.cut:
                continue
            if self._rng.random() < self.plan.notice_crash:
                self._world.after(self._delay(), self._link_lost, other, name)

    def _link_lost(self, node: Node, peer: NodeId) -> None:
        if node.process is not None:
            node.run(node.process.link_lost, peer)

    def passes(self, source: NodeId, target: NodeId) -> bool:
        return (source, target) not in self.cut
