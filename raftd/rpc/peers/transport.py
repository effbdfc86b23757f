"""How nodes reach each other: the options of channels and of the peer port, each with its reason.

Every channel to a peer and the peer port are made here, in plain text or with TLS.
docs/operations.md has all timers in one table.

gRPC 1.85 has a keepalive timeout that never fires (its condition is the wrong way round); what ends
a connection whose pings are not answered is `http2.ping_timeout_ms`, a minute unless set. Both are
set to the same value, so that a release which mends the one changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc.aio

from raftd.core.types import NodeId
from raftd.h2.channel import Channel
from raftd.h2.engine import EngineLimits
from raftd.h2.server import OnCut, Server
from raftd.h2.settings import ChannelSettings, ConnectionSettings, ServerLimits
from raftd.rpc.peers.security import NOTHING_ASKED, PeerSecurity
from raftd.rpc.plumbing.ports import (
    GRPCIO,
    H2,
    ChannelOptions,
    PortServer,
    bind,
    connections_max,
    ms,
    port_credentials,
)
from raftd.tls.names import node_name

PEER_MESSAGE_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How connections between nodes behave. Times in seconds, sizes in bytes.

    connect_timeout: for one attempt; about an election timeout.
    backoff_min, backoff_max: between attempts. gRPC's own floor is 0.1 s; its default maximum of
    120 s would leave a returned peer alone for minutes.
    keepalive_time, keepalive_timeout: a connection on which nothing comes is pinged after the first
    and given up after the second. gRPC sends no two pings within a second.
    handshake_timeout: for whoever connects to say something in HTTP/2.
    control_timeout: a call of this age that was not answered also brings the line into doubt.
    append_age_max: the oldest append in flight may be this old before its stream is cut.
    meet_timeout: for a node that is to become a member to answer.
    renew_after: a host name is looked up again after so long without a connection, and a new
    connection is not doubted before.
    transport: of this node's connections and ports; nodes need not agree.
    security: what nodes prove to each other.
    """

    connect_timeout: float = 1.0
    backoff_min: float = 0.1
    backoff_max: float = 0.5
    keepalive_time: float = 1.0
    keepalive_timeout: float = 1.0
    keepalive_rest: float = 5.0
    handshake_timeout: float = 5.0
    control_timeout: float = 0.375
    read_index_timeout: float = 0.75
    bulk_timeout: float = 10.0
    append_age_max: float = 3.0
    probe_timeout: float = 0.1
    meet_timeout: float = 3.0
    renew_after: float = 2.0
    message_max: int = PEER_MESSAGE_MAX
    security: PeerSecurity = NOTHING_ASKED
    transport: str = GRPCIO


def peer_channel(
    target: str, settings: LinkSettings, address: str, peer: NodeId
) -> grpc.aio.Channel:
    """A channel to `peer` with a connection of its own. Network thread only.

    target: where `address` (host:port) is, in numbers; see raftd/names.py.
    """
    tls = settings.security.tls
    if settings.transport == H2:
        ours: Any = Channel(
            target,
            h2_channel_settings(settings),
            authority=address,
            context=tls.client if tls is not None else None,
            server_name=node_name(peer),
            tls_optional=settings.security.tls_optional,
        )
        same: grpc.aio.Channel = ours  # as far as stubs and `Line` use one
        return same
    options = peer_channel_options(settings)
    if tls is None:
        options.append(("grpc.default_authority", address))
        return grpc.aio.insecure_channel(target, options=options)
    # Not the host's name: whoever has a certificate of the authority could answer for any node.
    options.append(("grpc.ssl_target_name_override", node_name(peer)))
    return grpc.aio.secure_channel(target, tls.grpc_channel, options=options)


def h2_channel_settings(settings: LinkSettings) -> ChannelSettings:
    """What `peer_channel_options` says to grpcio."""
    return ChannelSettings(
        connect_timeout=settings.connect_timeout,
        backoff_min=settings.backoff_min,
        backoff_max=settings.backoff_max,
        connection=h2_connection(settings, 1),
    )


def h2_connection(settings: LinkSettings, patience: int) -> ConnectionSettings:
    """patience: a server has twice that of a client, whose pings it hears."""
    return ConnectionSettings(
        keepalive_time=patience * settings.keepalive_time,
        keepalive_rest=patience * settings.keepalive_rest,
        keepalive_timeout=settings.keepalive_timeout,
        handshake_timeout=settings.handshake_timeout,
        message_max=settings.message_max,
        message_send_max=settings.message_max,
        unsent_max=4 * settings.message_max,
        engine=EngineLimits(
            streams_max=128, stream_window_bytes=4 << 20, connection_window_bytes=16 << 20
        ),
    )


def peer_channel_options(settings: LinkSettings) -> ChannelOptions:
    return [
        # Channels to one address share a connection and its back-off without this; a snapshot
        # would then delay heartbeats.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", ms(settings.backoff_min)),
        ("grpc.max_reconnect_backoff_ms", ms(settings.backoff_max)),
        ("grpc.min_reconnect_backoff_ms", ms(settings.connect_timeout)),
        ("grpc.client_idle_timeout_ms", 2**31 - 1),
        ("grpc.keepalive_time_ms", ms(settings.keepalive_time)),
        ("grpc.keepalive_timeout_ms", ms(settings.keepalive_timeout)),
        ("grpc.http2.ping_timeout_ms", ms(settings.keepalive_timeout)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_send_message_length", settings.message_max),
        ("grpc.max_receive_message_length", settings.message_max),
        ("grpc.enable_retries", 0),  # the core retries; a second copy on the way helps nobody
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
    ]


def peer_server_options(settings: LinkSettings) -> ChannelOptions:
    return [
        ("grpc.so_reuseport", 0),  # else a second process on the port takes half of the connections
        ("grpc.max_send_message_length", settings.message_max),
        ("grpc.max_receive_message_length", settings.message_max),
        # Below the peers' own keepalive_time, or they are sent away for pinging too often.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", ms(settings.keepalive_time / 4)),
        ("grpc.http2.max_ping_strikes", 20),  # who only pings is sent away; calls set it to zero
        ("grpc.max_concurrent_streams", 128),  # also bounds calls that are cancelled at once
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", ms(2 * settings.keepalive_time)),
        ("grpc.keepalive_timeout_ms", ms(settings.keepalive_timeout)),
        ("grpc.http2.ping_timeout_ms", ms(settings.keepalive_timeout)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.server_handshake_timeout_ms", ms(settings.handshake_timeout)),
        ("grpc.max_metadata_size", 16 << 10),
    ]


def peer_server(
    settings: LinkSettings, calls_max: int, most_connections: int, on_cut: OnCut
) -> PortServer:
    """The server behind the peer port, not open yet. Network thread only.

    on_cut: told of a connection that raftd/h2 ended, and why.
    """
    if settings.transport == H2:
        connection = h2_connection(settings, 2)
        limits = ServerLimits(calls_max, "peer_calls_max", most_connections, connection=connection)
        return Server(limits, on_cut)
    options = [*peer_server_options(settings), connections_max(most_connections)]
    server: Any = grpc.aio.server(options=options, maximum_concurrent_rpcs=calls_max)
    made: PortServer = server
    return made


def open_peer_port(server: PortServer, address: str, settings: LinkSettings) -> int:
    """Returns the port. Raises BindError."""
    security = settings.security
    credentials = port_credentials(security.tls, settings.transport)
    return bind(server, address, "listen_peer", credentials, optional=security.tls_optional)
