"""The JSON gateway over real sockets, with handlers that do what the test says."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.calls import Caller, Conversation, Method
from raftd.rpc.etcd.faults import fault
from raftd.rpc.etcd.gateway.gateway import Gateway
from raftd.rpc.etcd.gateway.held import Held
from raftd.rpc.etcd.gateway.http import GatewayLimits
from raftd.rpc.etcd.gateway.server import HttpServer
from raftd.rpc.plumbing.turns import Turns
from raftd.tls.contexts import server_context
from tests.tls.made import authority, node_files

WAIT = 20.0


class Services:
    """What is called, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Caller]] = []
        self.ended = asyncio.Event()
        self.unhealthy = ""

    async def get(self, request: pb.RangeRequest, caller: Caller) -> pb.RangeResponse:
        self.asked.append((request, caller))
        if not request.key:
            raise fault("empty_key")
        if request.key == b"bug":
            raise ValueError("a bug")
        header = pb.ResponseHeader(cluster_id=2**63, revision=5)
        kv = pb.KeyValue(key=request.key, value=b"\xff\0", mod_revision=2**40)
        return pb.RangeResponse(header=header, kvs=[kv], count=1)

    async def watch(self, talk: Conversation) -> None:
        try:
            while (request := await talk.receive()) is not None:
                self.asked.append((request, talk.caller))
                await talk.send(pb.WatchResponse(created=True, watch_id=len(self.asked)))
        finally:
            self.ended.set()

    async def renew(self, talk: Conversation) -> None:
        while (request := await talk.receive()) is not None:
            if request.ID == 13:
                raise fault("no_leader")
            if request.ID == 14:
                raise ValueError("a bug")
            await talk.send(pb.LeaseKeepAliveResponse(ID=request.ID, TTL=7))

    def methods(self) -> list[Method]:
        return [
            Method("/etcdserverpb.KV/Range", pb.RangeRequest, pb.RangeResponse, self.get),
            Method(
                "/etcdserverpb.Watch/Watch",
                pb.WatchRequest,
                pb.WatchResponse,
                streaming=self.watch,
                client_streams=True,
            ),
            Method(
                "/etcdserverpb.Lease/LeaseKeepAlive",
                pb.LeaseKeepAliveRequest,
                pb.LeaseKeepAliveResponse,
                streaming=self.renew,
                client_streams=True,
            ),
        ]


class Port:
    """A raw connection to the gateway: tests see every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str, path: str, body: bytes = b"", more: str = "") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), fields

    async def reply(self) -> tuple[int, bytes]:
        status, fields = await self.head()
        return status, await self.reader.readexactly(int(fields["content-length"]))

    async def chunk(self) -> bytes:
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readline()
        return data


Run = Callable[[Services, Callable[[], Awaitable[Port]]], Awaitable[None]]


@asynccontextmanager
async def serving(
    services: Services, limits: GatewayLimits, held: Held | None = None, turns: Turns | None = None
) -> AsyncIterator[Callable[[], Awaitable[Port]]]:
    held = held or Held(limits.held_bytes_max)
    gateway = Gateway(services.methods(), lambda: services.unhealthy, held)
    server = HttpServer(gateway.handle, limits, held, turns)
    number = await server.start("127.0.0.1", 0)
    opened: list[Port] = []

    async def connect() -> Port:
        opened.append(Port(*await asyncio.open_connection("127.0.0.1", number)))
        return opened[-1]

    try:
        yield connect
    finally:
        for port in opened:
            port.writer.close()
        await server.stop()


def run(test: Run, limits: GatewayLimits | None = None) -> None:
    async def whole() -> None:
        services = Services()
        async with asyncio.timeout(WAIT), serving(services, limits or GatewayLimits()) as connect:
            await test(services, connect)

    asyncio.run(whole())


def test_json_is_as_etcds_gateway_writes_it() -> None:
    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        for prefix in ("/v3", "/v3beta"):
            body = b'{"key": "YQ==", "limit": "3"}'
            await port.ask("POST", f"{prefix}/kv/range", body, "Authorization: secret\r\n")
            status, answer = await port.reply()
            assert status == 200
            assert json.loads(answer) == {
                "header": {"cluster_id": str(2**63), "revision": "5"},
                "kvs": [{"key": "YQ==", "mod_revision": str(2**40), "value": "/wA="}],
                "count": "1",
            }
        request, caller = services.asked[0]
        assert (request.key, request.limit) == (b"a", 3)
        assert caller.metadata == {"authorization": "secret"}
        host, number = port.writer.get_extra_info("sockname")
        assert caller.peer == f"ipv4:{host}:{number}"  # the audit says from where

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/v3/kv/range", b"{}", 400, b'"code":3'),
        ("POST", "/v3/kv/range", b"", 400, b"key is not provided"),
        ("POST", "/v3/kv/range", b'{"key', 400, b'"error"'),
        ("POST", "/v3/kv/range", b'{"key": 5}', 400, b'"error"'),
        ("POST", "/v3/kv/range", b"[" * 100_000, 400, b'"error"'),
        ("GET", "/v3/kv/range", b"", 405, b"Method Not Allowed"),
        ("POST", "/v3/kv/nothing", b"{}", 404, b"Not Found"),
        ("GET", "/version", b"", 200, b'"etcdcluster":"3.5.0"'),
        ("GET", "/health", b"", 200, b'{"health":"true"}'),
    ],
)
def test_every_path_answers(method: str, path: str, body: bytes, status: int, said: bytes) -> None:
    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        await port.ask(method, path, body)
        got, answer = await port.reply()
        assert got == status
        assert said in answer
        await port.ask("GET", "/health")  # the connection goes on
        assert (await port.reply())[0] == 200

    run(test)


def test_health_says_why_not() -> None:
    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        services.unhealthy = "no leader"
        port = await connect()
        await port.ask("GET", "/health")
        assert await port.reply() == (503, b'{"health":"false","reason":"no leader"}')

    run(test)


def test_a_watch_goes_on_and_ends_with_its_caller() -> None:
    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        one = b'{"create_request": {"key": "YQ=="}}'
        await port.ask("POST", "/v3/watch", one + b"\n" + one)
        status, fields = await port.head()
        assert (status, fields["transfer-encoding"]) == (200, "chunked")
        for number in ("1", "2"):
            line = await port.chunk()
            assert json.loads(line) == {"result": {"created": True, "watch_id": number}}
        port.writer.close()
        await services.ended.wait()

    run(test)


def test_a_stream_that_fails_says_so_at_its_end() -> None:
    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        await port.ask("POST", "/v3/lease/keepalive", b'{"ID": 1}{"ID": "13"}')
        assert (await port.head())[0] == 200
        assert json.loads(await port.chunk()) == {"result": {"ID": "1", "TTL": "7"}}
        error = json.loads(await port.chunk())["error"]
        assert (error["grpc_code"], error["http_code"]) == (14, 503)
        assert error["message"] == "etcdserver: no leader"
        assert await port.chunk() == b""

    run(test)


def test_limits_hold() -> None:
    limits = GatewayLimits(connections_max=2, head_bytes_max=1000, body_bytes_max=5000)

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        await port.ask("POST", "/v3/kv/range", b"x" * 6000)
        status, fields = await port.head()
        assert (status, fields["connection"]) == (413, "close")
        other = await connect()
        await other.ask("GET", "/health", more="X: " + "y" * 2000 + "\r\n")
        assert (await other.head())[0] == 431
        first, second = await connect(), await connect()
        for one in (first, second):
            await one.ask("GET", "/health")
            assert (await one.reply())[0] == 200
        third = await connect()
        assert await third.reader.read() == b""

    run(test, limits)


def test_who_says_nothing_is_let_go() -> None:
    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        assert await port.reader.read() == b""

    run(test, GatewayLimits(idle_seconds=0.05))


def test_a_gateway_that_takes_tls_and_plain_text(tmp_path: Path) -> None:
    authority(tmp_path)
    files = node_files(tmp_path, "n1")
    known = ssl.create_default_context(cafile=files.ca)

    async def main() -> None:
        held = Held(1 << 20)
        gateway = Gateway(Services().methods(), lambda: "", held)
        server = HttpServer(gateway.handle, GatewayLimits(), held)
        tls = server_context(replace(files, ca=""), ["http/1.1"])
        port = await server.start("127.0.0.1", 0, tls, True)
        for context in (None, known):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n")
            async with asyncio.timeout(WAIT):
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()
        await server.stop()

    asyncio.run(main())
