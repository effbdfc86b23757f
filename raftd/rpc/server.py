"""The two ports of a node, and the order in which they open and close.

    start:  peer port, client port, then the way out to the peers
    stop:   health says no -> client streams drain, client port -> peers' streams, peer port
            -> the way out to the peers, so that its last requests are settled

The node hands its leadership over between `quiesce` and `stop` (whoever runs the node decides).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from raftd import __version__
from raftd._pb import (
    admin_pb2,
    admin_pb2_grpc,
    client_pb2,
    client_pb2_grpc,
    raft_pb2,
    raft_pb2_grpc,
)
from raftd.h2.server import Server as H2Server
from raftd.node.ports import FatalPort
from raftd.quiet import hush_grpc
from raftd.rpc.api import Node
from raftd.rpc.clients.admin_service import AdminService
from raftd.rpc.clients.audit import Audit
from raftd.rpc.clients.callers import Callers, CallerSettings, auth_of
from raftd.rpc.clients.client_service import CommandsService, StreamRegistry
from raftd.rpc.clients.features import Features
from raftd.rpc.clients.gate import ClientLimits, Gate
from raftd.rpc.clients.health import HealthService
from raftd.rpc.clients.replaying import Replaying, Start
from raftd.rpc.clients.transport import client_server, open_client_port
from raftd.rpc.directory import Directory
from raftd.rpc.etcd.faults import TOO_MANY
from raftd.rpc.etcd.hub import MeasuredStore, WatchedStore
from raftd.rpc.etcd.services import EtcdServices, EtcdSettings
from raftd.rpc.peers.checks import PROTOCOL, PROTOCOL_OLDEST
from raftd.rpc.peers.link import LinkWatch, addresses_of
from raftd.rpc.peers.peers import Peers
from raftd.rpc.peers.raft_service import RaftService
from raftd.rpc.peers.transport import LinkSettings, open_peer_port, peer_server
from raftd.rpc.plumbing.connections import Connections, UnreadLimits
from raftd.rpc.plumbing.guard import FloodLimits, Guard
from raftd.rpc.plumbing.malformed import Tolerant
from raftd.rpc.plumbing.ports import H2, PortServer
from raftd.rpc.plumbing.readers import keep_callers_out_of_the_log
from raftd.rpc.plumbing.reflected import Reflection
from raftd.rpc.plumbing.turns import TurnLimits, Turns, begin_in_turn
from raftd.tls.contexts import Tls

CLIENT_SERVICES = frozenset(
    service.full_name
    for file in (client_pb2, admin_pb2, health_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """listen_peer, listen_client: host:port; port 0 takes a free one (see `Servers.peer_port`).

    peer_calls_max, client_calls_max: calls and streams at a time; one more is RESOURCE_EXHAUSTED.
    peer_connections_max, client_connections_max: one more is closed at once.
    client_tls: None: clients are served in plain text. client_tls_optional: in plain text too.
    start: see there.
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
    turns: TurnLimits = field(default_factory=TurnLimits)
    reflection: bool = True
    client_tls: Tls | None = None
    client_tls_optional: bool = False
    callers: CallerSettings = field(default_factory=CallerSettings)
    start: Start = field(default_factory=Start)
    etcd: EtcdSettings = field(default_factory=EtcdSettings)

    @property
    def client_transport(self) -> str:
        """gRPC's own ports take either TLS or plain text; see ARCHITECTURE.md."""
        return H2 if self.client_tls_optional else self.link.transport


def about(peer_address: str, client_address: str, gateway_address: str = "") -> raft_pb2.About:
    """What Hello says of this node. Addresses as others reach them, host:port."""
    return raft_pb2.About(
        protocol=PROTOCOL,
        protocol_oldest=PROTOCOL_OLDEST,
        software=f"raftd {__version__}",
        peer_address=peer_address,
        client_address=client_address,
        gateway_address=gateway_address,
    )


@dataclass(frozen=True, slots=True)
class PortFigures:
    """connections_cut, calls_refused: since the start. calls_waiting: for their turn, now.

    alarms: of the store, that are raised. store_bytes: None: it has no size that is known here.
    quota_bytes: 0: none. watchers: of etcd's clients.
    """

    connections_cut: int
    calls_waiting: int
    calls_refused: int
    alarms: int
    store_bytes: int | None = None
    quota_bytes: int = 0
    watchers: int = 0


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
        store: WatchedStore | None = None,
        epoch_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        """store: the built-in one, if it is the node's machine: then etcd's clients are served.

        epoch_ms: this node's clock; the age of tokens goes by it.
        """
        self._node = node
        self._store = store
        # Once: whether an object has a protocol's methods is looked up one by one.
        known: object = store
        self._measured = known if isinstance(known, MeasuredStore) else None
        self._peers = peers
        self._settings = settings
        self._watch = LinkWatch(node, peers.probe, fatal)
        hush_grpc()
        self._connections = Connections(settings.unread, now)
        h2 = settings.link.transport == settings.client_transport == H2
        self._guard = Guard(self._connections, settings.floods, now, rests=h2)
        replaying = Replaying(settings.start, node.state, auth_of(store) is not None)
        callers = Callers(auth_of(store), epoch_ms, settings.callers, replaying)
        self._gate = Gate(node, directory, settings.clients, self._connections, callers, Audit(now))
        directory.advertise(node.identity.node, addresses_of(advertised), PROTOCOL)
        self._watch_features(directory)
        self._raft = RaftService(
            node,
            directory,
            advertised,
            fatal,
            now,
            self._watch.doubt,
            self._connections,
            self._gate,
            settings.link.security,
        )
        self._turns = Turns(limits=settings.turns)
        self._connections.on_commands = self._turns.streamed
        self._streams = StreamRegistry()
        self._health = HealthService(node.serving, CLIENT_SERVICES)
        self._admin = AdminService(self._gate, now, peers.meet)
        self._etcd: EtcdServices | None = None
        if store is not None:
            self._etcd = EtcdServices(
                node, self._gate, peers, directory, store, settings.etcd, self._turns
            )
        keep_callers_out_of_the_log()
        self._peer_server = self._make_peer_server()
        self._client_server = self._make_client_server()
        self.peer_port = 0
        self.client_port = 0
        self.gateway_port = 0

    def _watch_features(self, directory: Directory) -> None:
        """Have the node propose only what all members understand, and meet only who fits."""
        node, store, auth = self._node, self._store, auth_of(self._store)
        if store is None or auth is None:
            return

        def in_use() -> bool:
            return not auth.untouched or bool(store.troubles())

        features = Features(directory, lambda: node.state().configuration, in_use)
        node.admit_by(features.refusal)
        directory.unfit = features.unfit

    def _make_peer_server(self) -> PortServer:
        settings = self._settings
        server = peer_server(
            settings.link,
            settings.peer_calls_max,
            settings.peer_connections_max,
            self._guard.note_cut,
        )
        ours: Any = Tolerant(server, self._connections)
        raft_pb2_grpc.add_RaftServicer_to_server(self._raft, ours)
        return server

    def _make_client_server(self) -> PortServer:
        settings = self._settings
        server = client_server(
            settings.client_transport,
            settings.client_calls_max,
            settings.client_connections_max,
            self._guard.note_cut,
        )
        if isinstance(server, H2Server):
            begin_in_turn(server, self._turns)
            server.take_http1 = None if self._etcd is None else self._etcd.take_http1
        ours: Any = Tolerant(server, self._connections, self._turns)
        client_pb2_grpc.add_CommandsServicer_to_server(
            CommandsService(self._gate, self._streams), ours
        )
        if self._etcd is not None:
            self._etcd.add_to(ours, self._connections)
            self._turns.said.update(dict.fromkeys(self._etcd.names, TOO_MANY))
        admin_pb2_grpc.add_AdminServicer_to_server(self._admin, ours)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if settings.reflection:
            reflected = Reflection(CLIENT_SERVICES)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, server)
        return server

    async def start(self) -> None:
        """Open both ports and begin to talk to the peers. Raises BindError; then call `stop`."""
        settings = self._settings
        self.peer_port = open_peer_port(self._peer_server, settings.listen_peer, settings.link)
        self.client_port = open_client_port(
            self._client_server,
            settings.listen_client,
            settings.client_tls,
            settings.client_transport,
            optional=settings.client_tls_optional,
        )
        await self._peer_server.start()
        await self._client_server.start()
        if self._etcd is not None:
            self.gateway_port = await self._etcd.start()
        self._guard.start((self.peer_port, self.client_port))
        self._peers.start(self._node)

    @property
    def connections_cut(self) -> int:
        """Of those that flooded or did not read, since the start."""
        return self._guard.cut

    @property
    def figures(self) -> PortFigures:
        store, turns = self._store, self._turns
        ports = PortFigures(self._guard.cut, turns.waiting, turns.refused, alarms=0)
        if store is None:
            return ports
        ports = replace(ports, alarms=len(store.troubles()), watchers=len(store.watches))
        measured = self._measured
        if measured is not None:
            ports = replace(
                ports, store_bytes=measured.size_bytes, quota_bytes=measured.quota.limit_bytes
            )
        return ports

    def quiesce(self) -> None:
        """Health says NOT_SERVING, client streams take no new frames. Everything else goes on."""
        self._health.stop()
        self._streams.drain()
        if self._etcd is not None:
            self._etcd.quiesce()
        self._admin.stop()

    async def stop(self, grace_seconds: float) -> None:
        """Close everything, in order, within about `grace_seconds`; calls still open then are cut.

        Afterwards every request that was pulled has been settled. Harmless if `start` failed.
        """
        self.quiesce()
        if self._etcd is not None:
            await self._etcd.stop()
        await self._client_server.stop(grace_seconds)
        await self._watch.close()
        self._raft.drain()
        await self._peer_server.stop(min(grace_seconds, 0.5))
        self._guard.stop()
        await self._peers.close()
