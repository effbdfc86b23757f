"""A follower behind a narrow line, cut again and again, needs a snapshot. It gets it, once."""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cluster import Cluster, channel, event_count
from harness.nodes import Node, wait_until
from harness.proxied import ProxiedCluster
from harness.proxy import Edge
from raftd._pb import admin_pb2, admin_pb2_grpc
from raftd.client import Client

pytestmark = [pytest.mark.cluster, pytest.mark.long]

SOAK = os.environ.get("RAFTD_SOAK") == "1"
CUTS = 5
SENT_MAX = 1.3
"""Bytes over the line, all told, by bytes of the snapshot."""
VALUE_BYTES = 128 << 10
PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class Case:
    state_bytes: int
    rate_bytes: float
    snapshot_entries: int
    chunk: str


CASES = [
    pytest.param(Case(10 << 20, 6 << 20, 100, "256KiB"), id="10MiB"),
    pytest.param(Case(200 << 20, 16 << 20, 400, "1MiB"), id="200MiB", marks=pytest.mark.soak),
]


class Trickle:
    """One thread that goes on writing small values; the longest wait for an answer, in seconds."""

    def __init__(self, client: Client) -> None:
        self.count = 0
        self.longest = 0.0
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            began = time.monotonic()
            self._client.put(b"trickle/%d" % (self.count % 500), b"%d" % self.count)
            self.longest = max(self.longest, time.monotonic() - began)
            self.count += 1


def fill(client: Client, size_bytes: int) -> None:
    draw = random.Random(1)
    for start in range(0, size_bytes, 8 * VALUE_BYTES):
        client.put_many(
            [(b"state/%08d" % (start + number), draw.randbytes(VALUE_BYTES)) for number in range(8)]
        )


def snapshot_bytes(node: Node) -> int:
    """Size of the node's newest snapshot file, 0 if there is none."""
    sizes = []
    for path in sorted((node.data_path / "snapshots").iterdir()):
        if not path.name.endswith(".tmp"):
            sizes.append(path.stat().st_size)
    return sizes[-1] if sizes else 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES)
def test_it_arrives_once_and_nobody_campaigns(tmp_path: Path, case: Case) -> None:
    if case.state_bytes > 100 << 20 and not SOAK:
        pytest.skip("minutes long: RAFTD_SOAK=1")
    settings = {
        "snapshot_entries": str(case.snapshot_entries),
        "keep_entries": "20",
        "snapshot_chunk_bytes": case.chunk,  # a cut costs up to one
    }
    cluster = ProxiedCluster(tmp_path, 3, settings)
    try:
        _run(cluster, case)
    finally:
        cluster.close()


def _run(cluster: ProxiedCluster, case: Case) -> None:
    cluster.start()
    leader, victim = cluster.leader(), cluster.followers()[0]
    there, back = cluster.edge(leader.id, victim.id), cluster.edge(victim.id, leader.id)
    victim.kill()
    client = cluster.client([node for node in cluster.nodes if node is not victim])
    fill(client, case.state_bytes)
    index = _snapshot_now(leader)
    term, size = cluster.term(), snapshot_bytes(leader)
    assert size >= case.state_bytes
    taken = event_count(leader, "snapshot_taken")
    there.narrow(case.rate_bytes)
    back.narrow(case.rate_bytes)
    there.carried_bytes = 0

    trickle = Trickle(client)
    began = time.monotonic()
    victim.start()
    for cut in range(1, CUTS + 1):
        _wait_carried(there, cut * size // (CUTS + 1), 60 + size / case.rate_bytes, cluster)
        there.cut()
        back.cut()
    _wait_installed(victim, index, 60 + 2 * size / case.rate_bytes, cluster)
    seconds, carried = time.monotonic() - began, there.carried_bytes
    wait_until(  # so that there was something that a compaction could have taken
        lambda: event_count(leader, "snapshot_taken") > taken, 60, "a newer snapshot", [leader]
    )
    trickle.stop()
    cluster.wait_level()
    _report(case, size, carried, seconds, trickle)
    roles = event_count(victim, "role")
    assert cluster.leaders() == [leader]
    assert cluster.term() == term, "an election"
    assert roles == 0 or "pre-candidate" not in victim.log_path.read_text().split("starts:")[-1]
    assert event_count(victim, "snapshot_installed") == 1, "it started over"
    assert carried <= SENT_MAX * size, f"{carried} bytes for a snapshot of {size}"
    assert trickle.longest < 1.0, "others were kept waiting"
    assert len(set(cluster.digests().values())) == 1


def _snapshot_now(leader: Node) -> int:
    """Have the leader take a snapshot of all there is; returns its index."""
    with channel(leader) as to:
        request = admin_pb2.SnapshotNowRequest()
        return int(admin_pb2_grpc.AdminStub(to).SnapshotNow(request, timeout=60).index)


def _wait_carried(line: Edge, count: int, timeout: float, cluster: Cluster) -> None:
    wait_until(
        lambda: line.carried_bytes >= count, timeout, f"{count} bytes carried", cluster.nodes
    )


def _wait_installed(victim: Node, index: int, timeout: float, cluster: Cluster) -> None:
    wait_until(
        lambda: (victim.metric("raftd_applied_index") or 0) >= index,
        timeout,
        "the snapshot to be installed",
        cluster.nodes,
    )


def _report(case: Case, size: int, carried: int, seconds: float, trickle: Trickle) -> None:
    print(
        f"\nsnapshot of {size >> 20} MiB over {case.rate_bytes / (1 << 20):.0f} MiB/s, cut {CUTS} "
        f"times: {seconds:.1f} s, {carried / size:.2f}x its bytes sent; meanwhile "
        f"{trickle.count} writes, the longest took {trickle.longest * 1000:.0f} ms"
    )
