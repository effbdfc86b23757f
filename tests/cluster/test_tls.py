"""From plain text to TLS under load, a node at a time; then who has no certificate gets nothing,
and renewal loses no call.
"""

from __future__ import annotations

import datetime
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.nodes import Node, wait_until, write_configs
from harness.writers import Writers
from raftd.client import Client, NotDone, RaftdError
from raftd.client.delivery.nodes import status_at
from raftd.client.diagnosis import explain
from raftd.client.settings import Options
from raftd.tls.certs import Authority
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

SETTINGS = {
    "cluster_secret_file": "secret",
    "peer_cert": "node.crt",
    "peer_key": "node.key",
    "peer_ca": "ca.crt",
    "client_cert": "node.crt",
    "client_key": "node.key",
    "client_ca": "ca.crt",
}
MIGRATING = {
    **SETTINGS,
    "security_migrating": "true",
    "peer_tls_optional": "true",
    "client_tls_optional": "true",
}
PLAIN = {"log_format": "json", "cluster_token": "test"}


def sign(authority: Authority, home: Path, nodes: Sequence[Node]) -> None:
    """A new certificate for each of them, put where its settings look for it."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    for node in nodes:
        authority.node(home, node.id, ["127.0.0.1"], now, day)
        for end in ("key", "crt"):
            shutil.copy2(home / f"{node.id}.{end}", node.directory / f"node.{end}")


def hand_out(cluster: Cluster, home: Path) -> Authority:
    """Every node has its files; no setting names them yet."""
    authority = Authority.make(home, datetime.datetime.now(datetime.UTC))
    day = datetime.timedelta(days=1)
    authority.client(home, "alice", datetime.datetime.now(datetime.UTC), day)
    sign(authority, home, cluster.nodes)
    for node in cluster.nodes:
        shutil.copy2(home / "ca.crt", node.directory / "ca.crt")
        secret = node.directory / "secret"
        secret.touch(mode=0o600)
        secret.write_bytes(b"what all nodes of this cluster share")
    return authority


def one_by_one(cluster: Cluster, settings: Mapping[str, str], client: Client) -> None:
    """Each node is restarted with these settings, and all is well before the next one is."""
    write_configs(cluster.nodes, {**PLAIN, **settings})
    for node in cluster.nodes:
        assert node.stop() == 0
        node.start()
        cluster.wait_ready([node])
        wait_until(lambda: all_is_well(client), 30, "all to be well", cluster.nodes)


def all_is_well(client: Client) -> bool:
    """What `raftctl why` says; an operator looks before he goes on to the next node."""
    return explain(client.ask_each(status_at)).well


def migrate(cluster: Cluster, files: Options) -> Client:
    """To TLS and a secret, without a failed call. Returns a client with a certificate."""
    plain = cluster.client()
    old = Writers([plain], pace_seconds=0.002).start()
    one_by_one(cluster, MIGRATING, plain)
    client = cluster.client(None, **files)
    new = Writers([client], prefix=b"new/", pace_seconds=0.002).start()
    new.wait_more(20, 15, cluster.nodes)
    old.stop()
    one_by_one(cluster, SETTINGS, client)
    new.wait_more(20, 15, cluster.nodes)
    new.stop()
    assert [*old.book.errors, *new.book.errors] == []
    return client


def raftctl(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    endpoints = ",".join(node.client_address for node in cluster.nodes)
    command = [sys.executable, "-m", "raftd.cli.raftctl", "--endpoints", endpoints]
    return subprocess.run(
        [*command, "--timeout", "3s", *words], capture_output=True, text=True, check=False
    )


def test_a_cluster_is_secured_while_it_serves(make_cluster: MakeCluster, tmp_path: Path) -> None:
    home = tmp_path / "tls"
    cluster = make_cluster(3, PLAIN).start()
    authority = hand_out(cluster, home)
    files: Options = {"ca": str(home / "ca.crt"), "cert": str(home / "alice.crt")}
    files["key"] = str(home / "alice.key")
    flags = ["--cacert", files["ca"], "--cert", files["cert"], "--key", files["key"]]

    client = migrate(cluster, files)
    client.put("k", "v")
    got = raftctl(cluster, *flags, "get", "k")
    assert "v" in got.stdout, got.stderr
    wait_until(  # the node that came back last may not have been dialed yet
        lambda: raftctl(cluster, *flags, "why").returncode == 0,
        15, "all to be well", cluster.nodes,
    )  # fmt: skip

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
    why_names_the_certificate(cluster, authority, tmp_path, client)


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


def why_names_the_certificate(
    cluster: Cluster, authority: Authority, base: Path, client: Client
) -> None:
    """`raftctl why` beside a certificate that ends while its node runs, and a strange one."""

    def told(*words: str) -> bool:
        found = explain(client.ask_each(status_at)).sentences
        return any(all(word in sentence for word in words) for sentence in found)

    leader = cluster.leader()
    ending, strange = (node for node in cluster.nodes if node is not leader)
    now = datetime.datetime.now(datetime.UTC)
    other = Authority.make(base / "other", now)
    other.node(base / "other", strange.id, ["127.0.0.1"], now, datetime.timedelta(days=1))
    short = base / "short"
    authority.node(short, ending.id, ["127.0.0.1"], now, datetime.timedelta(seconds=4))
    for node, source in ((ending, short), (strange, base / "other")):
        for end in ("key", "crt"):
            shutil.copy2(source / f"{node.id}.{end}", node.directory / f"node.{end}")
    shutil.copy2(base / "other" / "ca.crt", strange.directory / "ca.crt")
    ending.signal(1)  # SIGHUP
    strange.kill()
    strange.start()
    wait_until(
        lambda: told(f"{strange.id} does not answer at", "of the authority"),
        30, f"why to name the certificate of {strange.id}", cluster.nodes,
    )  # fmt: skip
    wait_until(
        lambda: told(f"{ending.id} reports: peer_cert: the certificate has expired"),
        30, f"why to name the certificate of {ending.id}", cluster.nodes,
    )  # fmt: skip
