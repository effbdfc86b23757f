"""Names in /etc/hosts, and a name server that does not answer: as quick as numbers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import naming
from harness.proxied import CLIENTS, ProxiedCluster

pytestmark = pytest.mark.cluster

READY_SECONDS = 10.0
"""Three starts of Python included; with a name server to wait for it was more than a minute."""
CALL_SECONDS = 5.0

PROGRAM = """
import os, sys, time
from raftd.client import Client
began = time.monotonic()
with Client(sys.argv[1], timeout=30) as client:
    client.put(b"k", b"v")
assert "GRPC_DNS_RESOLVER" not in os.environ
print(time.monotonic() - began)
"""


def test_nodes_clients_and_raftctl_ask_no_name_server(tmp_path: Path) -> None:
    if why := naming.why_not():
        pytest.skip(why)
    cluster = ProxiedCluster(tmp_path, 3, named=True)
    names = cluster.naming
    assert names is not None
    try:
        cluster_began = time.monotonic()
        cluster.start()
        assert time.monotonic() - cluster_began < READY_SECONDS
        endpoints = ",".join(
            f"{names.host(node.id)}:{cluster.edge(CLIENTS, node.id).port}" for node in cluster.nodes
        )
        took = float(_run([*names.wrapper(), sys.executable, "-c", PROGRAM, endpoints]))
        assert took < CALL_SECONDS, "the client's first call"
        raftctl = [sys.executable, "-m", "raftd.cli.raftctl", "--endpoints", endpoints]
        _run([*names.wrapper(), *raftctl, "--timeout", f"{CALL_SECONDS:g}s", "get", "k"])
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
