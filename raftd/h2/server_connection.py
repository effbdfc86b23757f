"""One client's connection: which call goes to which method, and what is no call at all."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Protocol

import grpc

from raftd.h2.budget import Budget
from raftd.h2.engine import Headers, StreamGone
from raftd.h2.intake import Intake, TakenInTurns
from raftd.h2.server_call import Handler, ServerCall
from raftd.h2.settings import ServerLimits


class Owner(Protocol):
    """What is asked of a server."""

    limits: ServerLimits
    budget: Budget
    intake: Intake
    loop: asyncio.AbstractEventLoop
    calls: int
    stopping: bool

    def method(self, path: bytes) -> Handler | None: ...

    def entered(self, connection: ServerConnection) -> bool: ...

    def left(self, connection: ServerConnection) -> None: ...

    def not_secured(self, transport: Any, error: ssl.SSLError) -> None: ...

    def call_over(self) -> None: ...


FIELD_BYTES = 32
"""What RFC 9113 counts for each header field beside its bytes."""


class ServerConnection(TakenInTurns):
    """One client's."""

    def __init__(self, server: Owner) -> None:
        super().__init__(server.limits.connection, server.budget, server.loop, server.intake)
        self._server = server
        self._refused = False
        self.under_way: Any = None
        """The transport, while TLS is being agreed on."""
        self.below: Any = None
        """The transport below TLS, once that stands."""

    def connection_made(self, transport: Any) -> None:
        """Of a connection in plain text."""
        if self._server.entered(self):
            self.begin(transport)
        else:
            self._refused = self.closed = True
            transport.abort()

    def begin(self, transport: Any) -> None:
        """The transport can be written to."""
        super().connection_made(transport)
        if self.tls is not None and self.tls.selected_alpn_protocol() != "h2":
            self.abort("TLS without HTTP/2 (ALPN h2)")

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.row = None
        self._cut_below()
        if not self._refused:
            self._server.left(self)

    def accept(self, stream_id: int, headers: Headers, end: bool) -> None:
        self._calls += 1
        server, fields = self._server, dict(headers)
        size = sum([len(name) + len(value) + FIELD_BYTES for name, value in headers])
        call = ServerCall(self, stream_id, headers)
        method = server.method(fields.get(b":path", b""))
        if method is None or server.calls >= server.limits.calls_max or self._odd(call, fields):
            self._refuse(call, fields, method)
            return
        if size > self.settings.engine.header_bytes_max:
            text = f"{size} bytes of header fields (limit {self.settings.engine.header_bytes_max})"
            call.finish(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            return
        server.calls += 1
        call.on_leave = server.call_over
        try:
            call.begin(fields)
        except ValueError as error:
            call.finish(grpc.StatusCode.INTERNAL, str(error))
        if not call.over:
            method.begin(call)
        if end:
            call.received(b"", True)

    def _odd(self, call: ServerCall, fields: dict[bytes, bytes]) -> bool:
        content = fields.get(b"content-type", b"")
        return (
            self._server.stopping
            or fields.get(b":method") != b"POST"
            or not content.startswith(b"application/grpc")
            or content[16:17] not in (b"", b"+", b";")
        )

    def _refuse(self, call: ServerCall, fields: dict[bytes, bytes], method: Handler | None) -> None:
        """In HTTP's words where the request is none of gRPC's."""
        if fields.get(b":method") != b"POST":
            self._plainly(call, b"405")
        elif not fields.get(b"content-type", b"").startswith(b"application/grpc"):
            self._plainly(call, b"415")
        elif self._server.stopping:
            call.finish(grpc.StatusCode.UNAVAILABLE, "this server is stopping")
        elif method is None:
            call.finish(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        else:
            limits = self._server.limits
            text = f"{limits.calls_name} ({limits.calls_max}) is reached: try again later"
            call.finish(grpc.StatusCode.RESOURCE_EXHAUSTED, text)

    def _plainly(self, call: ServerCall, status: bytes) -> None:
        with contextlib.suppress(StreamGone):
            self.engine.respond(call.id, [(b":status", status)], True)
        call.drop()
        self.end_when_sent(call)

    def _abort(self) -> None:
        super()._abort()
        self._cut_below()

    def _cut_below(self) -> None:
        """asyncio's TLS would wait half a minute for the other side to say good-bye."""
        if self.below is not None:
            self.below.abort()

    def shut_down(self) -> None:
        """Say that no new calls are taken; those under way go on."""
        if not self.closed and self.under_way is None:
            self.draining = True
            self.engine.shut_down()
            self.flush()
            if not self.streams:
                self.stop()

    def stop(self) -> None:
        """End what is under way, and the connection."""
        if self.under_way is not None:
            self.under_way.abort()
        if self.closed:
            return
        for stream in list(self.streams.values()):
            if isinstance(stream, ServerCall):
                stream.stop(grpc.StatusCode.UNAVAILABLE, "this server has stopped")
        self.engine.shut_down(self.engine.last_stream_id)
        self.drained()
