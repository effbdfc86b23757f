"""The two ports of a node, and the order in which they open and close.

    start:  peer port, client port, then the way out to the peers
    stop:   health says no -> client streams drain, client port -> peers' streams, peer port
            -> the way out to the peers, so that its last requests are settled

The node hands its leadership over between `quiesce` and `stop` (daemon.py decides).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from raftd import __version__
from raftd._pb import (
    admin_pb2,
    admin_pb2_grpc,
    client_pb2,
    client_pb2_grpc,
    raft_pb2,
    raft_pb2_grpc,
)
from raftd.names import SHARED, numbers_of
from raftd.node.ports import FatalPort
from raftd.rpc.admin_service import AdminService
from raftd.rpc.api import Node
from raftd.rpc.channels import (
    LinkSettings,
    client_server_options,
    connections_max,
    peer_server_options,
)
from raftd.rpc.client_service import CommandsService, StreamRegistry
from raftd.rpc.connections import Connections, UnreadLimits
from raftd.rpc.directory import Directory
from raftd.rpc.gate import ClientLimits, Gate
from raftd.rpc.guard import FloodLimits, Guard
from raftd.rpc.health import HealthService
from raftd.rpc.kv_service import KvService
from raftd.rpc.link_watch import LinkWatch
from raftd.rpc.malformed import Tolerant
from raftd.rpc.peers import Peers
from raftd.rpc.quiet import hush_cut_calls
from raftd.rpc.raft_service import RaftService
from raftd.rpc.readers import keep_callers_out_of_the_log
from raftd.rpc.reflected import ReflectedPool

PROTOCOL = 1

NAME_SECONDS = 5.0
"""For the system to find the own host name before a port is opened there."""

CLIENT_SERVICES = frozenset(
    service.full_name
    for file in (client_pb2, admin_pb2, health_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)


class BindError(Exception):
    """A port could not be opened. One line: which, where, why."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """listen_peer, listen_client: host:port; port 0 takes a free one (see `Servers.peer_port`).

    peer_calls_max, client_calls_max: calls and streams at a time; one more is RESOURCE_EXHAUSTED.
    peer_connections_max, client_connections_max: one more is closed at once.
    """

    listen_peer: str
    listen_client: str
    peer_calls_max: int = 512
    client_calls_max: int = 8192
    peer_connections_max: int = 1024
    client_connections_max: int = 65_536
    link: LinkSettings = field(default_factory=LinkSettings)
    clients: ClientLimits = field(default_factory=ClientLimits)
    unread: UnreadLimits = field(default_factory=UnreadLimits)
    floods: FloodLimits = field(default_factory=FloodLimits)
    reflection: bool = True


def about(peer_address: str, client_address: str) -> raft_pb2.About:
    """What Hello says of this node. Addresses as others reach them, host:port."""
    return raft_pb2.About(
        protocol=PROTOCOL,
        protocol_oldest=PROTOCOL,
        software=f"raftd {__version__}",
        peer_address=peer_address,
        client_address=client_address,
    )


class Servers:
    """Network thread only, and made there (inside the running loop)."""

    def __init__(
        self,
        node: Node,
        peers: Peers,
        directory: Directory,
        advertised: raft_pb2.About,
        settings: ServerSettings,
        fatal: FatalPort,
        now: Callable[[], float],
    ) -> None:
        self._node = node
        self._peers = peers
        self._settings = settings
        self._watch = LinkWatch(node, peers.probe, fatal)
        hush_cut_calls()
        self._connections = Connections(settings.unread, now)
        self._guard = Guard(self._connections, settings.floods, now)
        self._raft = RaftService(
            node, directory, advertised, fatal, now, self._watch.doubt, self._connections
        )
        self._gate = Gate(node, directory, settings.clients, fatal, self._connections)
        self._streams = StreamRegistry()
        self._health = HealthService(node.serving, CLIENT_SERVICES)
        self._admin = AdminService(self._gate, now)
        keep_callers_out_of_the_log()
        self._peer_server = self._make_peer_server()
        self._client_server = self._make_client_server()
        self.peer_port = 0
        self.client_port = 0

    def _make_peer_server(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=[
                *peer_server_options(self._settings.link),
                connections_max(self._settings.peer_connections_max),
            ],
            maximum_concurrent_rpcs=self._settings.peer_calls_max,
        )
        ours: Any = Tolerant(server, self._connections)
        raft_pb2_grpc.add_RaftServicer_to_server(self._raft, ours)
        return server

    def _make_client_server(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=[
                *client_server_options(),
                connections_max(self._settings.client_connections_max),
            ],
            maximum_concurrent_rpcs=self._settings.client_calls_max,
        )
        ours: Any = Tolerant(server, self._connections)
        client_pb2_grpc.add_CommandsServicer_to_server(
            CommandsService(self._gate, self._streams), ours
        )
        client_pb2_grpc.add_KVServicer_to_server(KvService(self._gate, self._streams), ours)
        admin_pb2_grpc.add_AdminServicer_to_server(self._admin, ours)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            names = (*sorted(CLIENT_SERVICES), reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server, pool=ReflectedPool())
        return server

    async def start(self) -> None:
        """Open both ports and begin to talk to the peers. Raises BindError; then call `stop`."""
        self.peer_port = bind(self._peer_server, self._settings.listen_peer, "listen_peer")
        self.client_port = bind(self._client_server, self._settings.listen_client, "listen_client")
        await self._peer_server.start()
        await self._client_server.start()
        self._guard.start((self.peer_port, self.client_port))
        self._peers.start(self._node)

    @property
    def connections_cut(self) -> int:
        """Of those that flooded or did not read, since the start."""
        return self._guard.cut

    def quiesce(self) -> None:
        """Health says NOT_SERVING, client streams take no new frames. Everything else goes on."""
        self._health.stop()
        self._streams.drain()
        self._admin.stop()

    async def stop(self, grace_seconds: float) -> None:
        """Close everything, in order, within about `grace_seconds`; calls still open then are cut.

        Afterwards every request that was pulled has been settled. Harmless if `start` failed.
        """
        self.quiesce()
        await self._client_server.stop(grace_seconds)
        await self._watch.close()
        self._raft.drain()
        await self._peer_server.stop(min(grace_seconds, 0.5))
        self._guard.stop()
        await self._peers.close()


def bind(server: grpc.aio.Server, address: str, field_name: str) -> int:
    """Returns the port. Raises BindError with the system's own reason.

    A host name is looked up by the system, never by gRPC; it may have several addresses.
    """
    try:
        target = SHARED.look_up(address).result(NAME_SECONDS)
    except (OSError, TimeoutError) as error:
        why = str(error) or f"the name was not found within {NAME_SECONDS:g} s"
        raise BindError(f"{field_name}: cannot listen on {address}: {why}") from None
    bound = 0
    for number in numbers_of(target):
        host = number.rpartition(":")[0]
        try:
            bound = server.add_insecure_port(f"{host}:{bound}" if bound else number) or bound
        except RuntimeError:
            continue
    if not bound:
        raise BindError(f"{field_name}: cannot listen on {address}: {_why_not(address)}")
    return bound


def _why_not(address: str) -> str:
    """gRPC does not tell: ask the system the same thing."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, where in found:
            with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
                probe.bind(where)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return f"{reason}; is another raftd running, or the address not this machine's?"
    return "the address is not usable; it must be host:port"
