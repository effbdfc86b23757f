"""SIGSTOP: a leader that sleeps through its own deposition must not answer as if nothing was."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import grpc
import pytest

from harness.cluster import Cluster, channel
from harness.nodes import wait_until
from harness.writers import Writers, in_threads, read_all
from raftd._pb import client_pb2, client_pb2_grpc
from raftd.wire import kv
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

SOAK = os.environ.get("RAFTD_SOAK") == "1"


def test_woken_leader_gives_no_stale_read_and_no_false_acknowledgement(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(3).start()
    cluster.client().put(b"k", b"old")
    leader = cluster.leader()
    others = cluster.followers()
    acked: list[bytes] = []
    reads: list[bytes] = []
    with channel(leader) as to:
        commands = client_pb2_grpc.CommandsStub(to)
        asked = client_pb2.QueryRequest(query=kv.encode_get(b"k"))

        def value(timeout: float) -> bytes:
            found = kv.decode_get(commands.Query(asked, timeout=timeout).result)[1]
            assert found is not None
            return found.value

        assert value(5) == b"old"
        leader.pause()
        rest = cluster.client(others)
        rest.put(b"k", b"new")

        def read(_: int) -> None:
            with contextlib.suppress(grpc.RpcError):
                reads.append(value(15))

        def write(number: int) -> None:
            key = b"w%d" % number
            with contextlib.suppress(grpc.RpcError):
                put = client_pb2.SubmitRequest(command=kv.encode_put(key, key))
                commands.Submit(put, timeout=15)
                acked.append(key)

        threads = in_threads(20, read) + in_threads(20, write)
        time.sleep(1.0)  # lets the calls queue up in the sleeping node's socket
        leader.resume()
        for thread in threads:
            thread.join(20)
    assert set(reads) <= {b"new"}
    cluster.wait_ready([leader])
    cluster.wait_level()
    for node in cluster.nodes:
        found = read_all(cluster.client([node]), b"w")
        assert set(acked) <= set(found)
    found_now = rest.get(b"k").kv
    assert found_now is not None
    assert found_now.value == b"new"
    assert len(set(cluster.digests().values())) == 1
    print(f"\nwoken leader: {len(reads)} of 20 reads answered, {len(acked)} of 20 writes")


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "seconds", [2, pytest.param(60, marks=pytest.mark.soak)], ids=["short", "a-minute"]
)
def test_busy_leader_keeps_its_term_and_a_stopped_one_is_replaced(
    make_cluster: MakeCluster, seconds: int
) -> None:
    if seconds > 10 and not SOAK:
        pytest.skip("minutes long: RAFTD_SOAK=1")
    cluster = make_cluster(3).start()
    client = cluster.client()
    load = Writers([client] * 64, value_bytes=256).start()
    load.wait_more(100, 20, cluster.nodes)
    term, before = cluster.term(), load.acked
    threading.Event().wait(seconds)
    assert cluster.term() == term, "an election under load, with nothing wrong"
    rate = (load.acked - before) / seconds
    leader, stopped_at = cluster.leader(), time.monotonic()
    leader.pause()
    load.wait_more(200, 20, cluster.nodes)
    silence = load.book.silence(stopped_at)
    leader.resume()
    wait_until(lambda: _follows(cluster, leader.id), 20, "the old leader to follow", cluster.nodes)
    load.stop()
    print(f"\n64 callers, {seconds} s: {rate:.0f} writes/s, term {term} throughout; ")
    print(f"leader stopped: writes silent for {silence:.2f} s")
    assert silence < 3.0
    cluster.wait_level()
    for node in cluster.nodes:
        load.check(cluster.client([node]))


def _follows(cluster: Cluster, name: str) -> bool:
    node = next(node for node in cluster.nodes if node.id == name)
    return node.metric("raftd_is_leader") == 0 and node.ready()
