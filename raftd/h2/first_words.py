"""A connection of which nobody knows yet whether HTTP/2 or HTTP/1.1 is spoken on it.

HTTP/2 begins with `PRI `, which no method of HTTP/1.1 is. Nothing is said to the client before its
first words are there: a program that speaks HTTP/1.1 would take HTTP/2's settings for its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from raftd.h2.server_connection import Owner, ServerConnection

HTTP2 = b"PRI "
"""What the preface of HTTP/2 (RFC 9113, 3.4) begins with."""

TakeHttp1 = Callable[[asyncio.Transport, bytes], None]
"""(the transport, what came on it so far): the connection is the callee's from then on."""


class FirstWords(asyncio.Protocol):
    """Its loop's thread only. The connection counts as one of the server's until it has spoken."""

    def __init__(
        self,
        server: Owner,
        connection: ServerConnection,
        take_http1: TakeHttp1,
        entered: bool = False,
    ) -> None:
        """entered: the server has let the connection in; then `begin` is called."""
        self._server = server
        self._entered = entered
        self._connection = connection
        self._take_http1 = take_http1
        self._said = b""
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Of a connection in plain text, or in TLS that has been agreed on elsewhere."""
        self._entered = self._server.entered(self._connection)
        if self._entered:
            self.begin(transport)
        else:
            transport.abort()

    def begin(self, transport: Any) -> None:
        """The transport can be written to."""
        self._transport = transport
        self._connection.under_way = transport
        seconds = self._server.limits.connection.handshake_timeout
        self._timer = self._server.loop.call_later(seconds, transport.abort)
        self._decide()

    def data_received(self, data: bytes) -> None:
        self._said += data
        if self._transport is not None:
            self._decide()

    def connection_lost(self, error: Exception | None) -> None:
        """It said too little, or nothing."""
        if self._timer is not None:
            self._timer.cancel()
        connection = self._connection
        connection.under_way, connection.closed = None, True
        if self._entered:
            self._server.left(connection)

    def _decide(self) -> None:
        said = self._said
        if not said or (len(said) < len(HTTP2) and HTTP2.startswith(said)):
            return
        assert self._timer is not None
        self._timer.cancel()
        transport, connection = self._transport, self._connection
        connection.under_way = None
        if said.startswith(HTTP2):
            transport.set_protocol(connection)
            connection.begin(transport)
            connection.data_received(said)
        else:
            self._server.left(connection)
            self._take_http1(transport, said)
