"""Debian's etcdctl prints at raftd what it prints at etcd."""

from __future__ import annotations

import pytest

from tests.etcd.servers import Raftd, needs_etcdctl
from tests.etcd.transcripts import GOLDEN, played

pytestmark = [pytest.mark.cluster, needs_etcdctl]


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.txt")))
def test_it_prints_what_it_prints_at_etcd(name: str, fresh: Raftd) -> None:
    recorded = (GOLDEN / f"{name}.txt").read_text()
    assert played(recorded, fresh.addresses[0]) == recorded
