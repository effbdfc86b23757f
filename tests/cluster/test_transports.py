"""Nodes and clients of both transports in one cluster; a node whose ngh2 cannot be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster import Cluster
from raftd.client import Client, NotDone, OutcomeUnknown, settings
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

BROKEN = 'raise ImportError("no wheel for this system")\n'


def mixed(make_cluster: MakeCluster, tmp_path: Path) -> Cluster:
    """n1 on h2, n2 on grpcio, n3 on grpcio because its ngh2 cannot be loaded."""
    cluster = make_cluster(3)
    for node, transport in zip(cluster.nodes, ("h2", "grpcio", "h2"), strict=True):
        lines = node.config_path.read_text().splitlines()
        kept = [line for line in lines if not line.startswith("transport:")]
        node.config_path.write_text("\n".join([f"transport: {transport}", *kept]) + "\n")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "ngh2.py").write_text(BROKEN)
    cluster.nodes[2].environment["PYTHONPATH"] = str(broken)
    return cluster.start()


def test_a_mixed_cluster_serves_clients_of_both_kinds_whoever_leads(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    cluster = mixed(make_cluster, tmp_path)
    clients = [cluster.client(transport=kind) for kind in ("h2", "grpcio")]
    for turn, node in enumerate(cluster.nodes):
        lead(clients[turn % 2], cluster, node.id)
        for at, client in enumerate(clients):
            client.put(f"{turn} {at}", node.id)
        for at, client in enumerate(reversed(clients)):
            found = client.get(f"{turn} {at}").kv
            assert found is not None
            assert found.value == node.id.encode()
    cluster.leader().kill()
    for at, client in enumerate(clients):
        client.put(f"after {at}", "the kill")
    said = [node.log_path.read_text().count("cannot be loaded") for node in cluster.nodes]
    assert said == [0, 0, 1]


def lead(client: Client, cluster: Cluster, wanted: str) -> None:
    """Make a node lead; who hears an older leader's last word refuses, so it may take a while."""
    for _ in range(50):
        if cluster.leader().id == wanted:
            return
        try:
            client.transfer(wanted)
        except (NotDone, OutcomeUnknown):
            continue
    raise AssertionError(f"{wanted} does not lead")


def test_a_client_without_ngh2_says_so_and_uses_grpcio(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "available", lambda: False)
    monkeypatch.setattr(settings, "preferred", "")
    settings.quickest.cache_clear()
    try:
        with caplog.at_level("INFO", "raftd.client"):
            for _ in range(3):
                made = settings.checked_settings("127.0.0.1:1", {})
                assert made.transport == "grpcio"
        assert [record.getMessage() for record in caplog.records] == [
            "the package ngh2 cannot be loaded: transport grpcio is used"
        ]
    finally:
        settings.quickest.cache_clear()


def test_a_client_uses_h2_where_it_can() -> None:
    settings.quickest.cache_clear()
    assert settings.quickest() == "h2"
