"""Clients of etcd from elsewhere, unchanged: at a follower, and through the death of the leader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.etcd.servers import Raftd

pytestmark = pytest.mark.cluster

HERE = Path(__file__).with_name("clients")
NAMES = ("asynchronous", "blocking", "gateway")
SECONDS = 60


def test_clients_of_etcd_work_and_survive_the_leader(three: Raftd) -> None:
    three.all_serve()
    leader = three.leader()
    at = next(place for place, node in enumerate(three.nodes) if node is not leader)
    clients: dict[str, subprocess.Popen[str]] = {}
    try:
        for name in NAMES:  # one after the other: they use the same keys
            clients[name] = client = started(name, three.addresses[at])
            assert client.stdout is not None
            first = client.stdout.readline()
            assert first == "done\n", f"{name}: {first}{client.stdout.read()}"
        leader.kill()
        for name, client in clients.items():
            said, _ = client.communicate("killed\n", SECONDS)
            assert (said, client.returncode) == ("done\n", 0), name
    finally:
        for client in clients.values():
            client.kill()
            client.wait()


def started(name: str, address: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, HERE / f"{name}.py", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
