"""raftctl against a cluster that is made up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.raftctl_shell import Shell
from tests.client.fake_server import FakeCluster


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster() as cluster:
        yield cluster


@pytest.fixture
def shell(cluster: FakeCluster, capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    return Shell(cluster, capfdbinary)
