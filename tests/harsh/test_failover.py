"""A leader dies, or is told to stop: for how long is nobody served? `make failover` asks more."""

from __future__ import annotations

import signal

import pytest

from harness.cluster import TINY_SNAPSHOTS
from harness.writers import Writers
from scripts.failover import Series, one_fault
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

SILENT_MS = 600
"""No follower's timer runs out as soon as that. `make failover` asks for much less."""


@pytest.mark.timeout(120)
def test_faster_than_the_timers_and_nothing_is_lost(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3, TINY_SNAPSHOTS).start()
    load = Writers([cluster.client()] * 4).start()
    kill = Series("SIGKILL", [one_fault(cluster, load, signal.SIGKILL)])
    term = Series("SIGTERM", [one_fault(cluster, load, signal.SIGTERM)])
    load.stop()
    print(f"\n{kill.report()}\n{term.report()}")
    assert not load.book.errors, "a call of a retrying client failed"
    assert kill.p50_ms() <= SILENT_MS
    assert term.p50_ms() <= SILENT_MS
    assert term.faults[0].code == 0
    cluster.wait_level()
    for node in cluster.nodes:
        load.check(cluster.client([node]), node.id)
