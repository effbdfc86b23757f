"""etcdctl takes a node in, moves it, and removes it; what it saves, `raftd restore` brings back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.nodes import Node, config_text, kill_all, make_nodes, wait_until
from raftd.cli import raftctl, raftd_main
from raftd.client import Client
from tests.etcd.servers import Raftd, needs_etcdctl, raftd_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.long, needs_etcdctl]

CALL_SECONDS = 30.0
REMOVED = 3


def etcdctl(node: Node, *words: str) -> str:
    """What it prints. Raises CalledProcessError."""
    done = subprocess.run(
        ["etcdctl", f"--endpoints={node.client_address}", *words],
        env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}, timeout=CALL_SECONDS,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def members(node: Node) -> dict[str, tuple[int, bool, list[str]]]:
    """By name: (number, whether it is a learner, peer URLs)."""
    found = json.loads(etcdctl(node, "member", "list", "-w", "json"))["members"]
    return {
        each["name"]: (each["ID"], each.get("isLearner", False), each["peerURLs"]) for each in found
    }


def joining(base: Path, seed: Node) -> Node:
    (node,) = make_nodes(base, ["n2"])
    node.directory.mkdir(parents=True)
    settings = {"cluster_token": "test", "join": seed.client_address, "log_format": "json"}
    node.config_path.write_text(config_text(node, [node], settings))
    node.start()
    return node


def test_a_member_comes_moves_and_goes(tmp_path: Path) -> None:
    with raftd_cluster(tmp_path / "old") as cluster:
        (first,) = cluster.nodes
        second = joining(tmp_path / "new", first)
        try:
            url = f"http://127.0.0.1:{second.ports.peer}"
            wait_until(lambda: "n2" in members(first), 30, "n2 to join", [first, second])
            printed = etcdctl(first, "member", "add", "n2", f"--peer-urls={url}")
            assert "added to cluster" in printed
            number, learner, urls = members(first)["n2"]
            assert (learner, urls) == (False, [url])
            with pytest.raises(subprocess.CalledProcessError) as refused:
                etcdctl(first, "member", "add", "n3", f"--peer-urls={url}")
            assert "Peer URLs already exists" in refused.value.stderr
            other = "http://localhost:%d" % second.ports.peer  # noqa: UP031
            etcdctl(first, "member", "update", f"{number:x}", f"--peer-urls={other}")
            assert members(first)["n2"][2] == [other]
            etcdctl(first, "put", "key", "value")  # both have to be there for it
            etcdctl(first, "member", "remove", f"{number:x}")
            wait_until(lambda: second.pid() is None, 20, "n2 to end", [first, second])
            assert second.process is not None
            assert second.process.returncode == REMOVED
            assert list(members(first)) == ["n1"]
        finally:
            kill_all([second])


def test_any_member_takes_a_change_of_the_members(tmp_path: Path) -> None:
    """At a follower: it and the leader move, the leader goes, and it goes itself."""
    with raftd_cluster(tmp_path, 3) as three:
        change_all(three)


def change_all(three: Raftd) -> None:
    leader = three.leader()
    follower, other = (node for node in three.nodes if node is not leader)
    numbers = {name: f"{number:x}" for name, (number, _, _) in members(follower).items()}
    for node in (leader, follower):
        url = f"http://localhost:{node.ports.peer}"
        etcdctl(follower, "member", "update", numbers[node.id], f"--peer-urls={url}")
        assert members(follower)[node.id][2] == [url]
    etcdctl(follower, "member", "remove", numbers[leader.id])
    assert sorted(members(follower)) == sorted((follower.id, other.id))
    wait_until(lambda: leader.pid() is None, 20, "the leader to end", three.nodes)
    etcdctl(follower, "put", "key", "value")
    at, stays = follower, other
    if three.leader() is at:
        at, stays = stays, at
    etcdctl(at, "member", "remove", numbers[at.id])
    wait_until(lambda: at.pid() is None, 20, "the follower to end", three.nodes)
    assert list(members(stays)) == [stays.id]
    assert etcdctl(stays, "get", "key", "--print-value-only") == "value\n"


def test_what_etcdctl_saves_is_restored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "saved.db"
    with raftd_cluster(tmp_path / "old") as cluster:
        (node,) = cluster.nodes
        with Client([node.client_address]) as client:
            client.put_many((f"key{number:03}", b"v" * 100) for number in range(500))
            last = client.put("last", "one").revision
        etcdctl(node, "snapshot", "save", str(file))
    assert raftctl.main(["backup", "verify", str(file)]) == 0
    assert "as `etcdctl snapshot save` keeps it" in capsys.readouterr().out
    (new,) = make_nodes(tmp_path / "new", ["a"])
    new.directory.mkdir(parents=True)
    new.config_path.write_text(config_text(new, [new], {"cluster_token": "new"}))
    try:
        assert raftd_main.main(["restore", str(file), "--config", str(new.config_path)]) == 0
        new.start()
        wait_until(new.ready, 30, "the new node to serve", [new])
        with Client([new.client_address]) as client:
            assert client.get("last").revision == last
            assert client.get("last", revision=last - 1).kv is None  # its history is there, too
            assert client.get("key499").kv is not None
            assert client.put("more", "x").revision == last + 1
    finally:
        kill_all([new])
