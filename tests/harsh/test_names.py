"""Names in /etc/hosts, and a name server that does not answer: as quick as numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import naming
from harness.proxied import CLIENTS, ProxiedCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]


PROGRAM = """
import os, sys
from raftd.client import Client
with Client(sys.argv[1], timeout=30) as client:
    client.put(b"k", b"v")
assert "GRPC_DNS_RESOLVER" not in os.environ
"""


def test_nodes_clients_and_raftctl_ask_no_name_server(tmp_path: Path) -> None:
    if why := naming.why_not():
        pytest.skip(why)
    cluster = ProxiedCluster(tmp_path, 3, named=True)
    names = cluster.naming
    assert names is not None
    try:
        cluster.start()
        endpoints = ",".join(
            f"{names.host(node.id)}:{cluster.edge(CLIENTS, node.id).port}" for node in cluster.nodes
        )
        _run([*names.wrapper(), sys.executable, "-c", PROGRAM, endpoints])
        raftctl = [sys.executable, "-m", "raftd.cli.raftctl", "--endpoints", endpoints]
        _run([*names.wrapper(), *raftctl, "--timeout", "30s", "get", "k"])
        assert names.asked == 0, "questions to the name server"
    finally:
        cluster.close()


def _run(command: list[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(naming.ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
