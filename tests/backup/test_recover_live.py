"""Two disks of three are gone for good; the third becomes a cluster of one, with every write."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.nodes import remove_tree
from raftd.cli.raftd_main import main

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(120)]


def test_a_survivor_of_a_lost_majority(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 3)
    try:
        cluster.start()
        client = cluster.client()
        client.put("a", "1")
        cluster.wait_level()
        survivor, *lost = cluster.nodes
        for node in cluster.nodes:
            node.kill()
        for node in lost:
            remove_tree(node.data_path)
        assert main(["recover", "--data-dir", str(survivor.data_path), "--yes"]) == 0
        survivor.start()
        cluster.wait_ready([survivor])
        alone = cluster.client([survivor])
        found = alone.get("a").kv
        assert found is not None
        assert found.value == b"1"
        assert alone.put("a", "2").version == 2
        assert alone.status().peers == ()
    finally:
        cluster.close()
