"""A cluster under TLS and a secret: who has no certificate gets nothing; renewal loses no call."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.nodes import Node, wait_until
from raftd.client import Client, NotDone, RaftdError
from raftd.client.settings import Options
from raftd.tls.certs import Authority
from tests.cluster.conftest import MakeCluster

pytestmark = pytest.mark.cluster

SETTINGS = {
    "cluster_secret_file": "secret",
    "peer_cert": "node.crt",
    "peer_key": "node.key",
    "peer_ca": "ca.crt",
    "client_cert": "node.crt",
    "client_key": "node.key",
    "client_ca": "ca.crt",
}


def sign(authority: Authority, home: Path, nodes: Sequence[Node]) -> None:
    """A new certificate for each of them, put where its settings look for it."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    for node in nodes:
        authority.node(home, node.id, ["127.0.0.1"], now, day)
        for end in ("key", "crt"):
            shutil.copy2(home / f"{node.id}.{end}", node.directory / f"node.{end}")


def secured(make_cluster: MakeCluster, home: Path) -> tuple[Cluster, Authority]:
    cluster = make_cluster(3, SETTINGS)
    authority = Authority.make(home, datetime.datetime.now(datetime.UTC))
    day = datetime.timedelta(days=1)
    authority.client(home, "alice", datetime.datetime.now(datetime.UTC), day)
    sign(authority, home, cluster.nodes)
    for node in cluster.nodes:
        shutil.copy2(home / "ca.crt", node.directory / "ca.crt")
        secret = node.directory / "secret"
        secret.touch(mode=0o600)
        secret.write_bytes(b"what all nodes of this cluster share")
    return cluster, authority


def raftctl(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    endpoints = ",".join(node.client_address for node in cluster.nodes)
    command = [sys.executable, "-m", "raftd.cli.raftctl", "--endpoints", endpoints]
    return subprocess.run(
        [*command, "--timeout", "3s", *words], capture_output=True, text=True, check=False
    )


def test_a_secured_cluster(make_cluster: MakeCluster, tmp_path: Path) -> None:
    home = tmp_path / "tls"
    cluster, authority = secured(make_cluster, home)
    cluster.start()
    files: Options = {"ca": str(home / "ca.crt"), "cert": str(home / "alice.crt")}
    files["key"] = str(home / "alice.key")
    flags = ["--cacert", files["ca"], "--cert", files["cert"], "--key", files["key"]]

    client = cluster.client(None, **files)
    client.put("k", "v")
    got = raftctl(cluster, *flags, "get", "k")
    assert "v" in got.stdout, got.stderr
    assert raftctl(cluster, *flags, "why").returncode == 0

    for ca in ("", files["ca"]):
        stranger = cluster.client(ca=ca, timeout=1.0)
        with pytest.raises(NotDone):
            stranger.put("k", "stranger")
    told = raftctl(cluster, "--cacert", files["ca"], "--timeout", "1s", "put", "k", "x")
    assert told.returncode != 0
    assert "Traceback" not in told.stderr
    assert "its certificate of that authority" in told.stderr, told.stderr

    renew_under_load(cluster, authority, home, client)
    found = client.get("k").kv
    assert found is not None
    assert found.value == b"v"


def renew_under_load(cluster: Cluster, authority: Authority, home: Path, client: Client) -> None:
    """New certificates, while a client writes; then the leader dies, and connections are new."""
    over = threading.Event()
    failed: list[Exception] = []
    done = [0]

    def write() -> None:
        while not over.is_set():
            try:
                client.put(f"load/{done[0] % 100}", b"x")
                done[0] += 1
            except RaftdError as error:
                failed.append(error)
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for node in cluster.nodes:
            for end in ("key", "crt"):
                (home / f"{node.id}.{end}").unlink()
        sign(authority, home, cluster.nodes)
        for node in cluster.nodes:
            node.signal(1)  # SIGHUP
        wait_until(
            lambda: all("new files count" in node.log_path.read_text() for node in cluster.nodes),
            15, "the new certificates to be taken", cluster.nodes,
        )  # fmt: skip
        leader = cluster.leader()
        leader.kill()
        before = done[0]
        wait_until(lambda: done[0] > before + 20 or bool(failed), 15, "writes to go on")
        leader.start()
        cluster.wait_ready(cluster.nodes)
    finally:
        over.set()
        writer.join()
    assert not failed, failed[0]
