"""Clients of etcd from elsewhere, unchanged: at a follower, and through the death of the leader."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from harness.certificates import certificates, hand_out
from harness.nodes import ROOT, config_text, kill_all, make_nodes
from tests.etcd.clients import users
from tests.etcd.servers import Raftd

pytestmark = pytest.mark.cluster

NAMES = ("asynchronous", "blocking", "gateway")
SECONDS = 60


@pytest.mark.long
def test_clients_of_etcd_work_and_survive_the_leader(three: Raftd) -> None:
    three.all_serve()
    they_work_and_survive_the_leader(three)


@pytest.mark.long
def test_they_do_so_as_a_user_over_tls(tmp_path: Path) -> None:
    """aetcd cannot do TLS: both are taken at the same ports."""
    folder = tmp_path / "tls"
    nodes = make_nodes(tmp_path / "nodes", ["n1", "n2", "n3"])
    settings = {**certificates(folder, nodes), "client_tls_optional": "true"}
    for node in nodes:
        node.directory.mkdir(parents=True)
        node.config_path.write_text(config_text(node, nodes, settings))
    hand_out(folder, nodes)
    secured = Raftd(nodes, [])
    try:
        secured.all_serve()
        switch_auth_on(nodes[0].client_address)
        they_work_and_survive_the_leader(secured, str(folder))
    finally:
        kill_all(nodes)


def switch_auth_on(address: str) -> None:
    """For users.NAME, as users.py says."""

    def encoded(key: str) -> str:
        return base64.b64encode(key.encode()).decode()

    keys = {"key": encoded(users.FIRST), "range_end": encoded(users.BEHIND)}
    for path, fields in (
        ("user/add", {"name": "root", "password": users.PASSWORD}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("role/add", {"name": "most"}),
        ("role/grant", {"name": "most", "perm": {"permType": "READWRITE", **keys}}),
        ("user/add", {"name": users.NAME, "password": users.PASSWORD}),
        ("user/grant", {"user": users.NAME, "role": "most"}),
        ("enable", {}),
    ):
        body = json.dumps(fields).encode()
        with urllib.request.urlopen(f"http://{address}/v3/auth/{path}", body, SECONDS):
            pass


def they_work_and_survive_the_leader(three: Raftd, *more: str) -> None:
    """more: arguments of the clients."""
    leader = three.leader()
    at = next(place for place, node in enumerate(three.nodes) if node is not leader)
    clients: dict[str, subprocess.Popen[str]] = {}
    try:
        for name in NAMES:  # one after the other: they use the same keys
            clients[name] = client = started(name, three.addresses[at], *more)
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


def started(name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.etcd.clients.{name}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
