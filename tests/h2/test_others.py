"""gRPC's interoperability cases with grpc-go and grpc-js, as clients and as servers.

Skipped where they are not there: `python -m tests.h2.others`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest

from tests.h2 import test_interop as interop
from tests.h2.others import command_of
from tests.h2.peers import Methods, channel_to, run, serving

LIBRARIES = ("grpc-go", "grpc-js")
CASES = 10
SECONDS = 60.0


def command(library: str) -> list[str]:
    found = command_of(library)
    if not found:
        pytest.skip(f"no {library}: python -m tests.h2.others")
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_their_client_at_our_server(library: str) -> None:
    words = command(library)

    async def test() -> None:
        async with serving("h2") as (address, _, _):
            client = await asyncio.create_subprocess_exec(
                *words, "client", address, stdout=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(SECONDS):
                said, _ = await client.communicate()
        lines = said.decode().splitlines()
        assert [line for line in lines if not line.startswith("ok ")] == []
        assert len(lines) == CASES

    run(test())


@contextlib.asynccontextmanager
async def their_server(words: list[str]) -> AsyncIterator[str]:
    server = await asyncio.create_subprocess_exec(*words, "server", stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            port = await server.stdout.readline()
        yield f"127.0.0.1:{int(port)}"
    finally:
        server.kill()
        await server.communicate()


@pytest.mark.parametrize("library", LIBRARIES)
def test_our_client_at_their_server(library: str) -> None:
    words = command(library)

    async def test() -> None:
        async with their_server(words) as address, channel_to("h2", address) as channel:
            for case in (
                interop.empty_unary,
                interop.client_streaming,
                interop.ping_pong,
                interop.empty_stream,
                interop.status_code_and_message,
            ):
                async with asyncio.timeout(SECONDS):
                    await case(channel, Methods())
            data = b"x" * 3_000_000
            assert await channel.unary_unary(interop.BASE + "Echo")(data, timeout=20) == data
            sizes = channel.unary_stream(interop.BASE + "Sizes")(b"31415 9 0 300000", timeout=20)
            assert [len(one) async for one in sizes] == [31_415, 9, 0, 300_000]
            late = channel.unary_unary(interop.BASE + "Sleep")(b"", timeout=0.2)
            error = await interop.error_of(late)
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            nothing = channel.unary_unary(interop.BASE + "Nothing")(b"", timeout=20)
            error = await interop.error_of(nothing)
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    run(test())
