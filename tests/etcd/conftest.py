"""Clusters that tests of the etcd API share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.etcd.servers import Raftd, raftd_cluster


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Raftd]:
    """One member, nothing in it: revisions are those of the transcripts."""
    with raftd_cluster(tmp_path) as raftd:
        yield raftd


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Raftd]:
    """Three members that serve."""
    with raftd_cluster(tmp_path, 3) as raftd:
        yield raftd
