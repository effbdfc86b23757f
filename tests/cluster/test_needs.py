"""What a node takes of memory and disk with the small profile: the table in docs/operations.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.nodes import ROOT, Node
from raftd.client import Client
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

MIB = 1 << 20
VALUE = bytes(range(250)) * 400
"""100 KB; ten keys of it are 1 MB of state, written again and again."""
PUTS = 1_000


def memory_bytes(node: Node) -> int:
    """The most that was ever resident."""
    text = Path(f"/proc/{node.pid()}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) << 10


def disk_bytes(node: Node) -> int:
    return sum(path.stat().st_blocks * 512 for path in node.data_path.rglob("*") if path.is_file())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_the_small_profile_fits_where_it_says(make_cluster: MakeCluster) -> None:
    """The story without it: 1 MB of state filled a disk of 160 MB, and took 323 MB of memory."""
    cluster = make_cluster(1, {"profile": "small"})
    cluster.start()
    node = cluster.nodes[0]
    most_on_disk = 0
    with Client(node.client_address, timeout=20) as client:
        for _ in range(PUTS // 50):
            client.put_many([(b"k%d" % (n % 10), VALUE) for n in range(50)])
            most_on_disk = max(most_on_disk, disk_bytes(node))
    memory = memory_bytes(node)
    print(f"small profile: {memory / MIB:.0f} MiB resident, {most_on_disk / MIB:.0f} MiB on disk")
    documented = (ROOT / "docs" / "operations.md").read_text()
    row = re.search(r"\| small \| (\d+) MiB \| (\d+) MiB \|", documented)
    assert row is not None
    assert memory < int(row[1]) * MIB
    assert most_on_disk < int(row[2]) * MIB
