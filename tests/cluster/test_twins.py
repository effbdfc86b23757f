"""Two processes with copies of one data directory: the others say so, and refuse one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.nodes import Node, config_text, kill_all, make_nodes, wait_until
from raftd.client.delivery.nodes import NodeStatus, status_at
from raftd.client.diagnosis import explain
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

SECONDS = 60.0
TOKEN = {"log_format": "json", "cluster_token": "test"}


@pytest.fixture
def copied(make_cluster: MakeCluster, tmp_path: Path) -> Iterator[tuple[Cluster, Node, Node]]:
    """A cluster, a follower of it, and a second process of that node on ports of its own."""
    cluster = make_cluster(3, {})
    cluster.start()
    leader = cluster.leader()
    original = next(node for node in cluster.nodes if node is not leader)
    original.stop()
    [copy] = make_nodes(tmp_path / "copies", [original.id])
    copy.directory.mkdir(parents=True)
    shutil.copytree(original.data_path, copy.data_path)
    others = [node for node in cluster.nodes if node is not original]
    copy.config_path.write_text(config_text(copy, [copy, *others], TOKEN))
    original.start()
    cluster.wait_ready()
    copy.start()
    yield cluster, original, copy
    kill_all([copy])


def _sentences(cluster: Cluster) -> list[str]:
    return explain(cluster.client(timeout=5.0).ask_each(status_at)).sentences


def test_a_copy_beside_its_original_is_said_and_refused(
    copied: tuple[Cluster, Node, Node],
) -> None:
    cluster, original, copy = copied
    everybody = [*cluster.nodes, copy]
    said = f"two processes run as {original.id}"
    wait_until(lambda: any(said in text for text in _sentences(cluster)), SECONDS, said, everybody)
    client = cluster.client([copy])  # it tells what the others told it

    def knows() -> bool:
        found = client.ask_each(status_at).values()
        return any("another process runs as this node" in str(report) for report in found)

    wait_until(knows, SECONDS, "the copy to know", everybody)
    cluster.client().put("key", b"value")
    [report] = cluster.client([original]).ask_each(status_at).values()
    assert isinstance(report, NodeStatus)
    assert report.leader_id, "the original goes on"
    copy.stop()
    assert cluster.client().get("key") is not None
