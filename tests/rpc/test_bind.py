"""Opening a port at a name that has several addresses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import grpc.aio
import pytest

from raftd.h2.server import Server
from raftd.h2.settings import ServerLimits
from raftd.names import Names
from raftd.rpc.etcd.gateway import server as http_server
from raftd.rpc.etcd.gateway.held import Held
from raftd.rpc.etcd.gateway.http import GatewayLimits, HttpReply, HttpRequest
from raftd.rpc.etcd.gateway.server import HttpServer
from raftd.rpc.plumbing import ports
from raftd.rpc.plumbing.ports import BindError, bind
from tests.h2.peers import run


def both(_host: str, port: int, **_: object) -> Sequence[tuple[Any, ...]]:
    return [(0, 0, 0, "", ("::1", port, 0, 0)), (0, 0, 0, "", ("127.0.0.1", port))]


def made(kind: str) -> Any:
    if kind == "h2":
        return Server(ServerLimits())
    return grpc.aio.server(options=[("grpc.so_reuseport", 0)])


@pytest.mark.parametrize("kind", ["h2", "grpcio"])
@pytest.mark.parametrize("taken", ["::1", "127.0.0.1"])
def test_a_port_that_another_process_has_at_one_of_a_names_addresses_is_not_opened(
    kind: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was opened at the other address: half of the callers talked to that process."""
    monkeypatch.setattr(ports, "SHARED", Names(ask=both))
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET

    async def main() -> None:
        with contextlib.closing(socket.create_server((taken, 0), family=family)) as other:
            port = other.getsockname()[1]
            server = made(kind)
            with pytest.raises(BindError) as told:
                bind(server, f"here:{port}", "listen_client")
            await server.stop(None)
        assert str(told.value).startswith(f"listen_client: cannot listen on here:{port}: at ")
        assert f"{taken}" in str(told.value)
        assert "in use" in str(told.value)

    run(main())


@pytest.mark.parametrize("kind", ["h2", "grpcio"])
def test_an_address_that_this_machine_has_not_is_left_out(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without IPv6, whose hosts file has ::1 for its name."""

    def ask(_host: str, port: int, **_: object) -> Sequence[tuple[Any, ...]]:
        return [(0, 0, 0, "", ("2001:db8::1", port, 0, 0)), (0, 0, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(ports, "SHARED", Names(ask=ask))

    async def main() -> None:
        server = made(kind)
        port = bind(server, "here:0", "listen_client")
        await asyncio.sleep(0)
        assert port > 0
        await server.stop(None)

    run(main())


def test_a_gateway_that_takes_both_listens_at_all_addresses_of_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With TLS that is optional it was at the first IPv4 address only."""
    monkeypatch.setattr(http_server, "SHARED", Names(ask=both))

    async def main() -> None:
        made = HttpServer(nobody, GatewayLimits(), Held(1 << 20))
        port = await made.start("here", 0, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), True)
        for address in ("::1", "127.0.0.1"):
            socket.create_connection((address, port), 5).close()
        await made.stop()

    async def nobody(request: HttpRequest) -> HttpReply:
        raise AssertionError(request)

    run(main())
