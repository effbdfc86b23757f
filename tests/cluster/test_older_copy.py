"""A node comes back with an older copy of its directory, and is served again."""

from __future__ import annotations

import shutil

import pytest

from harness.nodes import wait_until
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

SECONDS = 60.0
KEYS = 50


def test_a_follower_with_an_older_log_gets_what_it_lacks(make_cluster: MakeCluster) -> None:
    """What it had acknowledged to this very leader is gone. No more safe than a lost disk is: see
    docs/backup.md. But it must not be left behind for as long as that leader leads.
    """
    cluster = make_cluster(3, {"state_check_interval": "0s"})
    cluster.start()
    client = cluster.client()
    leader = cluster.leader()
    follower = next(node for node in cluster.nodes if node is not leader)
    client.put("key", b"old")
    follower.stop()
    older = follower.directory / "older"
    shutil.copytree(follower.data_path, older)
    follower.start()
    cluster.wait_ready()
    term = leader.metric("raftd_term")
    for number in range(KEYS):
        client.put(f"key{number}", b"new")

    def has_all() -> bool:
        return (follower.metric("raftd_applied_index") or 0) >= KEYS

    wait_until(has_all, SECONDS, "it to follow", cluster.nodes)
    follower.stop()
    shutil.rmtree(follower.data_path)
    shutil.move(older, follower.data_path)
    follower.start()
    wait_until(has_all, SECONDS, "it to follow again", cluster.nodes)
    assert leader.metric("raftd_term") == term, "the same leader serves it"
    assert any(
        "does not hold it any more" in line for line in leader.log_path.read_text().split("\n")
    )
