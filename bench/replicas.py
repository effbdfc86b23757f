"""Read replicas: what a read costs each node, on three voters and with two learners beside them.

All nodes share this machine's cores, so reads a second say nothing here; processor time does: the
busiest node bounds what a cluster of machines could serve. python -m bench.replicas
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

from bench.clusters import BASE
from harness.cluster import Cluster
from harness.nodes import Node, config_text, endpoints, make_nodes, wait_until

CALLERS = 384
SECONDS = 5.0
START_SECONDS = 60.0
METHOD = "/etcdserverpb.KV/Range"
RANGE = b"\x0a\x03key"
"""etcdserverpb.RangeRequest{key: "key"}, by hand; STALE: serializable."""
STALE = b"\x38\x01"


def cpu_seconds(node: Node) -> float:
    """User and system time of its process so far."""
    fields = Path(f"/proc/{node.pid()}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def reads(addresses: Sequence[str], stale: bool, seconds: float) -> int:
    """How many one key was read, by CALLERS coroutines, spread over the addresses."""
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    calls: list[Any] = [channel.unary_unary(METHOD) for channel in channels]
    end, done = time.monotonic() + seconds, 0
    request = RANGE + (STALE if stale else b"")

    async def caller(number: int) -> None:
        nonlocal done
        while time.monotonic() < end:
            await calls[number % len(calls)](request, timeout=30)
            done += 1

    await asyncio.gather(*map(caller, range(CALLERS)))
    for channel in channels:
        await channel.close()
    return done


def costs(nodes: Sequence[Node], asked: Sequence[Node], stale: bool) -> tuple[int, list[float]]:
    """(reads, microseconds of each node's processor for one of them)."""
    before = [cpu_seconds(node) for node in nodes]
    done = asyncio.run(reads(endpoints(asked), stale, SECONDS))
    spent = [cpu_seconds(node) - since for node, since in zip(nodes, before, strict=True)]
    return done, [each / done * 1e6 for each in spent]


def main() -> int:
    base = BASE / "replicas"
    shutil.rmtree(base, ignore_errors=True)
    cluster = Cluster(base / "voters", 3).start()
    try:
        client = cluster.client()
        client.put(b"key", b"v" * 256)
        voters, learners = list(cluster.nodes), make_nodes(base / "learners", ["n4", "n5"])
        settings = {"cluster_token": "test", "log_format": "json"}
        settings["join"] = ",".join(endpoints(voters))
        for node in learners:
            node.directory.mkdir(parents=True)
            node.config_path.write_text(config_text(node, [node], settings))
            node.start()
        cluster.nodes += learners
        cluster.wait_ready(timeout=START_SECONDS)
        leader = cluster.leader()
        wait_until(
            lambda: len(client.status(leader.client_address).peers) == 4,
            START_SECONDS, "two learners", cluster.nodes,
        )  # fmt: skip
        print(f"microseconds of processor a read, leader {leader.id}; the busiest bounds the rest")
        for stale in (False, True):
            for what, asked in (
                ("3 voters", voters),
                ("3 voters, 2 learners", cluster.nodes),
                ("the 2 learners", learners),
            ):
                done, spent = costs(cluster.nodes, asked, stale)
                shown = "  ".join(
                    f"{node.id} {cost:4.0f}"
                    for node, cost in zip(cluster.nodes, spent, strict=True)
                )
                kind = "stale" if stale else "linearizable"
                most = 1e6 / max(spent)
                print(f"{kind:<13} {what:<21} {shown}  at most {most:6.0f}/s ({done} reads)")
    finally:
        cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
