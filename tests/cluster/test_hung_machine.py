"""A machine that hangs on one node: the leader hands over, clients go on, and everybody says so."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from harness.cluster import event_count
from harness.nodes import Node, wait_until
from tests.cluster.conftest import MakeCluster

pytestmark = pytest.mark.cluster

MACHINE = """
import os, time

class Hanging:
    def __init__(self): self.n = 0
    def attach(self, host): self.file = "{folder}/hang-" + host.state().node
    def apply(self, command):
        while os.path.exists(self.file): time.sleep(0.01)
        self.n += 1
        return b"%d" % self.n
    def query(self, request): return b"%d" % self.n
    def capture(self): return [b"%d" % self.n]
    def restore(self, reader): self.n = int(reader.read())
"""


def readyz(node: Node) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{node.ports.admin}/readyz", timeout=5
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_leader_hands_over_and_is_named(make_cluster: MakeCluster, tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(MACHINE.format(folder=tmp_path))
    cluster = make_cluster(
        3,
        {
            "machine": "hanging:Hanging",
            "machine_path": str(tmp_path),
            "machine_stall_unready": "500ms",
            "hand_over_after": "500ms",
        },
    ).start()
    client = cluster.client()
    assert client.submit(b"up") == b"1"
    leader = cluster.leader()
    hang = tmp_path / f"hang-{leader.id}"
    hang.touch()
    assert client.submit(b"up", timeout=20) == b"2"  # through the next one, and once
    wait_until(lambda: cluster.leader() is not leader, 5, "the others to show it", cluster.nodes)
    status, text = readyz(leader)
    assert status == 503
    assert "the state machine has been applying entry" in text
    assert (leader.metric("raftd_machine_busy_seconds") or 0) > 0.5
    assert event_count(leader, "machine_stalled") == 1
    hang.unlink()
    cluster.wait_ready([leader])
    assert client.submit(b"up") == b"3"
    cluster.wait_level()
