"""A slice of the comparison with a real etcd; `python -m tests.etcd.differential` does more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.etcd.differential.run import compare
from tests.etcd.servers import Raftd, needs_etcd, one_etcd

pytestmark = [pytest.mark.cluster, needs_etcd]

REQUESTS = 300


def test_random_requests_are_answered_as_by_etcd(tmp_path: Path, fresh: Raftd) -> None:
    with one_etcd(tmp_path) as etcd:
        report = asyncio.run(compare(etcd, fresh.addresses[0], REQUESTS, seed=5))
    assert not report.differences, "\n".join(report.differences)
    assert report.failures > 10
    assert report.events > 0
