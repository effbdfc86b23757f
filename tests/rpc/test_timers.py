"""Every timer of gRPC has a place in a table for operators, and the table is what the code does."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from raftd.client.delivery import transport
from raftd.config import Config
from raftd.embed.serving import link_settings
from raftd.rpc.clients.transport import client_server_options
from raftd.rpc.peers.transport import LinkSettings, peer_channel_options, peer_server_options
from raftd.rpc.plumbing.ports import ChannelOptions
from tests.rpc.fakes import PATIENT, one_side

ROOT = Path(__file__).resolve().parents[2]
TIMER = re.compile(
    rb"grpc\.[a-z0-9_.]*(?:_ms|_timeout|_pings_without_data|_strikes|_without_calls)\0"
)
NOT_OURS = re.compile("grpclb|xds|priority|testing|tarpit|experimental|internal|rst_stream")
"""Balancers and services that nobody here uses, and delays of refusals that are off."""

COLUMNS: list[ChannelOptions] = [
    peer_channel_options(link_settings(Config())),
    peer_server_options(link_settings(Config())),
    client_server_options(),
    list(transport.OPTIONS),
]


def table() -> dict[str, list[str]]:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(grpc\.[^`]+)` \|(.+)\|$", text, re.M)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_the_table_is_what_the_code_does() -> None:
    for name, cells in table().items():
        found = [str(dict(options).get(name, "-")) for options in COLUMNS]
        assert cells == found, name


def test_every_timer_that_grpc_has_is_in_the_table() -> None:
    """Also after an upgrade: the names are read from gRPC itself."""
    library = Path(str(import_module("grpc._cython.cygrpc").__file__)).read_bytes()
    names = {found[:-1].decode() for found in TIMER.findall(library)}
    names = {name for name in names if not NOT_OURS.search(name)}
    assert {"grpc.keepalive_time_ms", "grpc.http2.ping_timeout_ms"} <= names
    assert names <= set(table()), "a timer that nobody decided about"
    set_here = {name for options in COLUMNS for name, _ in options}
    assert {name for name in set_here if re.search("_ms$|timeout|ping", name)} <= set(table())


@pytest.mark.parametrize(("caller", "server"), [(0, 1), (3, 2)], ids=["peers", "clients"])
def test_our_servers_allow_our_pings(caller: int, server: int) -> None:
    """Or they answer with GOAWAY, too_many_pings. gRPC itself sends one a second at most."""
    allowed = dict(COLUMNS[server])["grpc.http2.min_recv_ping_interval_without_data_ms"]
    assert dict(COLUMNS[caller])["grpc.keepalive_time_ms"] >= 2 * allowed


@pytest.mark.parametrize("column", range(4))
def test_the_timeout_that_fires_is_the_one_that_was_meant(column: int) -> None:
    options = dict(COLUMNS[column])
    assert options["grpc.http2.ping_timeout_ms"] == options["grpc.keepalive_timeout_ms"]


def test_a_lost_connection_between_nodes_is_noticed_within_two_seconds() -> None:
    link = LinkSettings()
    assert link.keepalive_time + link.keepalive_timeout <= 2.0


def test_who_connects_and_says_nothing_is_let_go() -> None:
    async def main() -> None:
        link = replace(PATIENT, handshake_timeout=0.3)
        async with one_side("n1", link) as one:
            loop = asyncio.get_running_loop()
            with socket.create_connection(("127.0.0.1", one.servers.peer_port)) as silent:
                silent.setblocking(False)
                async with asyncio.timeout(10):
                    while await loop.sock_recv(silent, 1000):
                        pass

    asyncio.run(main())
