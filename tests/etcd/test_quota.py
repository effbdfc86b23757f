"""A store at its quota, seen by etcdctl, by our own client and by an operator."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from harness.cluster import Cluster
from harness.nodes import ROOT, wait_until
from harness.ports import free_ports
from raftd.client import Client, NoSpace
from raftd.client import operations as ops
from tests.cluster.conftest import MakeCluster
from tests.cluster.conftest import make_cluster as make_cluster
from tests.etcd.servers import needs_etcdctl

pytestmark = [pytest.mark.cluster, pytest.mark.long]

QUOTA = 300_000
VALUE = "x" * 60_000
SETTINGS = {
    "quota_bytes": f"{QUOTA}B",
    "heartbeat_interval": "20ms",
    "election_timeout_min": "100ms",
    "election_timeout_max": "200ms",
}


def etcdctl(cluster: Cluster, *words: str) -> str:
    """What it prints, errors too."""
    done = subprocess.run(
        ["etcdctl", "--endpoints", cluster.nodes[0].client_address, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "ETCDCTL_API": "3"},
    )
    return done.stdout + "".join(
        f"{line}\n" for line in done.stderr.splitlines() if line.startswith("Error")
    )


def raftctl(cluster: Cluster, *words: str) -> str:
    address = cluster.nodes[0].client_address
    done = subprocess.run(
        [ROOT / ".venv/bin/raftctl", "--endpoints", address, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout + done.stderr


@needs_etcdctl
def test_a_full_store_refuses_what_grows_until_there_is_room(make_cluster: MakeCluster) -> None:
    """The transcript of Debian's etcd 3.4 with the same quota, but for numbers."""
    (gateway,) = free_ports(1)
    cluster = make_cluster(1, {**SETTINGS, "listen_gateway": f"127.0.0.1:{gateway}"}).start()
    client = cluster.client()
    for number in range(5):
        client.put(f"k{number}", VALUE)
    wait_until(lambda: raised(client), 10, "the alarm")
    alarm = etcdctl(cluster, "alarm", "list")
    assert re.fullmatch(r"memberID:\d+ alarm:NOSPACE \n", alarm)
    refused = "etcdserver: mvcc: database space exceeded"
    assert etcdctl(cluster, "put", "a", "b") == f"Error: {refused}\n"
    assert etcdctl(cluster, "lease", "grant", "60") == f"Error: failed to grant lease ({refused})\n"
    with pytest.raises(NoSpace, match="mvcc: database space exceeded; delete and compact"):
        client.put("a", "b")
    assert etcdctl(cluster, "get", "k0") == f"k0\n{VALUE}\n"
    assert alarm.strip() in etcdctl(cluster, "endpoint", "status")
    assert _health(gateway) == 503
    wait_until(lambda: cluster.nodes[0].metric("raftd_alarms") == 1, 10, "the metric")
    assert "alarm NO_SPACE raised for n1" in raftctl(cluster, "why")
    assert raftctl(cluster, "alarm") == "NO_SPACE n1\n"
    assert etcdctl(cluster, "alarm", "disarm") == alarm
    wait_until(lambda: raised(client), 10, "the alarm again")
    assert etcdctl(cluster, "del", "k0", "k4") == "4\n"
    revision = client.get("k1").revision
    assert etcdctl(cluster, "compact", str(revision)) == f"compacted revision {revision}\n"
    wait_until(lambda: not raised(client), 10, "the alarm to end by itself")
    assert etcdctl(cluster, "put", "a", "b") == "OK\n"
    assert etcdctl(cluster, "alarm", "list") == ""
    assert _health(gateway) == 200


def raised(client: Client) -> bool:
    return bool(client.execute(ops.alarms()).answer)


def _health(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
