"""TLS of a server whose loop is busy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from raftd.h2.server import Server
from raftd.h2.settings import ServerLimits
from raftd.tls.contexts import client_context, server_context
from raftd.tls.files import TlsFiles
from tests.tls.made import DAY, authority, node_files

TURN_SECONDS = 0.02
CONNECTIONS = 3

LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def connect(port: int, context: ssl.SSLContext) -> str | None:
    """The protocol that was agreed on."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain) as secured,
    ):
        return secured.selected_alpn_protocol()


async def served(files: TlsFiles) -> list[str | None]:
    """A client's handshakes while every turn of the server's loop takes long."""
    server = Server(ServerLimits())
    port = server.add_secure_port("127.0.0.1:0", server_context(files))
    await server.start()
    context = client_context(files)
    context.check_hostname = False
    found: list[str | None] = []

    def client() -> None:
        found.extend(connect(port, context) for _ in range(CONNECTIONS))

    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < deadline:
        time.sleep(TURN_SECONDS)
        await asyncio.sleep(0)
    await server.stop(None)
    return found


@LOOPS
def test_a_busy_loop_loses_no_word_of_a_handshake(loop: Callable[[], Any], tmp_path: Path) -> None:
    authority(tmp_path)
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(served(node_files(tmp_path, "n1"))) == ["h2"] * CONNECTIONS


@LOOPS
def test_why_a_handshake_failed_is_in_the_log_once(
    loop: Callable[[], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who set certificates up found nothing: his client was cut, and the node said no word."""
    authority(tmp_path)
    files = node_files(tmp_path, "n1")
    other = tmp_path / "other"
    other.mkdir()
    authority(other)
    strange = replace(node_files(other, "x"), ca=files.ca)
    expired = node_files(tmp_path, "old", life=-DAY)
    bare = replace(files, cert="", key="")

    def knock(port: int) -> None:
        for shown in (bare, bare, expired, strange):
            context = client_context(shown)
            context.check_hostname = False
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port)) as to,
                context.wrap_socket(to) as secured,
            ):
                secured.recv(1 << 16)
                secured.recv(1 << 16)
        with socket.create_connection(("127.0.0.1", port)) as to:
            to.sendall(b"GET / HTTP/1.1\r\n\r\n")
            to.recv(1)

    async def main() -> int:
        server = Server(ServerLimits())
        port = server.add_secure_port("127.0.0.1:0", server_context(files))
        await server.start()
        await asyncio.to_thread(knock, port)
        await server.stop(None)
        return port

    with asyncio.Runner(loop_factory=loop) as runner:
        port = runner.run(main())
    lines = [line for line in caplog.messages if "TLS of" in line]
    assert [line.partition("failed: ")[2] for line in lines] == [
        "no certificate was shown",
        "the certificate has expired; renew it",
        "not signed by the authority in the ca file",
        "it is plain text",
    ]
    assert all(
        line.startswith("TLS of ipv4:127.0.0.1:") and f"on port {port}" in line for line in lines
    )
