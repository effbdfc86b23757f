"""The gateway's HTTP port. Network thread only.

h11 parses and writes HTTP/1.1; here are connections, their limits and their end. A connection
serves one request at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import h11

from raftd.h2.either import EitherPort
from raftd.h2.listening import bound

LOG = logging.getLogger(__name__)
Value = TypeVar("Value")
Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Of one HTTP port. Times in seconds, sizes in bytes.

    connections_max: one more is closed at once. idle: a connection may wait so long for its next
    request, and a request for its next byte. write: so long may a caller not read.
    """

    connections_max: int = 1024
    head_bytes_max: int = 16 << 10
    body_bytes_max: int = 2 << 20
    idle_seconds: float = 60.0
    write_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """headers: names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpReply:
    """stream: if there is one, it writes the rest of the body by `Send` until it returns."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    stream: Callable[[Send], Awaitable[None]] | None = None


class CallerGone(Exception):
    """The other side of a connection is not there any more, or does not read."""


Handle = Callable[[HttpRequest], Awaitable[HttpReply]]


class HttpServer:
    def __init__(self, handle: Handle, limits: GatewayLimits) -> None:
        self._handle = handle
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | EitherPort | None = None
        self._stopped = False

    async def start(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, tls_optional: bool = False
    ) -> int:
        """Returns the port. tls_optional: it takes plain text, too. Raises OSError."""
        if tls is not None and tls_optional:
            return self._start_either(f"{host}:{port}", tls)
        self._server = await asyncio.start_server(
            self._accept, host, port, limit=self._limits.head_bytes_max, ssl=tls
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def _start_either(self, address: str, tls: ssl.SSLContext) -> int:
        loop = asyncio.get_running_loop()

        async def serve(made: socket.socket, secure: bool) -> None:
            context = tls if secure else None
            await loop.connect_accepted_socket(self._protocol, made, ssl=context)

        listener = bound(address)
        port: int = listener.getsockname()[1]
        self._server = EitherPort(
            listener, serve, self._limits.connections_max, self._limits.idle_seconds
        )
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
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._limits.connections_max:
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(reader, writer, self._handle, self._limits)
        try:
            with contextlib.suppress(
                CallerGone, OSError, TimeoutError, h11.RemoteProtocolError, asyncio.CancelledError
            ):
                await connection.serve()
        except Exception:
            # What nobody catches would stop the node, and a stranger's request must not.
            LOG.exception("gateway: a connection ended by an error that is not declared")
        finally:
            self._tasks.discard(task)
            writer.close()


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handle: Handle,
        limits: GatewayLimits,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handle = handle
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes_max)

    async def serve(self) -> None:
        """Until the other side closes, or breaks a rule, or stays silent for too long."""
        while True:
            try:
                request = await self._request()
            except h11.RemoteProtocolError as error:
                await self._refuse(error)
                return
            if request is None:
                return
            await self._answer(request)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> HttpRequest | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = await self._event()
            if isinstance(event, h11.Request):
                head = event
                size = sum(len(name) + len(value) for name, value in head.headers)
                if size + len(head.target) > self._limits.head_bytes_max:
                    raise h11.RemoteProtocolError("the head is too long", 431)
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._limits.body_bytes_max:
                    raise h11.RemoteProtocolError("the body is too long", 413)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return _request_of(head, bytes(body))
            else:
                return None

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(self._limits.idle_seconds):
                data = await self._reader.read(64 << 10)
            self._http.receive_data(data)
        return event

    async def _answer(self, request: HttpRequest) -> None:
        """The caller may go while its request is served: then the work for it ends."""
        work = asyncio.ensure_future(self._handle(request))
        reply = await self._while_there(work)
        headers = [("content-type", reply.content_type)]
        if reply.stream is None:
            headers.append(("content-length", str(len(reply.body))))
            await self._send(h11.Response(status_code=reply.status, headers=headers))
            if request.method != "HEAD":
                await self._send(h11.Data(data=reply.body))
        else:
            headers.append(("transfer-encoding", "chunked"))
            await self._send(h11.Response(status_code=reply.status, headers=headers))
            stream = asyncio.ensure_future(reply.stream(self._chunk))
            await self._while_there(stream)
        await self._send(h11.EndOfMessage())

    async def _while_there(self, work: asyncio.Future[Value]) -> Value:
        """Raises CallerGone if the other side closes before `work` is done."""
        gone = asyncio.ensure_future(self._closed())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise CallerGone
            return work.result()
        finally:
            for task in (work, gone):
                if not task.done():
                    task.cancel()
            # Both are asked how they ended: what nobody hears of would stop the node.
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _closed(self) -> None:
        """Returns when the other side has closed. What it sends meanwhile is kept, to a limit."""
        size = 0
        while data := await self._reader.read(64 << 10):
            size += len(data)
            if size > self._limits.body_bytes_max:
                return
            self._http.receive_data(data)

    async def _chunk(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if not data:
            return
        self._writer.write(data)
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                await self._writer.drain()
        except (OSError, TimeoutError):
            raise CallerGone from None

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = f"{error}\n".encode()
        headers = [
            ("content-type", "text/plain"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        status = error.error_status_hint or 400
        await self._send(h11.Response(status_code=status, headers=headers))
        await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())


def _request_of(head: h11.Request, body: bytes) -> HttpRequest:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    path = head.target.decode("latin-1").partition("?")[0]
    return HttpRequest(head.method.decode("latin-1"), path, headers, body)
