"""Where the nodes are: what the own configuration says, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raftd.core.types import NodeId

ADDRESS_MAX = 512
ADVERTISED_MAX = 1024


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Each `host:port`, or empty when unknown. gateway_address: of the JSON gateway."""

    peer_address: str = ""
    client_address: str = ""
    gateway_address: str = ""


class Directory:
    """Addresses by node id. The own configuration overrides, field by field, what Hello advertises.

    Network thread only.
    """

    def __init__(self, configured: Mapping[NodeId, PeerAddress]) -> None:
        self._configured = dict(configured)
        self._advertised: dict[NodeId, PeerAddress] = {}

    def advertise(self, node: NodeId, address: PeerAddress) -> None:
        """What `node` said of itself. What cannot be an address is ignored."""
        if node not in self._advertised and len(self._advertised) >= ADVERTISED_MAX:
            return  # no cluster is that large: somebody makes up names
        self._advertised[node] = PeerAddress(
            _plausible(address.peer_address),
            _plausible(address.client_address),
            _plausible(address.gateway_address),
        )

    def get(self, node: NodeId | None) -> PeerAddress:
        """Empty fields where nothing is known, also for None."""
        if node is None:
            return PeerAddress()
        configured = self._configured.get(node, PeerAddress())
        advertised = self._advertised.get(node, PeerAddress())
        return PeerAddress(
            configured.peer_address or advertised.peer_address,
            configured.client_address or advertised.client_address,
            configured.gateway_address or advertised.gateway_address,
        )

    def client_address(self, node: NodeId | None) -> str:
        return self.get(node).client_address


def _plausible(address: str) -> str:
    host, colon, port = address.rpartition(":")
    fits = len(address) <= ADDRESS_MAX and address.isascii() and address.isprintable()
    return address if fits and host and colon and port.isdigit() else ""
