"""A connection that has yet to show its TLS: it counts as one, and its time is limited."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from raftd.h2.first_words import FirstWords, TakeHttp1
from raftd.h2.server_connection import Owner, ServerConnection


class Handshake(asyncio.Protocol):
    """Its loop's thread only. Afterwards the transport belongs to a `ServerConnection`, or to
    `FirstWords` where HTTP/1.1 is taken, too.
    """

    def __init__(
        self, server: Owner, context: ssl.SSLContext, take_http1: TakeHttp1 | None = None
    ) -> None:
        self._server = server
        self._context = context
        self._connection = ServerConnection(server)
        self._next: ServerConnection | FirstWords = self._connection
        if take_http1 is not None:
            self._next = FirstWords(server, self._connection, take_http1, entered=True)
        self._early: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        if not self._server.entered(self._connection):
            transport.abort()
            return
        self._connection.under_way = transport
        self._task = self._server.loop.create_task(self._secure(transport))

    def data_received(self, data: bytes) -> None:
        """Before `start_tls` has taken the transport: on a busy loop the first words of TLS are
        there as soon as the connection is, and uvloop reads them in the same turn.
        """
        self._early.append(data)

    def _hand_over(self, transport: Any) -> None:
        """After `start_tls` has set its protocol, before that begins: it finds what came early."""
        early, self._early = b"".join(self._early), []
        below = transport.get_protocol()
        while early and below is not self:
            room = below.get_buffer(len(early))
            size = min(len(room), len(early))
            room[:size] = early[:size]
            below.buffer_updated(size)
            early = early[size:]

    async def _secure(self, transport: Any) -> None:
        server, connection = self._server, self._connection
        server.loop.call_soon(self._hand_over, transport)
        try:
            secured = await server.loop.start_tls(
                transport,
                self._next,
                self._context,
                server_side=True,
                ssl_handshake_timeout=server.limits.connection.handshake_timeout,
            )
        except (OSError, asyncio.CancelledError) as error:  # ssl's and time-outs are OSErrors
            if isinstance(error, ssl.SSLError):
                server.not_secured(transport, error)
            transport.abort()
            server.left(connection)
            return
        connection.under_way, connection.below = None, transport
        if not connection.closed and secured is not None:
            self._next.begin(secured)
