"""The cases of gRPC's interoperability list, each transport with itself and with the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.h2.peers import KINDS, MESSAGE_MAX, Methods, channel_to, run, serving

BASE = "/test.Interop/"

Case = Callable[[Any, Methods], Awaitable[None]]


async def empty_unary(channel: Any, _: Methods) -> None:
    assert await channel.unary_unary(BASE + "Empty")(b"", timeout=10) == b""


async def large_unary(channel: Any, _: Methods) -> None:
    for size in (271_828, MESSAGE_MAX):
        assert await channel.unary_unary(BASE + "Echo")(b"x" * size, timeout=10) == b"x" * size


async def client_streaming(channel: Any, _: Methods) -> None:
    async def requests() -> AsyncIterator[bytes]:
        for size in (27_182, 8, 1_828, 45_904):
            yield b"x" * size

    assert await channel.stream_unary(BASE + "Total")(requests(), timeout=10) == b"74922"


async def server_streaming(channel: Any, _: Methods) -> None:
    for method in ("Sizes", "Written"):
        call = channel.unary_stream(BASE + method)(b"31415 9 2653 58979 0 3000000", timeout=10)
        sizes = [len(message) async for message in call]
        assert sizes == [31_415, 9, 2_653, 58_979, 0, 3_000_000]
        assert await call.code() is grpc.StatusCode.OK


async def ping_pong(channel: Any, _: Methods) -> None:
    call = channel.stream_stream(BASE + "Bounce")(timeout=10)
    for size in (27_182, 8, 0, 1_828, 45_904):
        await call.write(b"x" * size)
        assert await call.read() == b"x" * size
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def empty_stream(channel: Any, _: Methods) -> None:
    call = channel.stream_stream(BASE + "Bounce")(timeout=10)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def cancel_after_begin(channel: Any, methods: Methods) -> None:
    call = channel.stream_stream(BASE + "Bounce")(timeout=10)
    await asyncio.wait_for(methods.begun.wait(), 10)
    assert call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    await asyncio.wait_for(methods.gone.wait(), 10)


async def cancel_after_first_response(channel: Any, methods: Methods) -> None:
    call = channel.stream_stream(BASE + "Bounce")(timeout=10)
    await call.write(b"one")
    assert await call.read() == b"one"
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert await call.code() is grpc.StatusCode.CANCELLED
    await asyncio.wait_for(methods.gone.wait(), 10)


async def cancelled_with_its_task(channel: Any, methods: Methods) -> None:
    async def ask() -> None:
        await channel.unary_unary(BASE + "Sleep")(b"", timeout=10)

    task = asyncio.ensure_future(ask())
    await asyncio.wait_for(methods.begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(methods.gone.wait(), 10)


async def timeout_on_sleeping_server(channel: Any, methods: Methods) -> None:
    error = await error_of(channel.unary_unary(BASE + "Sleep")(b"", timeout=0.1))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(methods.gone.wait(), 10)


async def custom_metadata(channel: Any, methods: Methods) -> None:
    binary = bytes(range(256))
    metadata = (("x-initial", "värde".encode().hex()), ("x-trailing-bin", binary))
    call = channel.unary_unary(BASE + "Echo")(b"hello", metadata=metadata, timeout=7)
    assert await call == b"hello"
    assert (await call.initial_metadata())["x-initial"] == "värde".encode().hex()
    assert (await call.trailing_metadata())["x-trailing-bin"] == binary
    assert methods.remaining is not None
    assert 1 < methods.remaining < 7.5


async def status_code_and_message(channel: Any, _: Methods) -> None:
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈 %41\t\n"
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        said = f"{code.value[0]} {text}".encode()
        call = channel.unary_unary(BASE + "Status")(said, timeout=10)
        if code is grpc.StatusCode.CANCELLED:
            assert await call.code() is code
            continue
        error = await error_of(call)
        assert (error.code(), error.details()) == (code, text)


async def unimplemented(channel: Any, _: Methods) -> None:
    for path in (BASE + "Nothing", "/test.Nobody/Nothing", "/", "/x"):
        error = await error_of(channel.unary_unary(path)(b"", timeout=10))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        call = channel.stream_stream(path)(timeout=10)
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def servicer_that_raises(channel: Any, _: Methods) -> None:
    error = await error_of(channel.unary_unary(BASE + "Broken")(b"", timeout=10))
    assert error.code() is grpc.StatusCode.UNKNOWN
    assert "a mistake of the servicer" in (error.details() or "")


async def too_large(channel: Any, _: Methods) -> None:
    error = await error_of(channel.unary_unary(BASE + "Echo")(b"x" * (MESSAGE_MAX + 1), timeout=10))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    call = channel.unary_stream(BASE + "Sizes")(b"10 %d" % (MESSAGE_MAX + 1), timeout=10)
    assert await call.read() == b"s" * 10
    error = await error_of(call.read())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await channel.unary_unary(BASE + "Empty")(b"", timeout=10) == b""


async def many_at_a_time(channel: Any, _: Methods) -> None:
    async def one(number: int) -> None:
        message = b"%d" % number * 2000
        assert await channel.unary_unary(BASE + "Echo")(message, timeout=20) == message

    await asyncio.gather(*(one(number) for number in range(200)))


CASES: tuple[Case, ...] = (
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    cancel_after_begin,
    cancel_after_first_response,
    cancelled_with_its_task,
    timeout_on_sleeping_server,
    custom_metadata,
    status_code_and_message,
    unimplemented,
    servicer_that_raises,
    too_large,
    many_at_a_time,
)


async def error_of(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("client", KINDS)
@pytest.mark.parametrize("server", KINDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_interop(case: Case, server: str, client: str) -> None:
    async def main() -> None:
        async with serving(server) as (address, methods, _), channel_to(client, address) as channel:
            await case(channel, methods)

    run(main())


def test_a_blocking_client_of_grpcio() -> None:
    """Health, reflection and every raftctl use it."""

    def ask(address: str) -> None:
        plain: Any = grpc.insecure_channel(address)
        with plain as channel:
            assert channel.unary_unary("/test.Callback/Echo")(b"hi", timeout=10) == b"hi"
            raw = channel.stream_stream("/test.Callback/Bounce")
            assert list(raw(iter((b"a", b"", b"c" * 100_000)), timeout=10))[2] == b"c" * 100_000
            gzip = channel.unary_unary("/test.Interop/Echo")
            message = b"pressed " * 10_000
            assert gzip(message, timeout=10, compression=grpc.Compression.Gzip) == message
            deflate = channel.unary_unary("/test.Interop/Echo").with_call
            with pytest.raises(grpc.RpcError) as caught:
                deflate(message, timeout=10, compression=grpc.Compression.Deflate)
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    async def main() -> None:
        async with serving("h2") as (address, _, _server):
            await asyncio.to_thread(ask, address)

    run(main())


def test_a_bomb_of_gzip_is_refused() -> None:
    def ask(address: str) -> None:
        plain: Any = grpc.insecure_channel(address)
        with plain as channel:
            call = channel.unary_unary("/test.Interop/Echo")
            with pytest.raises(grpc.RpcError) as caught:
                call(b"\0" * (MESSAGE_MAX + 1), timeout=10, compression=grpc.Compression.Gzip)
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    async def main() -> None:
        async with serving("h2") as (address, _, _server):
            await asyncio.to_thread(ask, address)

    run(main())
