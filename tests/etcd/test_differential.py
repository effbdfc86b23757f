"""A slice of the comparison with a real etcd; `python -m tests.etcd.differential` does more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.etcd.differential.run import compare
from tests.etcd.servers import needs_etcd, one_etcd, raftd_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.long, needs_etcd]

REQUESTS = 300


def test_random_requests_are_answered_as_by_etcd(tmp_path: Path) -> None:
    with raftd_cluster(tmp_path / "raftd") as raftd, one_etcd(tmp_path) as etcd:
        report = asyncio.run(compare(etcd, raftd.addresses[0], REQUESTS, seed=5))
    assert not report.differences, "\n".join(report.differences)
    assert report.failures > 10
    assert report.events > 0
