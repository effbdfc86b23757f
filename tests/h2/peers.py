"""Servers and clients of both transports, with the methods of gRPC's own interoperability list."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc
import grpc.aio

from raftd.h2.channel import Channel
from raftd.h2.server import Server
from raftd.h2.server_call import ServerCall
from raftd.h2.settings import ChannelSettings, ConnectionSettings, ServerLimits

KINDS = ("h2", "grpcio")
MESSAGE_MAX = 4 << 20

Behaviour = Any


class Methods:
    """`seen` tells what the server noticed."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gone = asyncio.Event()
        self.begun = asyncio.Event()
        self.remaining: float | None = None

    async def empty(self, request: bytes, context: Any) -> bytes:
        return b""

    async def echo(self, request: bytes, context: Any) -> bytes:
        found = dict(context.invocation_metadata())
        await context.send_initial_metadata((("x-initial", str(found.get("x-initial", ""))),))
        binary = found.get("x-trailing-bin", b"")
        context.set_trailing_metadata((("x-trailing-bin", binary),))
        self.remaining = context.time_remaining()
        return request

    async def status(self, request: bytes, context: Any) -> bytes:
        number, _, text = request.decode().partition(" ")
        code = next(code for code in grpc.StatusCode if code.value[0] == int(number))
        await context.abort(code, text)
        raise AssertionError

    async def sleep(self, request: bytes, context: Any) -> bytes:
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.gone.set()
            raise
        return b""

    async def broken(self, request: bytes, context: Any) -> bytes:
        raise KeyError("a mistake of the servicer")

    async def sizes(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """A response of each size asked for."""
        for size in request.split():
            yield b"s" * int(size)

    async def written(self, request: bytes, context: Any) -> None:
        for size in request.split():
            await context.write(b"s" * int(size))

    async def total(self, requests: Any, context: Any) -> bytes:
        total = 0
        async for request in requests:
            total += len(request)
        return b"%d" % total

    async def bounce(self, _requests: Any, context: Any) -> None:
        self.begun.set()
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                await context.write(message)
        finally:
            self.gone.set()

    def handlers(self) -> dict[str, Any]:
        return {
            "Empty": grpc.unary_unary_rpc_method_handler(self.empty),
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Status": grpc.unary_unary_rpc_method_handler(self.status),
            "Sleep": grpc.unary_unary_rpc_method_handler(self.sleep),
            "Broken": grpc.unary_unary_rpc_method_handler(self.broken),
            "Sizes": grpc.unary_stream_rpc_method_handler(self.sizes),
            "Written": grpc.unary_stream_rpc_method_handler(self.written),
            "Total": grpc.stream_unary_rpc_method_handler(self.total),
            "Bounce": grpc.stream_stream_rpc_method_handler(self.bounce),
        }


def callbacks(server: Server) -> None:
    """The same as Echo and Bounce, without a task."""
    server.add_unary("/test.Callback/Echo", lambda message, call: call.answer(message))

    def bounce(call: ServerCall) -> None:
        call.on_message = call.reply
        call.on_request_end = call.finish

    server.add_stream("/test.Callback/Bounce", bounce)


@contextlib.asynccontextmanager
async def serving(
    kind: str, limits: ServerLimits | None = None
) -> AsyncIterator[tuple[str, Methods, Any]]:
    """Yields address, methods, server."""
    methods = Methods()
    server: Any
    if kind == "h2":
        settings = ConnectionSettings(message_max=MESSAGE_MAX)
        server = Server(limits or ServerLimits(connection=settings))
        callbacks(server)
    else:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handler = grpc.method_handlers_generic_handler("test.Interop", methods.handlers())
        server.add_generic_rpc_handlers((handler,))
    server.add_registered_method_handlers("test.Interop", methods.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", methods, server
    finally:
        await server.stop(0)


def channel_to(kind: str, address: str, settings: ChannelSettings | None = None) -> Any:
    if kind == "h2":
        if settings is None:
            settings = ChannelSettings(connection=ConnectionSettings(message_max=MESSAGE_MAX))
        return Channel(address, settings)
    return grpc.aio.insecure_channel(address)


@contextlib.asynccontextmanager
async def joined(
    limits: ServerLimits | None = None,
    settings: ChannelSettings | None = None,
    client: str = "h2",
) -> AsyncIterator[tuple[Any, Methods, Any]]:
    """A server on raftd/h2 and a channel to it. Yields channel, methods, server."""
    async with (
        serving("h2", limits) as (address, methods, server),
        channel_to(client, address, settings) as channel,
    ):
        yield channel, methods, server


def run(main: Coroutine[Any, Any, None]) -> None:
    """Not on uvloop, which with grpcio's asyncio layer in one process may never close."""

    async def to_the_end() -> None:
        await main
        for _ in range(5):  # a socket is closed a turn after its protocol was told
            await asyncio.sleep(0.001)

    asyncio.run(to_the_end())


async def until(reached: Callable[[], bool], seconds: float = 10.0) -> None:
    loop = asyncio.get_running_loop()
    limit = loop.time() + seconds
    while not reached():
        assert loop.time() < limit, "not reached in time"
        await asyncio.sleep(0.005)
