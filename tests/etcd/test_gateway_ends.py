"""A gateway connection that is over holds no descriptor any more, whatever its caller does."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.gateway.gateway import Gateway
from raftd.rpc.etcd.gateway.held import Held
from raftd.rpc.etcd.gateway.http import GatewayLimits
from raftd.rpc.etcd.gateway.server import HttpServer
from raftd.tls.contexts import server_context
from tests.etcd.test_gateway import Services
from tests.tls.made import authority, node_files

WAIT = 10.0
LIMITS = GatewayLimits(connections_max=2, write_seconds=0.1, idle_seconds=0.3)
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Large(Services):
    async def get(self, request: pb.RangeRequest, caller: Caller) -> pb.RangeResponse:
        return pb.RangeResponse(kvs=[pb.KeyValue(value=bytes(1 << 20))] * 30)


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


async def unread_answer(connect: Connect) -> None:
    """The story without it: what was sent already waited for its reader for ever."""
    _, writer = await connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    body = b'{"key":"YQ=="}'
    head = f"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await asyncio.sleep(0.05)


async def silent(connect: Connect) -> None:
    """The story without it: TLS waited half a minute for the other side to say good-bye."""
    _, writer = await connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]


async def one_too_many(connect: Connect) -> None:
    """As above, and such connections are not counted: there was no limit to them."""
    for _ in range(4):
        await silent(connect)


ENDS = {"unread": (unread_answer, 1), "silent": (silent, 1), "too many": (one_too_many, 4)}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("what", ENDS)
def test_what_is_over_is_closed(tmp_path: Path, what: str, secure: bool) -> None:
    end, count = ENDS[what]
    authority(tmp_path)
    files = node_files(tmp_path, "n1")
    known = ssl.create_default_context(cafile=files.ca) if secure else None

    async def main() -> None:
        held = Held(LIMITS.held_bytes_max)
        gateway = Gateway(Large().methods(), lambda: "", held)
        server = HttpServer(gateway.handle, LIMITS, held)
        tls = server_context(replace(files, ca=""), ["http/1.1"]) if secure else None
        port = await server.start("127.0.0.1", 0, tls)
        opened: list[asyncio.StreamWriter] = []

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=known)
            opened.append(writer)
            return reader, writer

        before = descriptors()
        await end(connect)
        async with asyncio.timeout(WAIT):
            while descriptors() > before + count:  # this side's are open
                await asyncio.sleep(0.05)
        assert not server._tasks
        for writer in opened:
            writer.transport.abort()
        await server.stop()

    asyncio.run(main())
