"""All services of the etcd v3 API of one node, put together. Network thread only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import SystemRandom
from typing import TYPE_CHECKING

from raftd.h2.first_words import TakeHttp1
from raftd.rpc.api import Node
from raftd.rpc.clients.callers import auth_of
from raftd.rpc.clients.gate import Gate
from raftd.rpc.clients.passwords import Passwords
from raftd.rpc.directory import Directory
from raftd.rpc.etcd import grpc_host
from raftd.rpc.etcd.auth import AuthService
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.door import Door
from raftd.rpc.etcd.election import ElectionService
from raftd.rpc.etcd.gateway.held import Held
from raftd.rpc.etcd.gateway.http import GatewayLimits, HttpReply, HttpRequest
from raftd.rpc.etcd.gateway.server import HttpServer
from raftd.rpc.etcd.grpc_host import OpenStreams
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.hub import WatchedStore
from raftd.rpc.etcd.kv import KVService
from raftd.rpc.etcd.lease import LeaseService
from raftd.rpc.etcd.lock import LockService
from raftd.rpc.etcd.long_answers import LongAnswers
from raftd.rpc.etcd.maintenance import MaintenanceService
from raftd.rpc.etcd.members import ClusterService
from raftd.rpc.etcd.one_watcher import WatchLimits
from raftd.rpc.etcd.recipes import Queues
from raftd.rpc.etcd.translate import refused
from raftd.rpc.etcd.watch import LeaderLooks, WatchService
from raftd.rpc.peers.forwarding import Forwarder
from raftd.rpc.plumbing.connections import Connections
from raftd.rpc.plumbing.later import Later, NotLoaded
from raftd.rpc.plumbing.malformed import Tolerant
from raftd.rpc.plumbing.ports import BindError, forbidden
from raftd.rpc.plumbing.turns import Turns
from raftd.tls.contexts import Tls
from raftd.tls.files import TlsProblem

if TYPE_CHECKING:
    from raftd.rpc.etcd.gateway.gateway import Gateway


def _load() -> type[Gateway]:
    from raftd.rpc.etcd.gateway.gateway import Gateway

    return Gateway


# It brings JSON and its routes, which a start does not wait for.
_GATEWAY = Later("the JSON gateway", _load)


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """listen_gateway: host:port of the JSON gateway; empty: none. tls: of its port, or plain text.
    at_client_port: the client port is the gateway's, too, for who speaks HTTP/1.1 there.

    tls_optional: the gateway takes plain text too. secure: clients are served with TLS. ttl_min_s:
    the shortest lease. draw: random bits.
    leader_patience_seconds: see LeaderLooks.
    """

    listen_gateway: str = ""
    at_client_port: bool = True
    gateway: GatewayLimits = field(default_factory=GatewayLimits)
    tls: Tls | None = None
    tls_optional: bool = False
    secure: bool = False
    ttl_min_s: int = 2
    leader_patience_seconds: float = 3.0
    watchers: WatchLimits = field(default_factory=WatchLimits)
    draw: Callable[[int], int] = SystemRandom().getrandbits


class EtcdServices:
    """Made in the running loop, on a node whose machine is the built-in store."""

    def __init__(
        self,
        node: Node,
        gate: Gate,
        forwarder: Forwarder,
        directory: Directory,
        store: WatchedStore,
        settings: EtcdSettings,
        turns: Turns,
    ) -> None:
        self._settings = settings
        self._streams = OpenStreams()
        self._turns = turns
        self._passwords = Passwords()
        self._named = gate.callers.common_name
        self._connections = gate.connections
        headers = Headers(node)
        self._backend = Backend(gate, forwarder, refused)

        def led() -> bool:
            return node.state().leader is not None

        looks = LeaderLooks(led, settings.leader_patience_seconds)
        long = LongAnswers()
        kv = KVService(self._backend, headers, long)
        leases = LeaseService(self._backend, headers, settings.draw, settings.ttl_min_s, long)
        queues = Queues(kv, leases, store)

        scheme = "https" if settings.secure else "http"
        cluster = ClusterService(
            node, directory, self._backend, headers, scheme, settings.at_client_port
        )
        self._services: tuple[object, ...] = (
            kv,
            WatchService(
                store.watches,
                lambda: store.watches.revision,
                headers,
                looks,
                node.refusal,
                callers=gate.callers,
                limits=settings.watchers,
                seen=self._backend.told.seen,
            ),
            leases,
            cluster,
            MaintenanceService(node, self._backend, headers, store, long),
            LockService(kv, queues),
            ElectionService(kv, queues),
        )
        auth = auth_of(store)
        if auth is not None:
            self._services += (
                AuthService(self._backend, headers, auth, gate.callers, self._passwords, led),
            )
        self._door = Door(gate.callers, gate.audit)
        self._unhealthy = lambda: _unhealthy(node, store)
        self._gateway: Gateway | None = None
        """From the first request by HTTP on."""
        self._held = Held(settings.gateway.held_bytes_max)
        self._http = HttpServer(self._by_http, settings.gateway, self._held, turns)

    @property
    def names(self) -> list[str]:
        """Of the services, as on the wire."""
        paths = [method.path for method in self._door.methods(self._services)]
        return sorted({path.strip("/").partition("/")[0] for path in paths})

    def add_to(self, server: Tolerant, connections: Connections) -> None:
        """Have the client port serve etcd's methods."""
        methods = self._door.methods(self._services)
        streams, named = self._streams, self._named
        grpc_host.add_to(server, methods, connections, streams, named, self._turns)

    @property
    def take_http1(self) -> TakeHttp1 | None:
        """For the client port: who serves a connection that speaks HTTP/1.1; None: nobody."""
        return self._http.take if self._settings.at_client_port else None

    async def _by_http(self, request: HttpRequest) -> HttpReply:
        # At the client port what is no message counts as a flood (rpc/plumbing/guard.py).
        self._connections.parsed_bytes = request.size_bytes
        self._connections.of(request.peer).arrived()
        if self._gateway is None:
            try:
                gateway = await _GATEWAY.get()
            except NotLoaded as error:
                return HttpReply(503, f"{error}\n".encode(), "text/plain; charset=utf-8")
            methods = self._door.methods(self._services)
            self._gateway = gateway(methods, self._unhealthy, self._held)
        return await self._gateway.handle(request)

    async def start(self) -> int:
        """Open the gateway's port, if there is to be one. Returns it, or 0. Raises BindError."""
        address, tls = self._settings.listen_gateway, self._settings.tls
        if not address:
            return 0
        host, _, port = address.rpartition(":")
        try:
            context = None if tls is None else tls.renewing_server
            where = host.strip("[]"), int(port)
            return await self._http.start(*where, context, self._settings.tls_optional)
        except (OSError, TlsProblem) as error:
            not_ours = forbidden(error)
            why = not_ours or getattr(error, "strerror", None) or str(error)
            line = f"listen_gateway: cannot listen on {address}: {why}"
            raise BindError(line, forbidden=bool(not_ours)) from None

    def quiesce(self) -> None:
        """Streams end, and whoever waits is told that this member stops."""
        self._streams.stop()
        self._backend.close()

    async def stop(self) -> None:
        """The gateway's port closes."""
        await self._http.stop()
        self._passwords.close()


def _unhealthy(node: Node, store: WatchedStore) -> str:
    """Why this member should not be asked; empty when it may be. As in etcd, an alarm counts."""
    if troubles := store.troubles():
        return troubles[0]
    problems = node.problems()
    return problems[0] if problems and not node.serving() else ""
