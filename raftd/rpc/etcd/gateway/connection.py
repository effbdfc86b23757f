"""One connection of the gateway: HTTP/1.1, parsed and written by h11. Network thread only."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TypeVar

import h11

from raftd.h2.vigil import peer_name
from raftd.rpc.etcd.gateway.held import SMALL_BYTES, Held
from raftd.rpc.etcd.gateway.http import (
    CallerGone,
    GatewayLimits,
    Handle,
    HttpReply,
    HttpRequest,
    Stream,
    StreamFailed,
    Turn,
)

Value = TypeVar("Value")

BODY_STEP_BYTES = 64 << 10
"""A body is counted in steps."""

PIPELINED_BYTES_MAX = 64 << 10
"""Of requests that come while one is served. Who sends more without a look at an answer is cut."""


class Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handle: Handle,
        limits: GatewayLimits,
        held: Held,
        turn: Turn,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handle = handle
        self._limits = limits
        self._held = held
        self._turn = turn
        self._peer = peer_name(writer.transport)
        self._until: float | None = None
        """When the request must have come that has begun to."""
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes_max)

    async def serve(self) -> None:
        """Until the other side closes, or breaks a rule, or stays silent for too long.

        Raises CallerGone, OSError, TimeoutError.
        """
        with contextlib.suppress(h11.RemoteProtocolError):
            await self._serve()

    async def _serve(self) -> None:
        while True:
            with contextlib.ExitStack() as kept:
                try:
                    request = await self._request(kept)
                except h11.RemoteProtocolError as error:
                    await self._refuse(error)
                    return
                if request is None:
                    return
                await self._answer(request)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self, kept: contextlib.ExitStack) -> HttpRequest | None:
        """kept: lasts as long as the request is."""
        head: h11.Request | None = None
        body, counted = bytearray(), SMALL_BYTES
        self._until = None
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
                if len(body) > counted:
                    counted += self._keep(kept, len(body) - counted)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return _request_of(head, bytes(body), self._turn, self._peer, kept)
            else:
                return None

    def _keep(self, kept: contextlib.ExitStack, size: int) -> int:
        """Some steps ahead, for `size` more bytes of a body."""
        size = max(size, BODY_STEP_BYTES)
        if not self._held.room(size):
            raise h11.RemoteProtocolError("too many requests are on their way: try again", 503)
        kept.enter_context(self._held.kept(size))
        return size

    async def _event(self) -> object:
        loop = asyncio.get_running_loop()
        while (event := self._http.next_event()) is h11.NEED_DATA:
            idle_until = loop.time() + self._limits.idle_seconds
            until = idle_until if self._until is None else min(idle_until, self._until)
            async with asyncio.timeout_at(until):
                data = await self._reader.read(64 << 10)
            if self._until is None:
                self._until = loop.time() + self._limits.request_seconds
            self._http.receive_data(data)
        return event

    async def _answer(self, request: HttpRequest) -> None:
        """The caller may go while its request is served: then the work for it ends."""
        work = asyncio.ensure_future(self._handle(request))
        reply = await self._while_there(work)
        if reply.stream is not None:
            await self._streamed(reply, reply.stream)
        else:
            length = "content-length", str(len(reply.body))
            await self._head(reply.status, [("content-type", reply.content_type), length])
            if request.method != "HEAD":
                await self._chunk(reply.body)
        await self._send(h11.EndOfMessage())

    async def _streamed(self, reply: HttpReply, stream: Stream) -> None:
        """A failure before the first piece is the reply's status, as in etcd: Patroni takes an
        error behind a 200 for the answer that its lease is gone.
        """
        headers = [("content-type", reply.content_type), ("transfer-encoding", "chunked")]
        begun = False

        async def begin(status: int) -> None:
            nonlocal begun
            if not begun:
                begun = True
                await self._head(status, headers)

        async def send(piece: bytes) -> None:
            await begin(reply.status)
            await self._chunk(piece)

        try:
            await self._while_there(asyncio.ensure_future(stream(send)))
            await begin(reply.status)
        except StreamFailed as error:
            await begin(error.status)
            await self._chunk(error.line)

    async def _head(self, status: int, headers: list[tuple[str, str]]) -> None:
        reason = HTTPStatus(status).phrase
        await self._send(h11.Response(status_code=status, headers=headers, reason=reason))

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
            if size > PIPELINED_BYTES_MAX:
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
        await self._head(error.error_status_hint or 400, headers)
        await self._chunk(body)
        await self._send(h11.EndOfMessage())


def _request_of(
    head: h11.Request, body: bytes, turn: Turn, peer: str, kept: contextlib.ExitStack
) -> HttpRequest:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    path = head.target.decode("latin-1").partition("?")[0]
    return HttpRequest(head.method.decode("latin-1"), path, headers, body, turn, peer, kept)
