"""Where the nodes are: what the own configuration says, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from raftd.core.types import Member, NodeId

ADDRESS_MAX = 512
ADVERTISED_MAX = 1024


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
