"""Peers that said what no correct peer can say: told of, counted, and forgotten after a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raftd.core.events import EventKind
from raftd.core.types import NodeId
from raftd.node.driver import CoreDriver

PEERS_MAX = 64
TELL_SECONDS = 60.0
"""An event for the first message of a peer, then at most one in so long while it goes on."""

ILL_SECONDS = 60.0
"""How long after the last such message the node calls itself ill."""


@dataclass(slots=True)
class Suspect:
    what: str
    count: int
    last: float
    told: float


class Suspects:
    """Network thread; `problems` and `total`: any thread."""

    def __init__(self, driver: CoreDriver) -> None:
        self.total = 0
        """Messages refused since the start."""
        self._driver = driver
        self._clock = driver.clock
        self._peers: dict[NodeId, Suspect] = {}

    def suspect(self, peer: NodeId, what: str) -> None:
        """`peer`, or somebody in its name, sent what no correct node can send; it was refused.

        Its name is not shut out: whoever forges it could then shut out the peer itself.
        """
        self.total += 1
        if self._note(peer, what, self._clock.now()):
            text = f"refused {peer}: {what}"
            self._driver.tell([self._driver.event(EventKind.IMPOSSIBLE_MESSAGE, text, peer)])

    def _note(self, peer: NodeId, what: str, now: float) -> bool:
        """True if it is worth an event."""
        known = self._peers.get(peer)
        if known is None:
            if len(self._peers) >= PEERS_MAX:
                self._peers.pop(next(iter(self._peers)))
            self._peers[peer] = Suspect(what, 1, now, now)
            return True
        known.what, known.count, known.last = what, known.count + 1, now
        if now - known.told < TELL_SECONDS:
            return False
        known.told = now
        return True

    def problems(self) -> Sequence[str]:
        now = self._clock.now()
        return [
            f"{peer} sends what no correct node can send, or somebody in its name: {found.what} "
            f"(refused {found.count} times, the last {now - found.last:.0f} s ago): look at its log"
            for peer, found in tuple(self._peers.items())
            if now - found.last < ILL_SECONDS
        ]
