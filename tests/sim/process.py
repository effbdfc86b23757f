"""One life of raftd on a node, as the rest of the simulator sees it.

Two drivers stand behind it: `light.py` drives the core by a loop of its own, `shipped.py` puts
together what ships in raftd/node.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from raftd.core.changes import Change
from raftd.core.core import RaftCore
from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.messages import Channel, HelloRequest, Reply, Request, SnapshotRequest
from raftd.core.types import Identity, Incarnation, Index, NodeId
from tests.sim.network import Call
from tests.sim.plan import Plan
from tests.sim.stores import Stores
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.node import Node

PULLS_MAX = 2_000
"""More requests than that at one wake-up mean that the core floods."""

Answer = Callable[[str, Any], None]
"""How a client hears: ("ok", ...), ("refused", leader hint) or ("unknown", None)."""


class Door(Protocol):
    """What clients ask of a process."""

    @property
    def applied(self) -> Index: ...

    def submit(self, payload: bytes, answer: Answer) -> None: ...

    def read(self, query: bytes, answer: Answer) -> None: ...

    def change(self, change: Change) -> None:
        """Change the members, if it can."""
        ...

    def waiting(self) -> int:
        """How many have asked and not heard."""
        ...


class Process(ABC):
    """One life. Everything in it is gone when it ends; what it synced is not."""

    core: RaftCore
    stores: Stores
    app: Door

    def __init__(self, node: Node) -> None:
        self.node: Node = node
        self.world: World = node.world
        self.checkers = node.cluster.checkers
        self.plan: Plan = node.cluster.plan

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
        self._assemble(Identity(node.cluster.cluster_id, node.name, node.incarnation))
        return True

    @abstractmethod
    def _assemble(self, identity: Identity) -> None: ...

    @abstractmethod
    def go(self) -> None:
        """Begin to take part."""

    @abstractmethod
    def stop(self) -> None:
        """An orderly stop; some time later it is over, and the node is told (`Node.stopped`)."""

    @abstractmethod
    def cut_short(self) -> None:
        """Run what the disk had under way up to a random point, in random order."""

    def abandon(self) -> None:
        """The run is over: nothing of this process goes on."""
        return

    @property
    def alive(self) -> bool:
        return self.node.process is self

    def on_network(self, call: Callable[..., None], *args: Any) -> None:
        """Call this on the thread that owns a quick machine, when that is free."""
        self.node.run(call, *args)

    def machine_is_away(self) -> bool:
        """Is a snapshot being restored into it?"""
        return False

    # what happens to it

    def woken(self) -> None:
        """It was paused and goes on: what came in the meantime was kept, and comes now."""
        return

    def clock_jumped(self) -> None:
        """Its clock went ahead."""
        return

    @abstractmethod
    def link_lost(self, peer: NodeId) -> None: ...

    @abstractmethod
    def transfer(self, target: NodeId) -> None:
        """Hand leadership over, if it can."""

    def saw(self, event: Event) -> None:
        """Every event of the core."""
        if event.kind is EventKind.REMOVED:
            self.node.cluster.membership.removed(self.node)
        elif event.kind is EventKind.STATE_DIFFERS:
            self.checkers.fail("states-agree", f"{self.node.name}: {event.detail}")

    def operate(self, rng: random.Random) -> None:
        """An operator asks for something. Nobody can, of a driver that has no such door."""
        return

    @abstractmethod
    def receive(self, call: Call) -> None:
        """A peer's request."""

    @abstractmethod
    def on_reply(self, call: Call, reply: Reply) -> None: ...

    @abstractmethod
    def unreachable(self, call: Call) -> None: ...

    # messages

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

    def pulled(self, peer: NodeId, request: Request) -> None:
        """The core has handed out a request: look at it before it leaves."""
        self.world.trace(self.node.name, f"-> {peer}", request)
        self.checkers.request(self.node.name, self.core, peer, request)

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
        self.world.stats["snapshot chunks"] += 1
        self.transmit(peer, Channel.BULK, request)

    def _send_reply(self, call: Call, reply: Reply) -> None:
        self.world.trace(self.node.name, f"=> {call.sender.node.name}", reply)
        if self.world.watch is not None:
            said = call.request, reply
            self.world.watch(self.world.now, self.node.name, "answers", said)
        self.checkers.reply(self.node.name, reply, call.request)
        self.node.cluster.network.reply(self, call, reply)


def sender_incarnation(call: Call) -> Incarnation:
    """The incarnation that the sender had when it sent."""
    return call.sender.core.identity.incarnation
