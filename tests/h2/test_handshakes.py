"""TLS of a server whose loop is busy."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from raftd.h2.server import Server
from raftd.h2.settings import ServerLimits
from raftd.tls.contexts import client_context, server_context
from raftd.tls.files import TlsFiles
from tests.tls.made import authority, node_files

TURN_SECONDS = 0.02
CONNECTIONS = 3


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


@pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_busy_loop_loses_no_word_of_a_handshake(loop: Callable[[], Any], tmp_path: Path) -> None:
    authority(tmp_path)
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(served(node_files(tmp_path, "n1"))) == ["h2"] * CONNECTIONS
