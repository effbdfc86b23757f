"""How many connections there may be before the log, the snapshots and the peers lack a descriptor.

A crowd of idle connections must not take the file that the next segment of the log needs. So both
ports close what comes beyond their share of the limit; what the node opens itself is not in it.
"""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from raftd.rpc.etcd.gateway.http import GatewayLimits

OWN = 96
"""For segments, snapshots, the HTTP port's connections (64), and what libraries open."""

OWN_PER_PEER = 8
"""Connections to a peer, and those that are being made in their place."""

PEER_PORT_SHARE = 4
"""The peer port gets this part of what is left: so no crowd there shuts out the clients."""

GATEWAY_SHARE = 4
GATEWAY_MAX = GatewayLimits().connections_max
"""Of what the clients have, the JSON gateway gets this part, up to its own limit."""

CONNECTIONS_MIN = 16
"""Of each port, however low the limit."""


class Connections(NamedTuple):
    """How many may come in at each port. gateway: by HTTP/1.1, wherever they come in."""

    peers: int
    clients: int
    gateway: int


def connections(peers: int, gateway: bool) -> Connections:
    """peers: how many other nodes there are. gateway: is there one? Call it when the node's own
    files are open.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = limit - len(os.listdir("/dev/fd")) - OWN - OWN_PER_PEER * peers
    at_peer_port = max(CONNECTIONS_MIN, left // PEER_PORT_SHARE)
    at_client_port = max(CONNECTIONS_MIN, left - at_peer_port)
    by_http = min(GATEWAY_MAX, at_client_port // GATEWAY_SHARE) if gateway else 0
    return Connections(at_peer_port, at_client_port - by_http, by_http)
