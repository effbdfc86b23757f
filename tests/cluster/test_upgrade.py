"""A rolling upgrade: the version before runs beside this one while clients write."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness.cluster import TINY_SNAPSHOTS, Cluster
from harness.nodes import Node, endpoints, wait_until
from harness.writers import Writers
from raftd.client import Client
from raftd.client.delivery.nodes import NodeStatus, status_at
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.soak, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
BEFORE = "4b62fe464d5058d73ea63acccdeb4d372e1b3b90"
"""The last commit before states were compared, users had rights, and nodes priorities."""
MORE = 20


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package as it was, to be found before this one."""
    base = tmp_path_factory.mktemp("before")
    archive = base / "before.tar"
    command = ["git", "archive", "--output", str(archive), BEFORE, "raftd"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this clone has no {BEFORE[:12]}, the version before: {done.stderr.strip()}")
    with tarfile.open(archive) as tar:
        tar.extractall(base, filter="data")
    return base


def package_of(node: Node) -> str:
    """Where the running process has raftd from."""
    where = f"/proc/{node.pid()}/environ"
    return Path(where).read_bytes().decode()


def test_each_node_is_upgraded_while_clients_write(before: Path, make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3, TINY_SNAPSHOTS)
    for node in cluster.nodes:
        node.environment["PYTHONPATH"] = str(before)
    cluster.start()
    asked = subprocess.run(
        [sys.executable, "-c", "import raftd.core.core; print(raftd.__path__[0])"],
        cwd=before, env={"PYTHONPATH": str(before)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout.strip() == str(before / "raftd")
    client = cluster.client(timeout=30.0)
    writers = Writers([client] * 2, pace_seconds=0.005).start()
    writers.wait_more(MORE, 60, cluster.nodes)
    leader = cluster.leader()
    followers = [node for node in cluster.nodes if node is not leader]
    for node in (*followers, leader):
        assert str(before) in package_of(node)
        node.stop()
        node.environment.pop("PYTHONPATH")
        node.start()
        cluster.wait_ready([node])
        assert str(before) not in package_of(node)
        writers.wait_more(MORE, 60, cluster.nodes)
        assert not [text for text in troubles(cluster, client) if "differs" in text]
    writers.stop()
    assert not writers.book.errors, writers.book.errors[:3]
    cluster.wait_level()
    cluster.digests()
    for node in cluster.nodes:
        writers.check(cluster.client([node]), node.id)
    # What all know now is used: their states are compared.
    wait_until(lambda: compared(cluster), 30, "states to be compared", cluster.nodes)
    assert [node.metric("raftd_states_differing") for node in cluster.nodes] == [0, 0, 0]


def compared(cluster: Cluster) -> bool:
    """Have all nodes heard of a comparison of all states?"""
    return all((node.metric("raftd_states_compared_index") or 0) > 0 for node in cluster.nodes)


def troubles(cluster: Cluster, client: Client) -> list[str]:
    """What the nodes say is wrong."""
    found = client.ask_each(status_at, endpoints(cluster.nodes)).values()
    return [text for each in found if isinstance(each, NodeStatus) for text in each.problems]
