"""A node in want of disk or of descriptors: it says so, gives way, stops in order, and recovers."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from pathlib import Path

import pytest

from harness.cluster import event_count
from harness.nodes import Node, wait_until
from raftd.client import Client, RaftdError
from tests.cluster.conftest import MakeCluster

pytestmark = pytest.mark.cluster

SEGMENT_BYTES = 64 << 10
FILES = 180
CROWD = 300


def _full(node: Node, full: bool) -> None:
    """No file of its log may be longer than a segment: to raftd that is a full disk."""
    limit = SEGMENT_BYTES if full else resource.RLIM_INFINITY
    pid = node.pid()
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def test_a_leader_with_a_full_disk(make_cluster: MakeCluster) -> None:
    """It hands over and is unready; its stop, with small writes behind the large one that found no
    room, is an orderly one; with room it is level again.
    """
    settings = {"segment_bytes": "64KiB", "disk_reserve": "0B", "snapshot_bytes": "64MiB"}
    cluster = make_cluster(3, settings).start()
    client = cluster.client()
    for number in range(5):
        client.put(b"small%d" % number, b"x")
    full = cluster.leader()
    _full(full, True)
    client.put(b"large", bytes(200_000))  # the others have room
    for number in range(20):
        client.put(b"after%d" % number, b"x" * 2000)
    wait_until(lambda: not full.ready(), 10, "the full node to be unready", cluster.nodes)
    wait_until(lambda: cluster.leader() is not full, 10, "another leader", cluster.nodes)
    status, text = full.http("/readyz")
    assert status == 503
    assert "no room for" in text
    assert full.metric("raftd_disk_trouble") == 1
    assert event_count(full, "no_space") == 1
    assert full.stop() == 0
    full.start()
    cluster.wait_ready(cluster.nodes)
    cluster.wait_level()
    assert len(set(cluster.digests().values())) == 1


def test_room_that_comes_back_needs_no_restart(make_cluster: MakeCluster) -> None:
    settings = {"segment_bytes": "64KiB", "disk_reserve": "0B"}
    node = make_cluster(1, settings).start().nodes[0]
    with Client([node.client_address], timeout=20) as client:
        client.put(b"a", b"x")
        _full(node, True)
        with Client([node.client_address], timeout=0.5) as hasty, pytest.raises(RaftdError):
            hasty.put(b"large", bytes(200_000))
        wait_until(lambda: not node.ready(), 10, "the full node to be unready", [node])
        _full(node, False)
        client.put(b"b", b"x")
        wait_until(node.ready, 10, "the node to be ready", [node])
    assert (event_count(node, "no_space"), event_count(node, "space_again")) == (1, 1)
    assert node.stop() == 0


def test_a_crowd_of_idle_connections_leaves_the_log_its_files(
    make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More connections than files, at all three ports: the log rolls on, and nothing spins."""
    cluster = make_cluster(1, {"segment_bytes": "64KiB", "snapshot_entries": "20"})
    node = cluster.nodes[0]
    monkeypatch.setattr(
        Node, "command", lambda self: ["prlimit", f"--nofile={FILES}:{FILES}", *command(self)]
    )
    cluster.start()
    client = cluster.client()
    client.put(b"first", b"x")
    with contextlib.ExitStack() as crowd:
        for port in (node.ports.client, node.ports.peer, node.ports.admin):
            for _ in range(CROWD):
                with contextlib.suppress(OSError):
                    idle = socket.create_connection(("127.0.0.1", port), timeout=1)
                    crowd.callback(idle.close)
        began = _cpu_seconds(node)
        for number in range(60):
            client.put(b"k%d" % number, bytes(20_000))
        spent = _cpu_seconds(node) - began
        pid = node.pid()
        assert pid is not None
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        assert used < FILES - 10, f"{used} of {FILES} descriptors are in use"
        assert spent < 3, f"{spent:.1f} s of processor time for 60 puts"
    wait_until(node.ready, 10, "the node to be ready", [node])
    with Client([node.client_address], timeout=10) as late:
        late.put(b"last", b"x")
    assert node.stop() == 0


command = Node.command


def _cpu_seconds(node: Node) -> float:
    fields = Path(f"/proc/{node.pid()}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
