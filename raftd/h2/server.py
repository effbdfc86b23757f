"""A server: listening sockets, the methods that it knows, the connections, an orderly end.

Generated code adds services to it as to a `grpc.aio.Server`. Methods on a hot path are answered by
callback (`add_unary`, `add_stream`), without a task for each call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from raftd.h2.budget import Budget
from raftd.h2.either import EitherPort
from raftd.h2.first_words import FirstWords, TakeHttp1
from raftd.h2.handlers import (
    Begin,
    OnStream,
    OnUnary,
    Servicer,
    StreamCallback,
    UnaryCallback,
    at_once,
)
from raftd.h2.handshake import Handshake
from raftd.h2.intake import Intake
from raftd.h2.listening import ACCEPTED_AT_ONCE, BACKLOG, bound, unix_path
from raftd.h2.server_call import Handler, ServerCall
from raftd.h2.server_connection import ServerConnection
from raftd.h2.settings import ServerLimits
from raftd.h2.vigil import pause_of_server, peer_name
from raftd.quiet import QuietLog
from raftd.tls.files import reason

log = logging.getLogger("raftd.h2")

CHECK_SECONDS_MIN = 0.05

CLOSING_TURNS = 8
"""A transport that was cut closes its socket in the next turn of the loop, one under TLS in the one
after it, and one that was just being accepted in the fifth; and nobody may turn the loop any more
once the server has stopped."""


NOT_SECURED_SECONDS = 60.0
"""Between two lines on handshakes that failed for one reason; strangers make thousands."""

SHUTDOWN_SECONDS = 1.0
"""For the other side to say good-bye in TLS."""

HTTP1_FIRST = ["http/1.1", "h2"]
"""Of a port that takes both. gRPC's clients offer h2 alone; curl and browsers offer both and want
HTTP/1.1's pages, which are not served on h2."""

OnCut = Callable[[str, str], None]
"""Told of a connection that this side ended: whose (as gRPC names peers), and why."""


class Server:
    """Its loop's thread only, and made there (inside the running loop)."""

    def __init__(self, limits: ServerLimits, on_cut: OnCut | None = None) -> None:
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.budget = Budget(limits.held_bytes_max)
        self.intake = Intake(self.loop)
        self.begin: Begin = at_once
        """When a call with one request begins. To be set before the first comes."""
        self.take_http1: TakeHttp1 | None = None
        """Who serves connections that speak HTTP/1.1; None: they are cut. To be set before a port
        is added."""
        self.connections: set[ServerConnection] = set()
        self.calls = 0
        self.stopping = False
        self.cut = 0
        """Connections that this side ended, since the start."""
        self._on_cut = on_cut or _log_cut
        self._quiet_log = QuietLog(log)
        self._methods: dict[bytes, Handler] = {}
        self._sockets: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._either: list[tuple[socket.socket, ssl.SSLContext]] = []
        self._paths: list[tuple[str, ssl.SSLContext | None]] = []
        self._listeners: list[asyncio.AbstractServer | EitherPort] = []
        self._timer: asyncio.TimerHandle | None = None
        self._quiet = asyncio.Event()
        self._over = asyncio.Event()

    # --- methods ----------------------------------------------------------------------------

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Called by generated code (`add_XServicer_to_server`)."""
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            self._methods[path.encode()] = Servicer(path, handler, self._begin)

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Nothing: the same methods come through `add_registered_method_handlers`, with names."""

    def add_unary(self, path: str, on_request: OnUnary) -> None:
        """`on_request(message, call)` answers at once or later: `call.answer`, `call.finish`."""
        self._methods[path.encode()] = UnaryCallback(on_request, self._begin)

    def add_stream(self, path: str, on_open: OnStream) -> None:
        """`on_open(call)` sets what it wants to be told: on_message, on_request_end, on_over."""
        self._methods[path.encode()] = StreamCallback(on_open)

    def _begin(self, call: ServerCall, go: Callable[[], None]) -> None:
        self.begin(call, go)

    def method(self, path: bytes) -> Handler | None:
        return self._methods.get(path)

    # --- ports ------------------------------------------------------------------------------

    def add_insecure_port(self, address: str) -> int:
        """host:port or unix:path. Returns the port. Raises RuntimeError if it cannot be opened."""
        return self._listen(address, None)

    def add_secure_port(self, address: str, context: ssl.SSLContext) -> int:
        """context: with everything about keys; what is spoken is added here."""
        context.set_alpn_protocols(self._spoken())
        return self._listen(address, context)

    def add_either_port(self, address: str, context: ssl.SSLContext) -> int:
        """host:port. It takes TLS and plain text. Returns the port. Raises RuntimeError."""
        context.set_alpn_protocols(self._spoken())
        port = self._listen(address, context)
        self._either.append((self._sockets.pop()[0], context))
        return port

    def _spoken(self) -> list[str]:
        return ["h2"] if self.take_http1 is None else HTTP1_FIRST

    def _listen(self, address: str, context: ssl.SSLContext | None) -> int:
        try:
            path = unix_path(address)
            if path:
                self._paths.append((path, context))
                return 1
            listener = bound(address)
        except (OSError, ValueError, OverflowError) as error:
            raise RuntimeError(f"cannot listen on {address}: {error}") from None
        self._sockets.append((listener, context))
        return int(listener.getsockname()[1])

    async def start(self) -> None:
        """Begin to take connections. Raises OSError."""
        for listener, context in self._sockets:
            maker = self._maker(context)
            # asyncio accepts so many in one turn, before the first of them is counted; uvloop one.
            started = await self.loop.create_server(maker, sock=listener, backlog=ACCEPTED_AT_ONCE)
            listener.listen(BACKLOG)
            self._listeners.append(started)
        for listener, context in self._either:
            self._listeners.append(self._take_either(listener, context))
        for path, context in self._paths:
            maker = self._maker(context)
            started = await self.loop.create_unix_server(maker, path, backlog=BACKLOG)
            self._listeners.append(started)
        self._check()

    def _take_either(self, listener: socket.socket, context: ssl.SSLContext) -> EitherPort:
        limits, seconds = self.limits, self.limits.connection.handshake_timeout

        async def serve(made: socket.socket, secure: bool) -> None:
            if not secure:
                await self.loop.connect_accepted_socket(self._maker(None), made)
                return
            # Not by `Handshake`: uvloop forgets to read from a socket that was accepted elsewhere
            # if TLS begins on it in the same turn.
            await self.loop.connect_accepted_socket(
                self._maker(None), made, ssl=context, ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )  # fmt: skip

        return EitherPort(
            listener, serve, lambda: limits.connections_max - len(self.connections), seconds
        )

    def _maker(self, context: ssl.SSLContext | None) -> Callable[[], asyncio.BaseProtocol]:
        take_http1 = self.take_http1
        if context is not None:
            return lambda: Handshake(self, context, take_http1)
        if take_http1 is not None:
            return lambda: FirstWords(self, ServerConnection(self), take_http1)
        return lambda: ServerConnection(self)

    def _check(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check(now)
        vigils = [one.vigil for one in self.connections if not one.closed]
        pause = max(CHECK_SECONDS_MIN, pause_of_server(vigils, self.limits.connection, now))
        self._timer = self.loop.call_later(pause, self._check)

    # --- the connections' side --------------------------------------------------------------

    def entered(self, connection: ServerConnection) -> bool:
        """False: there are too many already."""
        if self.stopping or len(self.connections) >= self.limits.connections_max:
            return False
        self.connections.add(connection)
        return True

    def left(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)
        if connection.why:
            self.cut += 1
            self._on_cut(connection.peer, connection.why)
        self._note()

    def not_secured(self, transport: Any, error: ssl.SSLError) -> None:
        """A handshake failed. The other side hears of a connection that was closed, no more: so
        whoever sets certificates up has to find the reason here.
        """
        why = reason(error)
        again = self._quiet_log.again(why, NOT_SECURED_SECONDS)
        if again is not None:
            name = transport.get_extra_info("sockname")
            port = f"port {name[1]}" if isinstance(name, tuple) else name
            log.warning("TLS of %s on %s failed: %s%s", peer_name(transport), port, why, again)

    def call_over(self) -> None:
        self.calls -= 1
        self._note()

    def _note(self) -> None:
        if not self.calls:
            self._quiet.set()

    # --- the end ----------------------------------------------------------------------------

    async def stop(self, grace: float | None) -> None:
        """No new connections or calls; those under way have `grace` seconds, then they are cut."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        if not self._listeners:
            for listener_socket, _ in (*self._sockets, *self._either):
                listener_socket.close()
        for connection in list(self.connections):
            connection.shut_down()
        if self.calls and grace:
            self._quiet.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._quiet.wait()
        for connection in list(self.connections):
            connection.stop()
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.loop.time() + 1.0
        while self.connections and self.loop.time() < deadline:
            await asyncio.sleep(0.005)
        for connection in list(self.connections):
            connection.abort("")
        for _ in range(CLOSING_TURNS):
            await asyncio.sleep(0)
        self._over.set()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Until `stop` is done. False: `timeout` seconds passed before."""
        try:
            async with asyncio.timeout(timeout):
                await self._over.wait()
        except TimeoutError:
            return False
        return True


def _log_cut(peer: str, why: str) -> None:
    log.info("connection of %s cut: %s", peer, why)
