"""What a process says to its peers and hears from them: looked at, then handed over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raftd.core.messages import Channel, HelloRequest, Reply, Request, SnapshotRequest
from raftd.core.types import Incarnation, NodeId
from raftd.node.node import Node as RaftdNode
from raftd.node.outcomes import NodeStopped
from tests.sim import wire
from tests.sim.network import Call
from tests.sim.plan import Plan
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.node import Node
    from tests.sim.watched import WatchedCore

CODED_ONE_IN = 4
"""Messages go through the codec."""
PULLS_MAX = 2_000
"""More requests than that at one wake-up mean that the core floods."""


class Messages(ABC):
    core: WatchedCore
    raftd: RaftdNode

    def __init__(self, node: Node) -> None:
        self.node: Node = node
        self.world: World = node.world
        self.checkers = node.cluster.checkers
        self.plan: Plan = node.cluster.plan

    @property
    def alive(self) -> bool:
        return self.node.process is self

    @abstractmethod
    def run(self, call: Callable[..., None], *args: Any) -> None:
        """Call this on the network thread, as soon as that is free and not paused."""

    # what comes in

    def link_lost(self, peer: NodeId) -> None:
        if self.alive:
            self.world.events += 1
            self.world.trace(self.node.name, f"link lost {peer}")
            self.run(self.raftd.link_lost, peer)

    def receive(self, call: Call) -> None:
        self.run(self._receive, call)

    def _receive(self, call: Call) -> None:
        if not self._accepts(call):
            return
        try:
            self.raftd.step(call.request, lambda reply: self._send_reply(call, reply))
        except NodeStopped:
            self.node.cluster.network.fail(call)

    def on_reply(self, call: Call, reply: Reply) -> None:
        self.run(self._on_reply, call, reply)

    def _on_reply(self, call: Call, reply: Reply) -> None:
        self.world.events += 1
        self.world.trace(self.node.name, f"<= {call.peer}", reply)
        self.raftd.on_reply(call.peer, call.request, reply)

    def unreachable(self, call: Call) -> None:
        self.run(self._unreachable, call)

    def _unreachable(self, call: Call) -> None:
        self.world.events += 1
        self.world.trace(self.node.name, f"lost {call.peer}", call.request)
        self.raftd.unreachable(call.peer, call.request)

    def _accepts(self, call: Call) -> bool:
        """The envelope check that the shell does; a call that fails it is failed at its sender."""
        node = self.node
        hello = isinstance(call.request, HelloRequest)
        wrong = call.to_incarnation not in (None, node.incarnation)
        if not hello and self.core.expected_incarnation(call.sender.node.name) not in (
            None,
            sender_incarnation(call),
        ):
            wrong = True
        if wrong and not (hello and call.to_incarnation is None):
            self.world.stats["envelopes refused"] += 1
            node.cluster.network.fail(call)
            return False
        self.world.events += 1
        self.world.trace(node.name, f"<- {call.sender.node.name}", call.request)
        return True

    # what goes out

    def pulled(self, peer: NodeId, request: Request) -> None:
        """The core has handed out a request: look at it before it leaves."""
        self.world.trace(self.node.name, f"-> {peer}", request)
        self.checkers.request(self.node.name, self.core, peer, request)
        if self._is_looked_at() and (spoilt := wire.request_lost(request, self.node.name)):
            self.checkers.fail("wire-keeps-messages", f"{self.node.name} to {peer}: {spoilt}")

    def _is_looked_at(self) -> bool:
        """Of all messages so many: to look at each costs a third of a run."""
        return self.world.events % CODED_ONE_IN == 0

    def floods(self, peer: NodeId) -> None:
        self.checkers.fail(
            "bounds",
            f"{self.node.name} hands out more than {PULLS_MAX} requests to {peer} at once",
        )

    def transmit(self, peer: NodeId, channel: Channel, request: Any) -> None:
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
        if self.core.expected_incarnation(peer) is None:
            # Removed while the file was read. The product's sender refuses to send it just so.
            self.world.stats["chunks too late"] += 1
            self.raftd.unreachable(peer, request)
            return
        self.world.stats["snapshot chunks"] += 1
        self.transmit(peer, Channel.BULK, request)

    def _send_reply(self, call: Call, reply: Reply) -> None:
        self.world.trace(self.node.name, f"=> {call.sender.node.name}", reply)
        if self.world.watch is not None:
            said = call.request, reply
            self.world.watch(self.world.now, self.node.name, "answers", said)
        self.checkers.reply(self.node.name, reply, call.request)
        if self._is_looked_at() and (spoilt := wire.reply_lost(call.request, reply)):
            self.checkers.fail("wire-keeps-messages", f"{self.node.name} answers: {spoilt}")
        self.node.cluster.network.reply(self, call, reply)


def sender_incarnation(call: Call) -> Incarnation:
    """The incarnation that the sender had when it sent."""
    return call.sender.core.identity.incarnation
