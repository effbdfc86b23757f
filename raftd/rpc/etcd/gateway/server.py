"""The gateway's HTTP port: its connections, how many there may be, and their end. Network thread
only.

A connection (connection.py) serves one request at a time, and requests begin in turn
(rpc/plumbing/turns.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING

from raftd.h2.either import EitherPort
from raftd.h2.listening import bound_at_all
from raftd.names import SHARED, numbers_of
from raftd.quiet import QuietLog
from raftd.rpc.etcd.gateway.held import Held
from raftd.rpc.etcd.gateway.http import CallerGone, GatewayLimits, Handle, at_once
from raftd.rpc.plumbing.later import Later, NotLoaded
from raftd.rpc.plumbing.turns import Row, Turns

if TYPE_CHECKING:
    from raftd.rpc.etcd.gateway.connection import Connection

LOG = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0
"""For what was written to leave, and TLS's good-bye to come: a caller who takes part in neither
would keep the connection, uncounted, for ever.
"""

UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
)


def _load() -> type[Connection]:
    from raftd.rpc.etcd.gateway.connection import Connection

    return Connection


# h11 is a tenth of all that a node would import: a start does not wait for it.
_CONNECTION = Later("the JSON gateway", _load)


class HttpServer:
    def __init__(
        self, handle: Handle, limits: GatewayLimits, held: Held, turns: Turns | None = None
    ) -> None:
        """turns: None: everything is done at once."""
        self._handle = handle
        self._quiet = QuietLog(LOG)
        self._limits = limits
        self._held = held
        self._turns = turns
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server | EitherPort] = []
        self._stopped = False

    async def start(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, tls_optional: bool = False
    ) -> int:
        """Returns the port. tls_optional: it takes plain text, too. Raises OSError."""
        if tls is not None and tls_optional:
            target = await asyncio.wrap_future(SHARED.look_up(f"{host}:{port}"))
            return self._start_either(numbers_of(target), tls)
        server = await asyncio.start_server(
            self._accept, host, port, limit=self._limits.head_bytes_max, ssl=tls
        )
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def _start_either(self, numbers: list[str], tls: ssl.SSLContext) -> int:
        loop, limits = asyncio.get_running_loop(), self._limits

        async def serve(made: socket.socket, secure: bool) -> None:
            context = tls if secure else None
            await loop.connect_accepted_socket(self._protocol, made, ssl=context)

        def room() -> int:
            return limits.connections_max - len(self._tasks)

        listeners = bound_at_all(numbers)
        port: int = listeners[0].getsockname()[1]
        for listener in listeners:
            self._servers.append(EitherPort(listener, serve, room, limits.idle_seconds))
        return port

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(self._limits.head_bytes_max)
        return asyncio.StreamReaderProtocol(reader, self._accept)

    def take(self, transport: asyncio.Transport, said: bytes) -> None:
        """Serve a connection that another port accepted, and that has `said` so much already."""
        if self._stopped:
            transport.abort()
            return
        protocol = self._protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(said)

    async def stop(self) -> None:
        """Every connection ends now."""
        self._stopped = True
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopped or len(self._tasks) >= self._limits.connections_max:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(CallerGone, OSError, TimeoutError, asyncio.CancelledError):
                made = await _CONNECTION.get()
                turn = at_once if self._turns is None else partial(self._turns.turn, Row())
                await made(reader, writer, self._handle, self._limits, self._held, turn).serve()
        except NotLoaded as error:
            writer.write(UNAVAILABLE % (len(str(error).encode()), str(error).encode()))
        except Exception as error:  # noqa: BLE001 - told with its stack
            # What nobody catches would stop the node, and a stranger's request must not.
            text = "gateway: a connection ended by an error that is not declared"
            self._quiet.error(text, error)
        finally:
            try:
                await _closed(writer)
            finally:
                writer.transport.abort()
                self._tasks.discard(task)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
