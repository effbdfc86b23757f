"""Watchers, leases and locks on real nodes, whose leader is killed meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from harness.cluster import Cluster
from harness.nodes import endpoints, wait_until
from raftd.client import Client
from raftd.client.faces.streams import Watch
from raftd.client.recipes.watch import WatchEvent
from raftd.client.txn import absent, put
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

WATCHERS = 6
PUTS_BEFORE, PUTS = 20, 150
SECONDS = 20.0


def test_a_kill_of_the_leader_loses_nothing(make_cluster: MakeCluster) -> None:
    """Watchers see each acknowledged change once and in order, a transaction is done once although
    it is sent again, a lease goes on, and the lock of an owner that was killed passes on with a
    greater token.
    """
    cluster = make_cluster(3).start()
    client = cluster.client()
    first = client.put("k", "first").revision
    seen, watches, threads = watchers(client, first)
    lost: list[str] = []
    lease = client.lease(3, on_lost=lost.append)
    client.txn(then=[put("service", "here", lease=lease.id)])
    owner = owner_of_a_lock(cluster)
    killed = cluster.leader()
    acknowledged = [first]
    for number in range(PUTS):
        if number == PUTS_BEFORE:
            killed.kill()
        key = f"k/{number}"
        done = client.txn(when=[absent(key)], then=[put(key, str(number))], timeout=SECONDS)
        assert done, "done once, and the answer of the first time"
        acknowledged.append(done.revision)
    for watch, thread in zip(watches, threads, strict=True):
        wait_seen(watch, acknowledged[-1])
        watch.close()
        thread.join(SECONDS)
    for number, got in enumerate(seen):
        expected = acknowledged if number % 2 else acknowledged[1:]
        assert [event.revision for event in got] == expected, f"watcher {number}"
    held = client.range("l/").kvs[0].create_revision
    owner.kill()
    owner.communicate(timeout=10)
    with client.lock("l", timeout=SECONDS) as mine:
        assert mine.token > held
    assert lease
    assert lost == []
    assert client.get("service")


def watchers(
    client: Client, first: int
) -> tuple[list[list[WatchEvent]], list[Watch], list[threading.Thread]]:
    """Every other one from a past revision; returns when all have begun."""
    seen: list[list[WatchEvent]] = [[] for _ in range(WATCHERS)]
    watches = [
        client.watch(prefix="k", start_revision=first if number % 2 else 0)
        for number in range(WATCHERS)
    ]
    threads = [
        threading.Thread(target=got.extend, args=(watch,), daemon=True)
        for got, watch in zip(seen, watches, strict=True)
    ]
    for thread in threads:
        thread.start()
    for watch in watches:
        wait_seen(watch, first)
    return seen, watches, threads


def wait_seen(watch: Watch, revision: int) -> None:
    wait_until(lambda: watch.revision >= revision, SECONDS, f"revision {revision} to be seen")


def owner_of_a_lock(cluster: Cluster) -> subprocess.Popen[bytes]:
    """Another program that holds the lock "l"."""
    owner = subprocess.Popen(
        [sys.executable, "-m", "raftd.cli.raftctl", "lock", "l", "--ttl", "1s", "-w", "json"],
        env={**os.environ, "RAFTCTL_ENDPOINTS": ",".join(endpoints(cluster.nodes))},
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    assert b"token" in owner.stdout.readline()
    return owner
