"""Where a server listens, and how a channel gets there."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from raftd.h2.channel import Channel
from raftd.h2.server import Server
from raftd.h2.settings import ChannelSettings, ServerLimits
from tests.h2.peers import callbacks, run, serving, until

PATH = "/test.Callback/Echo"


async def echoed(channel: Any) -> bool:
    async with channel:
        return bool(await channel.unary_unary(PATH)(b"hi", timeout=10) == b"hi")


def test_a_unix_socket_also_after_a_killed_process(tmp_path: Path) -> None:
    async def main() -> None:
        address = f"unix:{tmp_path}/s"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(f"{tmp_path}/s")
        server = Server(ServerLimits())
        callbacks(server)
        server.add_insecure_port(address)
        await server.start()
        assert await echoed(Channel(address, ChannelSettings()))
        assert await echoed(grpc.aio.insecure_channel(address))
        with pytest.raises(RuntimeError, match="another process listens"):
            Server(ServerLimits()).add_insecure_port(address)
        await server.stop(0)

    run(main())


def test_a_port_is_taken_once() -> None:
    async def main() -> None:
        async with serving("h2") as (address, _, _server):
            with pytest.raises(RuntimeError, match="in use"):
                Server(ServerLimits()).add_insecure_port(address)

    run(main())


def test_a_crowd_past_the_limit_takes_few_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story without it: a plain asyncio loop accepted all that the kernel held in one turn."""

    async def main() -> None:
        async with serving("h2", ServerLimits(connections_max=8)) as (address, _, server):
            counted: list[int] = []
            entered = server.entered

            def counting(connection: Any) -> bool:
                counted.append(len(os.listdir("/proc/self/fd")))
                return bool(entered(connection))

            monkeypatch.setattr(server, "entered", counting)
            host, _, port = address.rpartition(":")
            crowd = [socket.create_connection((host, int(port)), 5) for _ in range(100)]
            before = len(os.listdir("/proc/self/fd"))
            await until(lambda: len(counted) == len(crowd))
            assert max(counted) - before < 8 + 32
            for one in crowd:
                one.close()

    run(main())


def test_an_address_that_leads_nowhere_costs_no_timeout() -> None:
    """192.0.2.1 is for documentation: nobody answers, and nobody says so."""

    async def main() -> None:
        async with serving("h2") as (address, _, _server):
            port = address.rpartition(":")[2]
            target = f"ipv6:[::ffff:192.0.2.1]:{port},[::ffff:127.0.0.1]:{port}"
            assert await echoed(Channel(target, ChannelSettings(connect_timeout=30)))

    run(main())
