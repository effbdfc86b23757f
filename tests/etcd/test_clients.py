"""Clients of etcd from elsewhere, unchanged: at a follower, and through the death of the leader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.etcd.servers import Raftd

pytestmark = pytest.mark.cluster

HERE = Path(__file__).with_name("clients")
SECONDS = 60


@pytest.mark.parametrize("name", ["asynchronous", "blocking", "gateway"])
def test_a_client_of_etcd_works_and_survives_the_leader(name: str, three: Raftd) -> None:
    three.all_serve()  # also the one that the test before killed
    leader = three.leader()
    at = next(place for place, node in enumerate(three.nodes) if node is not leader)
    address = three.gateways[at] if name == "gateway" else three.addresses[at]
    client = subprocess.Popen(
        [sys.executable, HERE / f"{name}.py", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert client.stdin is not None
        assert client.stdout is not None
        first = client.stdout.readline()
        assert first == "done\n", first + client.stdout.read()
        leader.kill()
        said, _ = client.communicate("killed\n", SECONDS)
        assert said == "done\n"
        assert client.returncode == 0
    finally:
        client.kill()
        client.wait()
