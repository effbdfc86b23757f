"""Connections that die without a word, between nodes and between clients and nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.proxied import ProxiedCluster
from raftd.client import AsyncClient, Client
from raftd.wire.kv import encode_get

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.long]

BETWEEN_NODES_SECONDS = 2.0
CLIENTS_SECONDS = 3.0
QUESTION = encode_get(b"k")
OLD_SECONDS = 2.1
"""Younger connections are slow rather than dead to a client."""


def test_everything_goes_on_within_seconds(tmp_path: Path) -> None:
    cluster = ProxiedCluster(tmp_path, 3, {"snapshot_entries": "10000"})
    try:
        cluster.start()
        with (
            Client(cluster.client_endpoints(), timeout=30) as client,
            asyncio.Runner() as runner,
        ):
            client.put(b"k", b"v")
            other = runner.run(_connected(cluster))
            time.sleep(OLD_SECONDS)
            _nodes(cluster, client)
            calls = [
                lambda: client.put(b"k", b"x"),
                lambda: client.query(QUESTION),
                lambda: runner.run(other.put(b"k", b"y")),
            ]
            for edge in cluster.client_edges():
                edge.swallow()
            took = _each_timed(calls)
            assert max(took) < CLIENTS_SECONDS, "first calls: a put, a query, asyncio"
            assert sum(edge.swallowed_bytes for edge in cluster.client_edges()) > 0
            runner.run(other.close())
    finally:
        cluster.close()


def _nodes(cluster: ProxiedCluster, client: Client) -> None:
    term = cluster.leader().metric("raftd_term")
    for edge in cluster.peer_edges():
        edge.swallow()
    took = _each_timed([lambda: client.put(b"k", b"w")])
    assert max(took) < BETWEEN_NODES_SECONDS, "a put after the nodes lost each other"
    assert sum(edge.swallowed_bytes for edge in cluster.peer_edges()) > 0
    cluster.wait_level(BETWEEN_NODES_SECONDS)
    assert cluster.leader().metric("raftd_term") == term, "nobody need have campaigned"


async def _connected(cluster: ProxiedCluster) -> AsyncClient:
    client = AsyncClient(cluster.client_endpoints(), timeout=30)
    await client.put(b"k", b"v")
    return client


def _each_timed(calls: Sequence[Callable[[], object]]) -> list[float]:
    """All at once, each on a thread; the seconds that each took."""

    def timed(call: Callable[[], object]) -> float:
        began = time.monotonic()
        call()
        return time.monotonic() - began

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(timed, calls))
