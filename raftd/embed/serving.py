"""What the ports of a node are made with: the settings' share of each."""

from __future__ import annotations

import logging

from raftd.config import Config, listen_address
from raftd.embed.descriptors import connections
from raftd.embed.security import Security
from raftd.rpc.clients.callers import CallerSettings
from raftd.rpc.clients.replaying import NOTHING, Start
from raftd.rpc.etcd.gateway.http import GatewayLimits
from raftd.rpc.etcd.one_watcher import WatchLimits
from raftd.rpc.etcd.services import EtcdSettings
from raftd.rpc.peers.security import NOTHING_ASKED, PeerSecurity
from raftd.rpc.peers.transport import LinkSettings
from raftd.rpc.plumbing.ports import GRPCIO, H2, h2_available
from raftd.rpc.plumbing.turns import TurnLimits
from raftd.rpc.server import ServerSettings

LOG = logging.getLogger("raftd.node")

PEERS_EXPECTED = 6
"""Descriptors are kept for so many other nodes at least: members may be added."""


def server_settings(
    config: Config, security: Security, link: LinkSettings, start: Start = NOTHING
) -> ServerSettings:
    """For both ports. link: as from `link_settings`. start: what the node was started with."""
    at_client_port = config.client_http and (config.client_tls_optional or link.transport == H2)
    gateway = at_client_port or bool(config.listen_gateway)
    most = connections(max(len(config.peers) - 1, PEERS_EXPECTED), gateway)
    return ServerSettings(
        listen_address(config, "listen_peer"),
        listen_address(config, "listen_client"),
        client_calls_max=config.client_calls_max,
        peer_connections_max=most.peers,
        client_connections_max=most.clients,
        link=link,
        client_tls=security.client,
        turns=TurnLimits(config.connection_calls_waiting_max, config.calls_waiting_max),
        callers=CallerSettings(config.token_ttl, config.client_cert_auth),
        start=start,
        client_tls_optional=config.client_tls_optional,
        etcd=EtcdSettings(
            config.listen_gateway,
            at_client_port,
            gateway=GatewayLimits(connections_max=most.gateway),
            watchers=WatchLimits(config.stream_watchers_max, config.watchers_max),
            tls=security.gateway,
            tls_optional=config.client_tls_optional,
            # What all clients of today can speak: who has no TLS yet is not sent to https.
            secure=security.client is not None and not config.client_tls_optional,
        ),
    )


def link_settings(config: Config, security: PeerSecurity = NOTHING_ASKED) -> LinkSettings:
    """Deadlines between peers follow the election timeout: what comes later is useless."""
    return LinkSettings(
        connect_timeout=config.election_timeout_min,
        control_timeout=config.election_timeout_min / 2,
        read_index_timeout=config.election_timeout_min,
        append_age_max=config.append_age_max or 2 * config.election_timeout_max,
        security=security,
        transport=H2 if security.tls_optional else _transport(config.transport),
    )


def _transport(wanted: str) -> str:
    if wanted == H2 and not h2_available():
        LOG.warning("transport: h2 needs the package ngh2, which cannot be loaded: grpcio is used")
        return GRPCIO
    return wanted
