"""A crowd at the gateway: what all its connections together may cost the thread, and the memory."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.gateway.connection import PIPELINED_BYTES_MAX
from raftd.rpc.etcd.gateway.held import Held
from raftd.rpc.etcd.gateway.http import GatewayLimits
from raftd.rpc.plumbing.turns import Turns
from tests.etcd.test_gateway import WAIT, Port, Services, serving

HELD_SECONDS = 0.5
"""Of this thread's own time between two turns of the loop."""


class Large(Services):
    """Answers with so many keys, of so many bytes each."""

    keys, value = 1, b""

    async def get(self, request: pb.RangeRequest, caller: Caller) -> pb.RangeResponse:
        kvs = [pb.KeyValue(key=b"%06d" % key, value=self.value) for key in range(self.keys)]
        return pb.RangeResponse(kvs=kvs, count=self.keys)


Connect = Callable[[], Awaitable[Port]]
Run = Callable[[Large, Connect, Held], Awaitable[None]]


def run(test: Run, limits: GatewayLimits | None = None) -> None:
    limits = limits or GatewayLimits()

    async def whole() -> None:
        services, held = Large(), Held(limits.held_bytes_max)
        async with asyncio.timeout(WAIT * 2):
            async with serving(services, limits, held, Turns()) as connect:
                await test(services, connect, held)
            assert not held.bytes

    asyncio.run(whole())


async def longest_turn(over: Awaitable[object]) -> float:
    """Of the loop, in seconds of this thread's own time, while `over` goes on.

    The collector is off: it takes a tenth of a second where all tests' modules are loaded.
    """
    gc.disable()
    try:
        work, longest, at = asyncio.ensure_future(over), 0.0, time.thread_time()
        while not work.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, at = max(longest, now - at), now
        await work
    finally:
        gc.enable()
    return longest


def test_a_crowd_of_large_requests_is_taken_in_turn() -> None:
    """The story without it: a hundred transactions that came at once were read in one turn of the
    loop, for seconds, and the followers heard no heartbeat.
    """
    body = b'{"key":"YQ=="}' + b"{}" * 1900

    async def test(services: Large, connect: Connect, held: Held) -> None:
        ports = [await connect() for _ in range(100)]

        async def one(port: Port) -> None:
            await port.ask("POST", "/v3/kv/range", body)
            assert (await port.reply())[0] == 200

        async def all_at_once() -> None:
            await asyncio.gather(*map(one, ports))

        assert await longest_turn(all_at_once()) < HELD_SECONDS / 3

    run(test)


def test_a_large_answer_is_made_a_piece_at_a_time() -> None:
    """The story without it: whoever asked for all keys as JSON held the thread until all were."""

    async def test(services: Large, connect: Connect, held: Held) -> None:
        services.keys, services.value = 60_000, b"v"
        port = await connect()

        async def ask() -> None:
            await port.ask("POST", "/v3/kv/range", b'{"key":"YQ=="}')
            status, fields = await port.head()
            assert (status, fields["transfer-encoding"]) == (200, "chunked")
            whole = bytearray()
            while chunk := await port.chunk():
                whole += chunk
            assert len(json.loads(whole)["kvs"]) == services.keys
            await port.ask("GET", "/health")  # the connection goes on
            assert (await port.reply())[0] == 200

        assert await longest_turn(ask()) < HELD_SECONDS

    run(test)


def test_answers_that_nobody_reads_have_a_limit_together() -> None:
    """The story without it: each connection could keep an answer of tens of megabytes."""

    async def test(services: Large, connect: Connect, held: Held) -> None:
        services.keys, services.value = 400, bytes(50_000)
        first, second = await connect(), await connect()
        await first.ask("POST", "/v3/kv/range", b'{"key":"YQ=="}')
        assert (await first.head())[0] == 200
        while not held.bytes:
            await asyncio.sleep(0.01)
        await second.ask("POST", "/v3/kv/range", b'{"key":"YQ=="}')
        status, said = await second.reply()
        assert status == 429
        assert b"read them" in said
        first.writer.close()
        while held.bytes:
            await asyncio.sleep(0.01)
        await second.ask("POST", "/v3/kv/range", b'{"key":"YQ=="}')
        assert (await second.head())[0] == 200

    run(test, GatewayLimits(held_bytes_max=1 << 20))


def test_answers_that_come_at_once_have_that_limit_too() -> None:
    """The story without it: each found room, for none had begun to leave."""

    async def test(services: Large, connect: Connect, held: Held) -> None:
        services.keys, services.value = 40, bytes(50_000)
        ports = [await connect() for _ in range(6)]
        for port in ports:
            await port.ask("POST", "/v3/kv/range", b'{"key":"YQ=="}')
        heads = await asyncio.gather(*(port.head() for port in ports))
        assert sorted(status for status, _ in heads) == [200] + [429] * 5

    run(test, GatewayLimits(held_bytes_max=1 << 20))


def test_requests_that_come_have_a_limit_together() -> None:
    async def test(services: Large, connect: Connect, held: Held) -> None:
        slow, other = await connect(), await connect()
        head = "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"
        slow.writer.write(head.encode() + bytes(200_000))
        while held.bytes < 190_000:
            await asyncio.sleep(0.01)
        await other.ask("POST", "/v3/kv/range", b'{"key":"YQ=="}' + b" " * 80_000)
        assert (await other.head())[0] == 503
        small = await connect()
        await small.ask("POST", "/v3/kv/range", b'{"key":"YQ=="}')
        assert (await small.reply())[0] == 200
        slow.writer.close()
        while held.bytes:
            await asyncio.sleep(0.01)
        again = await connect()
        await again.ask("POST", "/v3/kv/range", b'{"key":"YQ=="}' + b" " * 80_000)
        assert (await again.reply())[0] == 200

    run(test, GatewayLimits(held_bytes_max=256 << 10))


@pytest.mark.parametrize("what", ["head", "body"])
def test_who_sends_a_byte_now_and_then_is_let_go(what: str) -> None:
    """The story without it: a thousand such callers had the gateway to themselves for ever."""

    async def test(services: Large, connect: Connect, held: Held) -> None:
        port = await connect()
        await port.ask("GET", "/health")  # time begins with each request
        assert (await port.reply())[0] == 200
        port.writer.write(b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n")
        port.writer.write(b"X: " if what == "head" else b"\r\n")
        gone = asyncio.ensure_future(port.reader.read())
        began = time.monotonic()
        while not gone.done():
            assert time.monotonic() - began < WAIT / 2, "it goes on"
            port.writer.write(b"x")
            await asyncio.sleep(0.02)

    run(test, GatewayLimits(idle_seconds=WAIT, request_seconds=0.3))


def test_what_comes_while_a_request_is_served_has_a_limit() -> None:
    async def test(services: Large, connect: Connect, held: Held) -> None:
        port = await connect()
        await port.ask("POST", "/v3/watch", b'{"create_request":{"key":"YQ=="}}')
        assert (await port.head())[0] == 200
        port.writer.write(b"x" * (PIPELINED_BYTES_MAX * 2))
        await services.ended.wait()

    run(test)
