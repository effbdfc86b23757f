"""Two forged Hellos keep a new cluster from forming; its operator can undo what they did."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest

from harness.cluster import Cluster
from harness.nodes import Node, wait_until
from raftd._pb import raft_pb2 as pb
from tests.cluster.conftest import MakeCluster
from tests.harsh.bad_input.conftest import identity_of, said

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def forge_hello(name: str, target: Node) -> pb.HelloReply:
    """As a node called `name` would say it that nobody has met yet."""
    envelope = pb.Envelope(
        cluster=identity_of(target).cluster,
        sender=name,
        sender_incarnation="f" * 16,
        addressee=target.id,
    )
    with grpc.insecure_channel(f"127.0.0.1:{target.ports.peer}") as to:
        hello = to.unary_unary(
            "/raftd.raft.v1.Raft/Hello",
            request_serializer=pb.HelloRequest.SerializeToString,
            response_deserializer=pb.HelloReply.FromString,
        )
        reply: pb.HelloReply = hello(pb.HelloRequest(envelope=envelope, number=1), timeout=5)
    return reply


def forget(node: Node, other: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "raftd.cli.raftd_main", "forget", str(node.data_path), other],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return done.returncode, done.stdout + done.stderr


def listens(node: Node) -> bool:
    return "serving: peers on port" in node.log_path.read_text()


def test_a_spoiled_bootstrap_is_undone(make_cluster: MakeCluster) -> None:
    cluster: Cluster = make_cluster(3)
    first, *others = cluster.nodes
    for node in others:
        node.start()
    wait_until(lambda: all(map(listens, others)), 15, "two nodes to listen", others)
    assert not any(forge_hello("n1", node).refused for node in others)
    first.start()
    said(first, "recorded here with another incarnation")
    code, text = forget(others[0], "n1")
    assert (code, "in use" in text or "lock" in text) == (2, True), text
    for node in others:
        node.kill()
        code, text = forget(node, "n1")
        assert code == 0, text
        node.start()
    cluster.wait_ready(cluster.nodes)
    cluster.client().put(b"formed", b"yes")
    victim = cluster.followers()[0]
    victim.stop()
    code, text = forget(victim, "n1" if victim is not first else "n2")
    assert (code, "has taken part in its cluster" in text) == (2, True), text
    print(f"\n2 forged Hellos undone by `raftd forget`: it formed, term {cluster.term()}")
