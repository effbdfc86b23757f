"""kill -9, again and again, under load: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster import TINY_SNAPSHOTS
from harness.writers import Writers
from tests.chaos import kills
from tests.cluster.conftest import MakeCluster

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(300)
def test_kill_cycles_under_load(tmp_path: Path) -> None:
    """A majority, the leader, all at once, any: `python -m tests.chaos kills` makes hundreds."""
    settings = {"snapshot_entries": "30", "keep_entries": "5", "segment_bytes": "64KiB"}
    report = kills.run(
        tmp_path, nodes=3, cycles=4, seconds=60, seed=20, say=print, first=17, settings=settings
    )
    print(*report.lines(), sep="\n")
    assert report.good, report.lines()
    tally = report.tally
    assert (tally.majorities, tally.leaders, tally.all_at_once) == (1, 3, 1)
    assert report.findings.acked > 200
    logs = [path.read_text() for path in tmp_path.glob("n?/log")]
    assert sum(log.count('"snapshot_installed"') for log in logs) > 0


def test_single_node(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(1, TINY_SNAPSHOTS).start()
    load = Writers([cluster.client() for _ in range(4)]).start()
    load.wait_more(300, 20, cluster.nodes)
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    cluster.wait_ready(cluster.nodes)
    load.wait_more(100, 20, cluster.nodes)
    load.stop()
    load.check(cluster.client())
