"""Connections that die without a word, between nodes and between clients and nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from raftd.client import AsyncClient, Client
from raftd.client.direct import Direct
from raftd.wire.kv import encode_get
from tests.chaos.cluster import ChaosCluster
from tests.chaos.proxy import Edge

pytestmark = pytest.mark.cluster

BETWEEN_NODES_SECONDS = 2.0
CLIENTS_SECONDS = 3.0
OLD_SECONDS = 3.0
"""Younger connections are slow rather than dead to a client."""


def test_everything_goes_on_within_seconds(tmp_path: Path) -> None:
    cluster = ChaosCluster(tmp_path, 3, seed=1, settings={"snapshot_entries": "10000"})
    try:
        cluster.start()
        with Client(cluster.client_endpoints(), timeout=30) as client:
            client.put(b"k", b"v")
            term = cluster.leader().metric("raftd_term")
            _wait_old(0.0, 2.1)
            took = _swallowed(cluster.peer_edges(), lambda: client.put(b"k", b"w"))
            assert took < BETWEEN_NODES_SECONDS, "a put after the nodes lost each other"
            cluster.wait_level(BETWEEN_NODES_SECONDS)
            assert cluster.leader().metric("raftd_term") == term, "nobody need have campaigned"
            _clients(cluster, client)
    finally:
        cluster.close()


def _clients(cluster: ChaosCluster, client: Client) -> None:
    direct = Direct(
        cluster.client_endpoints(),
        timeout=60,
        clock=time.monotonic,
        sleep=time.sleep,
        random=Random(1),
    )
    question = encode_get(b"k")
    direct.query(question)
    with asyncio.Runner() as runner:
        other = runner.run(_connected(cluster))
        _wait_old(time.monotonic(), OLD_SECONDS + 0.1)  # idle, as far as their callers can tell
        edges = cluster.client_edges()
        took = _swallowed(edges, lambda: client.put(b"k", b"x"))
        assert took < CLIENTS_SECONDS, "the blocking client's first call"
        took = _timed(lambda: runner.run(other.put(b"k", b"y")))
        assert took < CLIENTS_SECONDS, "the asyncio client's"
        took = _timed(lambda: direct.query(question))
        assert took < CLIENTS_SECONDS, "raftctl's"
        runner.run(other.close())
    direct.close()


async def _connected(cluster: ChaosCluster) -> AsyncClient:
    client = AsyncClient(cluster.client_endpoints(), timeout=30)
    await client.put(b"k", b"v")
    return client


def _swallowed(edges: list[Edge], act: Callable[[], object]) -> float:
    for edge in edges:
        edge.swallow()
    took = _timed(act)
    assert sum(edge.swallowed_bytes for edge in edges) > 0, "nothing was on the way"
    return took


def _timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _wait_old(since: float, seconds: float) -> None:
    time.sleep(max(0.0, seconds if not since else since + seconds - time.monotonic()))
