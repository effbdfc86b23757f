"""Clusters that tests of the etcd API share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.etcd.servers import Raftd, raftd_cluster


@pytest.fixture(scope="package")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raftd]:
    """Three members; whoever needs all of them starts those that are dead."""
    with raftd_cluster(tmp_path_factory.mktemp("three"), 3) as raftd:
        yield raftd
