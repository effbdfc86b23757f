"""/metrics of a live cluster: names that dashboards know, and figures that fit what was done."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from harness.nodes import Node, wait_until
from raftd.client import RaftdError
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

WRITES = 50
LATE_SECONDS = 0.6


def value(node: Node, name: str) -> float:
    found = node.metric(name)
    assert found is not None, f"{node.id} has no {name}"
    return found


def events_so_far(node: Node) -> set[str]:
    """The kinds that the node's /events shows from the start on, up to the first that leads."""
    kinds = set()
    url = f"http://127.0.0.1:{node.ports.admin}/events?after=0"
    with urllib.request.urlopen(url, timeout=10) as found:
        for line in found:
            if line.startswith(b"data: "):
                event = json.loads(line.removeprefix(b"data: "))
                kinds.add(event["kind"])
                if event["kind"] == "role" and event["role"] == "leader":
                    break
    return kinds


def test_a_cluster_under_its_dashboards(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3, {"quota_bytes": "1GiB"}).start()
    client = cluster.client()
    for number in range(WRITES):
        client.put(b"key", b"%d" % number)
    last = cluster.wait_level()
    leader, followers = cluster.leader(), cluster.followers()

    def caught_up() -> bool:
        return all(node.metric("etcd_server_proposals_applied_total") == last for node in followers)

    wait_until(caught_up, 10, "the followers' metrics to show the last write", cluster.nodes)
    for node in cluster.nodes:
        assert value(node, "etcd_server_has_leader") == 1
        assert value(node, "etcd_server_is_leader") == (node is leader)
        assert value(node, "etcd_server_leader_changes_seen_total") >= 1
        assert value(node, "etcd_server_proposals_committed_total") == last
        assert value(node, "etcd_server_proposals_pending") == 0
        syncs = value(node, "etcd_disk_wal_fsync_duration_seconds_count")
        assert syncs >= 1
        assert 0 < value(node, "etcd_disk_wal_fsync_duration_seconds_sum") < 10 * syncs
        assert value(node, "raftd_term") == cluster.term()
    all_syncs = [
        value(node, "etcd_disk_wal_fsync_duration_seconds_count") for node in cluster.nodes
    ]
    assert sum(all_syncs) >= 2 * WRITES, "one caller: a majority synced each write by itself"
    answered = value(leader, 'raftd_request_duration_seconds_count{kind="command"}')
    took = value(leader, 'raftd_request_duration_seconds_sum{kind="command"}')
    assert answered >= WRITES
    assert 0 < took < 10 * answered
    size = value(leader, "etcd_mvcc_db_total_size_in_bytes")
    client.put(b"large", b"x" * 10_000)
    wait_until(
        lambda: value(leader, "etcd_mvcc_db_total_size_in_bytes") >= size + 10_000,
        10, "the store's size to grow", [leader],
    )  # fmt: skip
    assert value(leader, "etcd_server_quota_backend_bytes") == 1 << 30
    for follower in followers:
        trips = f'etcd_network_peer_round_trip_time_seconds_count{{To="{follower.id}"}}'
        wait_until(lambda name=trips: (leader.metric(name) or 0) >= 3, 10, trips, [leader])  # type: ignore[misc]

    assert {"admitted", "recorded", "role"} <= events_so_far(leader)

    # A pause that is too short for an election is late, and said.
    late = followers[0]
    before = value(late, "raftd_late_heartbeats_total")
    late.pause()
    time.sleep(LATE_SECONDS)
    late.resume()
    wait_until(
        lambda: value(late, "raftd_late_heartbeats_total") > before
        and f"nothing was heard of leader {leader.id} for" in late.log_path.read_text(),
        10, "a late heartbeat to be counted and said", [late],
    )  # fmt: skip

    # And what fails: taken by the leader, never committed, no longer pending in the end.
    for follower in followers:
        follower.kill()
    with pytest.raises(RaftdError):
        cluster.client([leader], timeout=1.0).put(b"key", b"after")

    def told() -> bool:
        return (
            (leader.metric("etcd_server_proposals_failed_total") or 0) >= 1
            and leader.metric("etcd_server_proposals_pending") == 0
            and leader.metric("etcd_server_has_leader") == 0
        )

    wait_until(told, 15, "the old leader to step down and say so", [leader])
