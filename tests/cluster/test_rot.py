"""A byte of one node's applied state changes in memory: found soon, told by all, not served."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest

from harness.cluster import Cluster
from harness.nodes import Node, wait_until
from raftd._pb import etcd_pb2 as pb
from raftd.client import Client, RaftdError
from raftd.client.delivery.nodes import NodeStatus, status_at
from raftd.client.diagnosis import explain
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

FOUND_SECONDS = 5.0
KEYS = 50


def rot(node: Node, directory: Path, key: bytes) -> None:
    """Returns when it has happened."""
    order = directory / f"rot-{node.pid()}"
    partial = order.with_suffix(".new")
    partial.write_bytes(key)
    partial.rename(order)
    wait_until(lambda: not order.exists(), 10, "a byte to change", [node])


def serializable(node: Node, key: bytes) -> bytes:
    """What a member answers from its own state. Raises grpc.RpcError."""
    with grpc.insecure_channel(node.client_address) as channel:
        ask = channel.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=pb.RangeRequest.SerializeToString,
            response_deserializer=pb.RangeResponse.FromString,
        )
        answer = ask(pb.RangeRequest(key=key, serializable=True), timeout=10, wait_for_ready=True)
        return bytes(answer.kvs[0].value)


def statuses(client: Client) -> dict[str, NodeStatus | RaftdError]:
    return client.ask_each(status_at)


def told_by(client: Client, sick: str) -> list[str]:
    """The nodes that say that the state of `sick` differs."""
    found = []
    for report in statuses(client).values():
        if isinstance(report, NodeStatus):
            word = "the applied state differs" if report.node_id == sick else f"state of {sick}"
            found += [report.node_id] if any(word in text for text in report.problems) else []
    return sorted(found)


def start(make_cluster: MakeCluster, directory: Path) -> tuple[Cluster, Client]:
    settings = {
        "machine": "rotten:RottenStore",
        "machine_path": str(Path(__file__).parent),
        "state_check_interval": "1s",  # unless told otherwise 4 s; found well before 10 s then, too
        "hand_over_after": "500ms",
    }
    cluster = make_cluster(3, settings)
    for node in cluster.nodes:
        node.environment["ROT_DIRECTORY"] = str(directory)
    cluster.start()
    client = cluster.client()
    for number in range(KEYS):
        client.put(b"k%02d" % number, b"right")
    cluster.wait_level()
    return cluster, client


def test_it_is_found_told_and_not_served(make_cluster: MakeCluster, tmp_path: Path) -> None:
    """On the leader, which is the harder case: it judges itself, and has to go."""
    cluster, client = start(make_cluster, tmp_path)
    sick = cluster.leader()
    assert serializable(sick, b"k07") == b"right"
    rot(sick, tmp_path, b"k07")
    began = time.monotonic()
    assert serializable(sick, b"k07") != b"right"
    while told_by(client, sick.id) != ["n1", "n2", "n3"]:  # under load, or the mark would be easy
        with_key = b"load%d" % int(time.monotonic() * 1000)
        client.put(with_key, b"x")
        assert time.monotonic() - began < FOUND_SECONDS, told_by(client, sick.id)
    for key in (b"k07", b"k08"):
        with pytest.raises(grpc.RpcError, match="differs from the other members"):
            serializable(sick, key)
    found = client.get(b"k07").kv
    assert found is not None
    assert found.value == b"right"
    client.put(b"after", b"right")
    assert cluster.leader() is not sick
    wait_until(lambda: differing(cluster) == [1.0] * 3, 10, "metrics", cluster.nodes)
    assert sick.metric("raftd_state_differs") == 1
    told = explain(statuses(client)).sentences
    assert any("applied state" in sentence for sentence in told), told


def differing(cluster: Cluster) -> list[float | None]:
    return [node.metric("raftd_states_differing") for node in cluster.nodes]
