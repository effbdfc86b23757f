"""Two processes with copies of one data directory: the others say so, and refuse one."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.nodes import Node, config_text, kill_all, make_nodes, wait_until
from raftd.client.delivery.nodes import NodeStatus, status_at
from raftd.client.diagnosis import explain
from raftd.rpc.directory import LATE_SECONDS
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
    copy = _copy_of(original, cluster, tmp_path)
    try:
        original.start()
        cluster.wait_ready()
        copy.start()
        yield cluster, original, copy
    finally:
        kill_all([copy])


def _copy_of(original: Node, cluster: Cluster, tmp_path: Path) -> Node:
    [copy] = make_nodes(tmp_path / "copies", [original.id])
    copy.directory.mkdir(parents=True)
    shutil.copytree(original.data_path, copy.data_path)
    others = [node for node in cluster.nodes if node is not original]
    copy.config_path.write_text(config_text(copy, [copy, *others], TOKEN))
    return copy


@pytest.fixture
def slept(make_cluster: MakeCluster, tmp_path: Path) -> Iterator[tuple[Cluster, Node, Node]]:
    """A follower hangs, and a copy of it has stood in for it for long."""
    cluster = make_cluster(3, {})
    cluster.start()
    leader = cluster.leader()
    original = next(node for node in cluster.nodes if node is not leader)
    original.signal(signal.SIGSTOP)
    copy = _copy_of(original, cluster, tmp_path)
    try:
        copy.start()
        peer_address = f"127.0.0.1:{copy.ports.peer}"
        cluster.client().change_member("update", copy.id, peer_address, copy.client_address)
        wait_until(lambda: bool(_leader_of(cluster, copy)), SECONDS, "the copy to follow", [copy])
        until = time.monotonic() + LATE_SECONDS + 1
        wait_until(lambda: time.monotonic() > until, SECONDS, "the original to be late", [copy])
        yield cluster, original, copy
    finally:
        kill_all([copy])


def _leader_of(cluster: Cluster, node: Node) -> str:
    [report] = cluster.client([node]).ask_each(status_at).values()
    return (report.leader_id or "") if isinstance(report, NodeStatus) else ""


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


def test_who_slept_while_a_copy_stood_in_for_it_is_refused(
    slept: tuple[Cluster, Node, Node],
) -> None:
    cluster, original, copy = slept
    leader = _leader_of(cluster, copy)
    original.signal(signal.SIGCONT)
    client = cluster.client([original])

    def knows() -> bool:
        found = client.ask_each(status_at).values()
        return any("another process runs as this node" in str(report) for report in found)

    wait_until(knows, SECONDS, "the original to know", [*cluster.nodes, copy])
    assert _leader_of(cluster, copy) == leader, "the copy goes on"
    original.stop()
    cluster.client([copy]).put("key", b"value")
