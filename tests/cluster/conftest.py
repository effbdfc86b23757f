"""Clusters for tests: killed and, on failure, explained by the end of every node's log."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest

from harness.cluster import Cluster

MakeCluster = Callable[..., Cluster]
_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture
def make_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeCluster]:
    """make_cluster(size, settings): configured, not started."""
    made: list[Cluster] = []

    def make(size: int = 3, settings: Mapping[str, str] | None = None) -> Cluster:
        cluster = Cluster(tmp_path / f"cluster{len(made)}", size, settings or {})
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.close()
        if request.node.stash.get(_FAILED, False):
            for node in cluster.nodes:
                print(f"--- {node.id}: {node.log_path}\n{node.log_tail(40)}")
