"""A port that takes TLS and plain text, and a channel that speaks what it finds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
import uvloop

from raftd.h2.channel import Channel
from raftd.h2.server import Server
from raftd.h2.settings import ChannelSettings, ConnectionSettings, ServerLimits
from raftd.tls.contexts import client_context, grpc_channel, server_context
from tests.h2.peers import KINDS, callbacks, run, serving, until
from tests.h2.test_ports import echoed
from tests.tls.made import authority, files_of, node_files

QUICK = replace(ConnectionSettings(), handshake_timeout=0.2)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    authority(tmp_path)
    node_files(tmp_path, "n1")
    return tmp_path


@contextlib.asynccontextmanager
async def either(
    home: Path, limits: ServerLimits | None = None
) -> AsyncIterator[tuple[str, Server]]:
    server = Server(limits or ServerLimits())
    callbacks(server)
    port = server.add_either_port("127.0.0.1:0", server_context(files_of(home, "n1")))
    await server.start()
    try:
        yield f"127.0.0.1:{port}", server
    finally:
        await server.stop(0)


def channel(address: str, context: ssl.SSLContext, name: str = "localhost") -> Channel:
    return Channel(address, ChannelSettings(), context=context, server_name=name, tls_optional=True)


def test_one_port_for_both_and_for_both_transports(home: Path) -> None:
    files = files_of(home, "n1")

    async def main() -> None:
        async with either(home) as (address, server):
            options = [("grpc.ssl_target_name_override", "localhost")]
            assert await echoed(Channel(address, ChannelSettings()))
            assert await echoed(grpc.aio.insecure_channel(address))
            assert await echoed(grpc.aio.secure_channel(address, grpc_channel(files), options))
            async with channel(address, client_context(files)) as made:
                echo = made.unary_unary("/test.Callback/Echo")
                assert await echo(b"hi", timeout=10) == b"hi"
                assert [one.tls is not None for one in server.connections] == [True]

    run(main())


def test_the_same_on_the_daemons_own_loop(home: Path) -> None:
    """The story without it: no byte of TLS was read, by uvloop only."""

    async def main() -> None:
        async with either(home) as (address, server):
            assert await echoed(Channel(address, ChannelSettings()))
            assert await echoed(channel(address, client_context(files_of(home, "n1"))))
            await until(lambda: not server.connections)

    uvloop.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_with_whoever_has_no_tls_plain_text_is_spoken(home: Path, kind: str) -> None:
    async def main() -> None:
        async with serving(kind) as (address, _, _server):
            made = channel(address, client_context(files_of(home, "n1")))
            async with made:
                assert await made.unary_unary("/test.Interop/Echo")(b"hi", timeout=10) == b"hi"

    run(main())


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_wrong_certificate_is_no_reason_for_plain_text(home: Path, wrong: str) -> None:
    """The story without it: whoever answers with any certificate at all is told everything."""
    files = files_of(home, "n1")
    if wrong == "authority":
        authority(home / "other")
        files = replace(files, ca=str(home / "other" / "ca.crt"))

    async def main() -> None:
        async with either(home) as (address, _):
            name = "n2.node.raftd" if wrong == "name" else "localhost"
            with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
                await echoed(channel(address, client_context(files), name))

    run(main())


def test_whoever_shows_no_certificate_where_one_is_asked_for_gets_nothing(home: Path) -> None:
    async def main() -> None:
        async with either(home) as (address, _):
            nobody = client_context(replace(files_of(home, "n1"), cert="", key=""))
            with pytest.raises(grpc.aio.AioRpcError):
                await echoed(Channel(address, ChannelSettings(), context=nobody))

    run(main())


def test_who_says_nothing_is_closed_and_more_of_them_at_once(home: Path) -> None:
    async def main() -> None:
        limits = ServerLimits(connections_max=3, connection=QUICK)
        async with either(home, limits) as (address, _):
            host, _, port = address.rpartition(":")
            silent = [socket.create_connection((host, int(port)), 10) for _ in range(5)]
            loop = asyncio.get_running_loop()
            for one in silent:
                one.setblocking(False)
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.wait_for(loop.sock_recv(one, 1), 10) == b""
                one.close()
            assert await echoed(Channel(address, ChannelSettings()))

    run(main())


def test_the_end_of_a_port_ends_who_waits(home: Path) -> None:
    async def main() -> None:
        async with either(home) as (address, _):
            host, _, port = address.rpartition(":")
            _reader, writer = await asyncio.open_connection(host, int(port))
        assert await asyncio.wait_for(_reader.read(1), 10) == b""
        writer.close()

    run(main())


def test_those_who_say_nothing_count_with_those_who_are_served(home: Path) -> None:
    """The story without it: a crowd had each of its two shares of the descriptors, and the log's
    next file lacked one.
    """

    async def main() -> None:
        async with either(home, ServerLimits(connections_max=2)) as (address, _):
            made = Channel(address, ChannelSettings())
            echo = made.unary_unary("/test.Callback/Echo")
            assert await echo(b"hi", timeout=10) == b"hi"
            host, _, number = address.rpartition(":")
            silent = [await asyncio.open_connection(host, int(number)) for _ in range(3)]
            ends = [asyncio.ensure_future(reader.read()) for reader, _ in silent]
            await until(lambda: sum(end.done() for end in ends) == 2)
            assert not ends[0].done()
            for _, writer in silent:
                writer.close()
            await made.close()

    run(main())
