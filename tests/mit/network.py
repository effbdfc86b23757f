"""The labs' network: calls that are late, lost on the way there or back, or held; dead links.

    reliable          a call takes 0.1-1 ms each way
    unreliable        each request waits 0-26 ms; 10 % are lost before the server sees them, 10 % of
                      the replies afterwards; the caller of a lost call hears so at once
    long reordering   two of three replies are held 200-2199 ms, most of them briefly
    dead link or end  the call fails after 0-6999 ms (long delays), else after 0-99 ms

Beyond the labs, an unreliable network doubles 2 % of the requests. Every message is a datagram:
nothing is in order, on the append channel neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raftd.core.messages import Channel, HelloRequest, Reply, Request
from raftd.core.types import Incarnation, NodeId
from tests.mit import sizes
from tests.sim.network import Call, Network

if TYPE_CHECKING:
    from tests.sim.messages import Messages

DELAY_MAX_MS = 26
LOST = 0.1
DOUBLED = 0.02
HELD = 2 / 3
HELD_FROM_MS, HELD_SPREAD_MS = 200, 2000
DEAD_MS, DEAD_LONG_MS = 99, 6999


@dataclass(slots=True)
class Mode:
    unreliable: bool = False
    long_reordering: bool = False
    long_delays: bool = True
    count_bytes: bool = False


class LabNetwork(Network):
    """Between servers. `cut` of the base class holds the directed links that are off."""

    mode: Mode
    requests: dict[NodeId, int]
    """Requests received, by server; Hello is not counted."""
    bytes: int
    """Of requests and replies in their protobuf form, if the mode counts them."""

    def prepare(self, mode: Mode) -> None:
        self.mode = mode
        self.requests = dict.fromkeys(self._nodes, 0)
        self.bytes = 0

    # draws

    def delay(self) -> float:
        """How long a request travels, in seconds."""
        if self.mode.unreliable:
            return self._rng.randint(0, DELAY_MAX_MS) / 1000
        return 0.0001 + self._rng.random() * 0.0009

    def loses(self) -> bool:
        return self.mode.unreliable and self._rng.random() < LOST

    def dead_after(self) -> float:
        """Seconds until a caller is told that nobody answers."""
        most = DEAD_LONG_MS if self.mode.long_delays else DEAD_MS
        return self._rng.randint(0, most) / 1000

    def _held(self) -> float:
        if not self.mode.long_reordering or self._rng.random() >= HELD:
            return 0.0
        spread = self._rng.randrange(1 + self._rng.randrange(HELD_SPREAD_MS))
        return (HELD_FROM_MS + spread) / 1000

    # calls

    def send(
        self,
        process: Messages,
        peer: NodeId,
        channel: Channel,
        request: Request,
        to_incarnation: Incarnation | None,
        patience: float,
    ) -> None:
        world = self._world
        call = Call(process, peer, channel, request, to_incarnation, world.now + patience)
        me = process.node.name
        world.stats["messages"] += 1
        if self.mode.count_bytes:
            self.bytes += sizes.of_request(request, call)
        self._watch(me, call)
        if not self.passes(me, peer) or self._nodes[peer].process is None:
            world.after(self.dead_after(), self._fail, call)
            return
        delay = self.delay()
        if self.loses():
            world.stats["lost"] += 1
            world.after(delay, self._fail, call)
            return
        world.after(delay, self._arrive, call)
        if self.mode.unreliable and self._rng.random() < DOUBLED:
            world.stats["duplicated"] += 1
            world.after(self.delay(), self._arrive, call)

    def _arrive(self, call: Call) -> None:
        node = self._nodes[call.peer]
        if node.process is None:
            self._world.after(self.dead_after(), self._fail, call)
            return
        if not isinstance(call.request, HelloRequest):
            self.requests[call.peer] += 1
        node.run(node.process.receive, call)

    def reply(self, process: Messages, call: Call, reply: Reply) -> None:
        if call.done:
            return
        me, back, world = process.node.name, call.sender.node.name, self._world
        if self.mode.count_bytes:
            self.bytes += sizes.of_reply(reply, call)
        if not self.passes(back, me):
            world.after(self.dead_after(), self._fail, call)
        elif self.loses():
            world.stats["lost"] += 1
            world.after(0.0001, self._fail, call)
        else:
            back_again = 0.0001 + self._rng.random() * 0.0009
            world.after(
                back_again + self._held(), self._return, call, reply, process.node.incarnation
            )
