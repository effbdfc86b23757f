"""What a line leaves when it closes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

import grpc
import pytest

from raftd.names import Names
from raftd.rpc.peers import lines
from raftd.rpc.peers.lines import Line
from raftd.rpc.peers.transport import LinkSettings, peer_channel
from tests.h2.peers import until

SETTINGS = LinkSettings(transport="h2", renew_after=0.0)


def test_a_connection_that_was_just_replaced_is_closed_though_the_name_server_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stayed open, and was pinged, as long as the process lived."""
    made: list[Any] = []
    real, silent, asked = peer_channel, threading.Event(), threading.Event()

    def channel(*given: Any) -> Any:
        made.append(real(*given))
        return made[-1]

    def ask(_host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        if asked.is_set():
            silent.wait(10)
        asked.set()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(lines, "peer_channel", channel)

    async def main() -> None:
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
            address = f"a.peer:{server.getsockname()[1]}"
            line = Line(address, SETTINGS, Names(ask), "n2")
            await until(lambda: line.renewals == 1)
            line.look()  # no connection yet: the name is asked for again, in vain
            assert line.doubt(asyncio.get_running_loop().time())
            await line.close()
        assert [one.get_state() for one in made] == [grpc.ChannelConnectivity.SHUTDOWN] * 3

    try:
        asyncio.run(main())
    finally:
        silent.set()
