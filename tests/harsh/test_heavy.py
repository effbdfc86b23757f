"""Large values, deep pipelines, a follower that sleeps: nobody else is kept waiting for them."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest

from harness.cluster import Cluster, event_count
from harness.nodes import wait_until
from harness.writers import Writers, in_threads, read_all
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.alone]

SOAK = os.environ.get("RAFTD_SOAK") == "1"
MIB = 1 << 20
SILENCE_MAX = 1.5
"""Seconds without any acknowledgement, on a machine that may be busy; far below an election's."""


def test_large_values_and_deep_pipelines(make_cluster: MakeCluster) -> None:
    """64 values of 1 MiB and 20,000 small ones in bulk, beside eight single writers."""
    cluster = make_cluster(3, {"snapshot_bytes": "32MiB", "keep_bytes": "8MiB"}).start()
    load = Writers([cluster.client() for _ in range(8)]).start()
    load.wait_more(100, 20, cluster.nodes)
    term, began = cluster.term(), time.monotonic()
    large = {b"large/%02d" % n: random.Random(n).randbytes(MIB) for n in range(64)}
    small = {b"small/%05d" % n: b"%d" % n for n in range(20_000)}
    clients = [cluster.client(timeout=60) for _ in range(6)]

    def bulk(number: int) -> None:
        items = list((large if number < 4 else small).items())
        mine = items[number::4] if number < 4 else items[number - 4 :: 2]
        clients[number].put_many(mine)

    for thread in in_threads(6, bulk):
        thread.join(80)
        assert not thread.is_alive()
    seconds = time.monotonic() - began
    load.wait_more(50, 20, cluster.nodes)
    load.stop()
    cluster.wait_level()
    silence = load.book.silence(began)
    print(f"\n64 MiB and 20,000 small values in {seconds:.1f} s; others waited {silence:.2f} s")
    for node in cluster.nodes:
        reader = cluster.client([node])
        assert {k: v for k, (v, _) in read_all(reader, b"small/").items()} == small
        assert {k: v for k, (v, _) in read_all(reader, b"large/").items()} == large
        load.check(reader)
    assert cluster.term() == term, "an election"
    # The log is one queue: what is bulky and was there first goes first, as fast as the disks and
    # the machine allow. What may be queued is bounded (32 MiB by these callers' windows).
    assert silence < SILENCE_MAX + seconds / 2
    assert len(set(cluster.digests().values())) == 1


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "seconds", [2, pytest.param(20, marks=pytest.mark.soak)], ids=["short", "twenty-seconds"]
)
@pytest.mark.parametrize("catch_up", [pytest.param("log", marks=pytest.mark.soak), "snapshot"])
def test_sleeping_follower(make_cluster: MakeCluster, seconds: int, catch_up: str) -> None:
    """It wakes with everything still to come, from the log or as a snapshot."""
    if seconds > 10 and not SOAK:
        pytest.skip("a minute long: RAFTD_SOAK=1")
    settings = {"snapshot_entries": "500", "keep_entries": "20"} if catch_up == "snapshot" else {}
    cluster = make_cluster(3, settings).start()
    load = Writers([cluster.client() for _ in range(8)], value_bytes=1024).start()
    load.wait_more(200, 20, cluster.nodes)
    sleeper, term, began = cluster.followers()[0], cluster.term(), time.monotonic()
    sleeper.pause()
    threading.Event().wait(seconds)
    sleeper.resume()
    woken, behind = time.monotonic(), load.acked
    wait_until(lambda: _is_near(cluster, sleeper.metric("raftd_applied_index")), 60, "catch-up")
    caught_up = time.monotonic() - woken
    load.wait_more(200, 20, cluster.nodes)
    load.stop()
    cluster.wait_level()
    silence = load.book.silence(began)
    print(
        f"\nfollower stopped for {seconds} s, {behind} writes meanwhile, back by {catch_up} in "
        f"{caught_up:.1f} s; writes were never silent for more than {silence:.2f} s"
    )
    assert cluster.term() == term, "an election"
    assert event_count(sleeper, "snapshot_installed") == (catch_up == "snapshot")
    assert silence < SILENCE_MAX
    for node in cluster.nodes:
        load.check(cluster.client([node]))
    assert len(set(cluster.digests().values())) == 1


def _is_near(cluster: Cluster, applied: float | None) -> bool:
    last = max(node.metric("raftd_log_last_index") or 0 for node in cluster.nodes)
    return applied is not None and last - applied < 1_000
