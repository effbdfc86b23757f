"""A port that takes HTTP/2 and HTTP/1.1: the first words of a connection say which."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from raftd.h2.channel import Channel
from raftd.h2.server import Server
from raftd.h2.settings import ChannelSettings, ConnectionSettings, ServerLimits
from raftd.tls.contexts import client_context, server_context
from tests.h2.peers import callbacks, run, until
from tests.h2.test_ports import echoed
from tests.tls.made import authority, files_of, node_files

WAIT = 20.0
HTTP1 = "http/1.1"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
QUICK = ServerLimits(
    connections_max=2, connection=replace(ConnectionSettings(), handshake_timeout=0.2)
)
LOOPS = {"asyncio": run, "uvloop": uvloop.run}


class Http1(asyncio.Protocol):
    """Answers `pong` to whatever comes, with all that was said."""

    def __init__(self) -> None:
        self.said = b""
        self.taken: list[asyncio.Transport] = []

    def take(self, transport: asyncio.Transport, said: bytes) -> None:
        self.taken.append(transport)
        transport.set_protocol(self)
        self.data_received(said)

    def data_received(self, data: bytes) -> None:
        self.said += data
        if self.said.endswith(b"\n"):
            self.taken[-1].write(b"pong " + self.said)


@contextlib.asynccontextmanager
async def port(
    home: Path | None = None, limits: ServerLimits | None = None, either: bool = False
) -> AsyncIterator[tuple[str, Server, Http1]]:
    """home: of certificates; without it plain text. either: both at the port."""
    server, http1 = Server(limits or ServerLimits()), Http1()
    server.take_http1 = http1.take
    callbacks(server)
    if home is None:
        number = server.add_insecure_port("127.0.0.1:0")
    else:
        add = server.add_either_port if either else server.add_secure_port
        number = add("127.0.0.1:0", server_context(files_of(home, "n1")))
    await server.start()
    try:
        yield f"127.0.0.1:{number}", server, http1
    finally:
        await server.stop(0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    authority(tmp_path)
    node_files(tmp_path, "n1")
    return tmp_path


async def said(address: str, words: list[bytes], context: ssl.SSLContext | None = None) -> bytes:
    """What comes back first, when `words` are sent one by one."""
    host, _, number = address.rpartition(":")
    name = None if context is None else "localhost"
    reader, writer = await asyncio.open_connection(
        host, int(number), ssl=context, server_hostname=name
    )
    try:
        for word in words:
            writer.write(word)
            await asyncio.sleep(
                0.01
            )  # each in a piece of its own; that they may join harms nothing
        return await asyncio.wait_for(reader.read(4096), WAIT)
    finally:
        writer.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_plain_text(loop: str) -> None:
    async def main() -> None:
        async with port() as (address, server, http1):
            assert await said(address, [b"GET / HTTP/1.1\r\n"]) == b"pong GET / HTTP/1.1\r\n"
            assert await said(address, [b"P", b"R", b"X\n"]) == b"pong " + http1.said
            assert http1.said.endswith(b"PRX\n")
            assert not server.connections
            assert await echoed(Channel(address, ChannelSettings()))
            settings = await said(address, [b"P", b"RI", b" ", PREFACE[4:]])
            assert settings[3] == 4  # the type of the first frame: SETTINGS
            await until(lambda: not server.connections)
            assert not server.cut

    LOOPS[loop](main())


@pytest.mark.parametrize("either", [False, True], ids=["tls", "either"])
@pytest.mark.parametrize("loop", LOOPS)
def test_tls(home: Path, loop: str, either: bool) -> None:
    async def main() -> None:
        async with port(home, either=either) as (address, server, http1):
            files = files_of(home, "n1")
            both = client_context(files)
            both.set_alpn_protocols(["h2", HTTP1])  # as curl and browsers do
            assert await said(address, [b"GET /\n"], both) == b"pong GET /\n"
            assert http1.taken[-1].get_extra_info("ssl_object").selected_alpn_protocol() == HTTP1
            none = client_context(files)
            none.set_alpn_protocols([])
            assert b"GET /\n" in await said(address, [b"GET /\n"], none)
            made = Channel(
                address, ChannelSettings(), context=client_context(files), server_name="localhost"
            )
            assert await echoed(made)
            await until(lambda: not server.connections)

    LOOPS[loop](main())


@pytest.mark.parametrize("loop", LOOPS)
def test_who_says_nothing_or_too_little_counts_and_is_cut(loop: str) -> None:
    async def main() -> None:
        async with port(limits=QUICK) as (address, server, http1):
            silent = await asyncio.gather(*(said(address, [b"PRI"[:size]]) for size in (0, 3)))
            assert silent == [b"", b""]
            assert not server.connections
            assert not http1.taken
            host, _, number = address.rpartition(":")
            held = [await asyncio.open_connection(host, int(number)) for _ in range(2)]
            await until(lambda: len(server.connections) == 2)
            with contextlib.suppress(ConnectionResetError):
                assert await said(address, [b"GET /\n"]) == b""  # the third of two
            assert not http1.taken
            for _, writer in held:
                writer.close()
            await until(lambda: not server.connections)
            assert await echoed(Channel(address, ChannelSettings()))

    LOOPS[loop](main())


@pytest.mark.parametrize("loop", LOOPS)
def test_who_leaves_while_tls_is_agreed_on_or_before_a_word_is_forgotten(
    home: Path, loop: str
) -> None:
    async def main() -> None:
        async with port(home) as (address, server, http1):
            host, _, number = address.rpartition(":")
            for early in (b"", b"\x16\x03\x01"):
                _, writer = await asyncio.open_connection(host, int(number))
                writer.write(early)
                await until(lambda: bool(server.connections))
                writer.transport.abort()
                await until(lambda: not server.connections)
            context = client_context(files_of(home, "n1"))
            _, writer = await asyncio.open_connection(
                host, int(number), ssl=context, server_hostname="localhost"
            )
            await until(lambda: bool(server.connections))
            writer.transport.abort()
            await until(lambda: not server.connections)
            assert not http1.taken

    LOOPS[loop](main())


@pytest.mark.parametrize("loop", LOOPS)
def test_the_end_of_the_server_ends_who_has_not_spoken(loop: str) -> None:
    async def main() -> None:
        ended: list[Coroutine[Any, Any, bytes]] = []
        async with port() as (address, server, _):
            host, _, number = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(number))
            await until(lambda: bool(server.connections))
            ended.append(reader.read(1))
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(ended[0], WAIT) == b""
        writer.close()
        assert not server.connections

    LOOPS[loop](main())
