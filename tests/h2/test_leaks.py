"""Connections and calls leave nothing that only the cyclic collector frees.

A daemon keeps that one from looking at everything (raftd/daemon/resources.py), so whatever waits
for it stays for ever.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from raftd.h2.client_call import ClientCall
from raftd.h2.client_connection import ClientConnection
from raftd.h2.server_call import ServerCall
from raftd.h2.server_connection import ServerConnection
from raftd.rpc.plumbing.turns import Turns, begin_in_turn
from tests.h2.peers import channel_to, run, serving
from tests.h2.test_interop import BASE

KINDS = (ServerConnection, ServerCall, ClientConnection, ClientCall)
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def alive(but: Sequence[object] = ()) -> list[object]:
    """Connections and calls that there are, but these."""
    known = {id(one) for one in but}
    return [one for one in gc.get_objects() if type(one) in KINDS and id(one) not in known]


async def none_left(before: Sequence[object]) -> None:
    """A socket is closed some turns after its end."""
    try:
        async with asyncio.timeout(5):
            while alive(before):
                await asyncio.sleep(0.01)
    except TimeoutError:
        more = Counter(type(one).__name__ for one in alive(before))
        raise AssertionError(f"still there: {more}") from None


async def cut_connections(address: str) -> None:
    host, _, port = address.rpartition(":")
    for words in (b"", OPENING, OPENING[:10], b"GET / HTTP/1.1\r\n\r\n"):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(words)
        await asyncio.sleep(0.01)
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()


async def calls(address: str) -> None:
    async with channel_to("h2", address) as channel:
        assert await channel.unary_unary(BASE + "Echo")(b"x", timeout=5) == b"x"
        sizes = channel.unary_stream(BASE + "Sizes")(b"1 2", timeout=5)
        assert [len(one) async for one in sizes] == [1, 2]
        stream = channel.stream_stream(BASE + "Bounce")(timeout=5)
        await stream.write(b"y")
        assert await stream.read() == b"y"
        cancelled = channel.unary_unary(BASE + "Sleep")(b"", timeout=5)
        await asyncio.sleep(0.01)
        cancelled.cancel()
        told: list[Any] = []
        channel.unary_unary(BASE + "Echo")(b"z", timeout=5).settle(
            lambda answer, error: told.append((answer, error))
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(BASE + "Sleep")(b"", timeout=0.02)
        assert told == [(b"z", None)]


def test_nothing_waits_for_the_collector() -> None:
    async def test() -> None:
        async with serving("h2") as (address, _, server):
            begin_in_turn(server, Turns())
            gc.collect()
            # Of other tests: a loop that was closed under an open connection. They are held, so
            # that no new one is taken for one of them.
            before = alive()
            gc.disable()
            try:
                await cut_connections(address)
                await calls(address)
                await none_left(before)
            finally:
                gc.enable()

    run(test())
