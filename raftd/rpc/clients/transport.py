"""How clients reach a node: the options of the client port, each with its reason.

The client port is made here, in plain text or with TLS.
docs/operations.md has all timers in one table.
"""

from __future__ import annotations

from typing import Any

import grpc.aio

from raftd.h2.engine import EngineLimits
from raftd.h2.server import OnCut, Server
from raftd.h2.settings import ConnectionSettings, ServerLimits
from raftd.rpc.plumbing.ports import (
    H2,
    ChannelOptions,
    PortServer,
    bind,
    connections_max,
    port_credentials,
)
from raftd.tls.contexts import Tls

CLIENT_MESSAGE_MAX = (4 << 20) + (64 << 10)
"""A frame holds one batch (wire.batch: 4 MiB at most) and a few fields."""


def client_server_options(message_max: int = CLIENT_MESSAGE_MAX) -> ChannelOptions:
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_send_message_length", -1),  # our own answers are bounded where they are made
        ("grpc.max_receive_message_length", message_max),
        (
            "grpc.http2.min_recv_ping_interval_without_data_ms",
            1000,
        ),  # clients ping every 2 s or more
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 10_000),  # a client whose host vanished lets go of its streams
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.server_handshake_timeout_ms", 5_000),
        ("grpc.max_concurrent_streams", 1024),
        ("grpc.max_metadata_size", 16 << 10),
    ]


def client_limits(calls_max: int, most_connections: int) -> ServerLimits:
    """What raftd/h2 holds clients to: the same as the options above say to grpcio."""
    connection = ConnectionSettings(
        keepalive_time=10.0,
        keepalive_timeout=5.0,
        message_max=CLIENT_MESSAGE_MAX,
        engine=EngineLimits(streams_max=1024),
    )
    return ServerLimits(calls_max, "client_calls_max", most_connections, connection=connection)


def client_server(
    transport: str, calls_max: int, most_connections: int, on_cut: OnCut
) -> PortServer:
    """The server behind the client port, not open yet. Network thread only.

    on_cut: told of a connection that raftd/h2 ended, and why.
    """
    if transport == H2:
        return Server(client_limits(calls_max, most_connections), on_cut)
    options = [*client_server_options(), connections_max(most_connections)]
    server: Any = grpc.aio.server(options=options, maximum_concurrent_rpcs=calls_max)
    made: PortServer = server
    return made


def open_client_port(
    server: PortServer, address: str, tls: Tls | None, transport: str, *, optional: bool = False
) -> int:
    """Returns the port. tls: None for plain text. optional: plain text too. Raises BindError."""
    credentials = port_credentials(tls, transport)
    return bind(server, address, "listen_client", credentials, optional=optional)
