"""Where the nodes are, and which process speaks as each: what the own configuration says, and what
they say of themselves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from raftd.core.types import Member, NodeId

ADDRESS_MAX = 512
ADVERTISED_MAX = 1024


LATE_SECONDS = 10.0
"""A process that has ended may be heard so long after its successor: calls have deadlines, and a
connection whose other end is gone is given up within a few seconds."""

TOLD_SECONDS = 60.0
"""So long after the last sign of two processes this node says so."""

LIVES_MAX = 16
"""Past processes of one node that are remembered; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Each `host:port`, or empty when unknown. gateway_address: of the JSON gateway."""

    peer_address: str = ""
    client_address: str = ""
    gateway_address: str = ""


class Directory:
    """Addresses by node id, field by field: what an operator set at run time counts first, then
    this node's own settings, then what the node says of itself, then what the cluster was told when
    the node was added.

    Network thread only.
    """

    def __init__(self, configured: Mapping[NodeId, PeerAddress]) -> None:
        self._configured = dict(configured)
        self._advertised: dict[NodeId, PeerAddress] = {}
        self._agreed: dict[NodeId, Member] = {}
        self._protocols: dict[NodeId, int] = {}
        self.lives = Lives()
        self.heard = 0
        """It moves when a node has told another protocol than before."""
        self.unfit: Callable[[int], str] = lambda protocol: ""
        """Why a node that speaks this protocol may not take part; empty when it may."""
        self.moved: Callable[[NodeId], None] = lambda node: None
        """Told whose peer address is another one by what that node has just said of itself."""

    def agree(self, members: Iterable[Member]) -> None:
        """What the configuration in force says of its members."""
        self._agreed = {member.node: member for member in members}

    def advertise(self, node: NodeId, address: PeerAddress, protocol: int = 0) -> None:
        """What `node` said of itself. What cannot be an address is ignored.

        protocol: what it understands; 0: it did not say.
        """
        if node not in self._advertised and len(self._advertised) >= ADVERTISED_MAX:
            return  # no cluster is that large: somebody makes up names
        before = self.get(node).peer_address
        self._advertised[node] = PeerAddress(
            _plausible(address.peer_address),
            _plausible(address.client_address),
            _plausible(address.gateway_address),
        )
        if protocol and self._protocols.get(node) != protocol:
            self._protocols[node] = protocol
            self.heard += 1
        if self.get(node).peer_address != before:
            self.moved(node)

    def protocol(self, node: NodeId) -> int:
        """What it understands; 0: it was not heard since this process began."""
        return self._protocols.get(node, 0)

    def get(self, node: NodeId | None) -> PeerAddress:
        """Empty fields where nothing is known, also for None."""
        if node is None:
            return PeerAddress()
        agreed = self._agreed.get(node, Member(node))
        found = [
            self._configured.get(node, PeerAddress()),
            self._advertised.get(node, PeerAddress()),
        ]
        found.insert(
            0 if agreed.moved else 2, PeerAddress(agreed.peer_address, agreed.client_address)
        )
        return PeerAddress(
            next((at.peer_address for at in found if at.peer_address), ""),
            next((at.client_address for at in found if at.client_address), ""),
            next((at.gateway_address for at in found if at.gateway_address), ""),
        )

    def client_address(self, node: NodeId | None) -> str:
        return self.get(node).client_address


def is_address(text: str) -> bool:
    """Whether it looks like host:port: what nodes and operators tell of others may be anything."""
    host, colon, port = text.rpartition(":")
    fits = len(text) <= ADDRESS_MAX and text.isascii() and text.isprintable()
    return bool(fits and host and colon and port.isdigit())


def _plausible(address: str) -> str:
    return address if is_address(address) else ""


@dataclass(slots=True)
class Speaker:
    """One node's processes. past: when each gave way to another one, and when it was last heard.

    refused: of two that live at a time, the one not to be believed. seen: when that was found, or
    it was last heard.
    """

    life: int
    past: dict[int, tuple[float, float]] = field(default_factory=dict)
    refused: dict[int, None] = field(default_factory=dict)
    seen: float = float("-inf")


class Lives:
    """Which process speaks as each node. A copied data directory that runs beside its original has
    the same id and incarnation, and would vote a second time.

    A process draws its life when it starts. One that is heard again long after another one took its
    place has never ended, so there are two, and one of them is refused until it starts again, by
    then as the only one. If the first has gone on speaking that is the second; if it was silent,
    the first. The story without it: a machine hung, a copy of its disk stood in for it, and when it
    woke up it was believed, with its votes and log of the past, in place of the other.

    Network thread; `twins`: any thread.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, own: int = 0) -> None:
        """now: a monotonic clock. own: this process's life; 0: drawn here."""
        self.own = own or random.SystemRandom().getrandbits(63) + 1
        self._now = now
        self._speakers: dict[NodeId, Speaker] = {}

    def refuses(self, node: NodeId, life: int) -> bool:
        """`node` speaks, and has proved that it may. True: a second process does, in its name.

        life: 0: its version does not say.
        """
        known = self._speakers.get(node)
        if known is not None and known.life == life:
            return False
        return self._of_another(node, known, life) if life else False

    def _of_another(self, node: NodeId, known: Speaker | None, life: int) -> bool:
        if known is None:
            if len(self._speakers) < ADVERTISED_MAX:
                self._speakers[node] = Speaker(life)
            return False
        now = self._now()
        if life in known.refused:
            known.seen = now
            return True
        gave_way, heard = known.past.get(life, (now, now))
        if now - heard > LATE_SECONDS:
            self._refuse(known, life, now)
            return True
        if life in known.past and now - gave_way <= LATE_SECONDS:
            known.past[life] = gave_way, now  # the last words of a process that has ended
            return False
        if life in known.past:
            self._refuse(known, known.life, now)
        known.past[known.life] = now, now
        known.past.pop(life, None)
        known.life = life
        _forget_oldest(known.past)
        return False

    def _refuse(self, known: Speaker, life: int, now: float) -> None:
        known.refused[life] = None
        known.seen = now
        _forget_oldest(known.refused)

    def twins(self) -> Iterator[str]:
        """A sentence for each node that was two lately."""
        for node, known in list(self._speakers.items()):
            if self._now() - known.seen < TOLD_SECONDS:
                yield TWINS.format(node=node)


def _forget_oldest(lives: dict[int, Any]) -> None:
    while len(lives) > LIVES_MAX:
        lives.pop(next(iter(lives)))


TWINS = (
    "two processes run as {node}, with copies of one data directory: one of them is refused here. "
    "Stop the one that should not be, and start the other one again"
)
