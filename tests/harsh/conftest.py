"""Clusters as in tests/cluster, made by the same fixture."""

from tests.cluster.conftest import make_cluster, pytest_runtest_makereport

__all__ = ["make_cluster", "pytest_runtest_makereport"]
