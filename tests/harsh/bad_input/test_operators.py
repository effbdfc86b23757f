"""Nodes started wrongly, beside the live cluster: one line each, and the cluster goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.nodes import Node, config_text, kill_all, make_nodes, wait_until
from tests.harsh.bad_input.conftest import Live, lines, said
from tests.tls.made import DAY, authority, node_files

pytestmark = pytest.mark.cluster

Beside = Callable[..., Node]

LATER = 75
"""What another start may find mended: whoever supervises the node starts it again."""


def config(live: Live, node: Node, peers: str | None = None, **changed: str) -> str:
    """A configuration like the live nodes', but for what is said; ports are of its own."""
    settings = {"cluster_token": "test", "log_format": "json", **changed}
    if peers is None:
        return config_text(node, live.nodes, settings)
    return config_text(node, [], settings) + peers


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    """beside(id): a node on free ports, not configured and not started; killed at the end."""
    made: list[Node] = []

    def make(name: str) -> Node:
        node = make_nodes(tmp_path / f"beside{len(made)}", [name])[0]
        node.directory.mkdir(parents=True)
        made.append(node)
        return node

    yield make
    kill_all(made)


def refusal(node: Node, text: str, code: int = 2) -> str:
    """Start it with this configuration; it must end by itself. Returns its last line."""
    node.config_path.write_text(text)
    node.start()
    node.wait_gone(20)
    assert node.process is not None
    log = node.log_path.read_text()
    assert node.process.returncode == code, log
    assert "Traceback" not in log, log
    last = log.strip().splitlines()[-1]
    return str(lines(node.log_path)[-1]["msg"]) if last.startswith("{") else last


def addresses(node: Node) -> str:
    return f"{{peer: 127.0.0.1:{node.ports.peer}, client: {node.client_address}}}"


def test_peer_list_without_oneself(live: Live, beside: Beside) -> None:
    line = refusal(beside("n9"), config(live, beside("n9")))
    assert "'n9' is not among peers (n1, n2, n3)" in line


def test_peer_list_that_names_a_node_twice(live: Live, beside: Beside) -> None:
    node = beside("n1")
    peers = f"  n1: {addresses(live.nodes[0])}\n  n2: {addresses(live.nodes[1])}\n"
    line = refusal(node, config(live, node, peers + f"  n1: {addresses(live.nodes[2])}\n"))
    assert "peers.n1: is set twice, first in line" in line


def test_peer_list_that_names_an_address_twice(live: Live, beside: Beside) -> None:
    node = beside("n1")
    peers = "".join(f"  {peer.id}: {addresses(live.nodes[0])}\n" for peer in live.nodes)
    line = refusal(node, config(live, node, peers))
    assert "is also n1.client; expected every address once" in line


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("heartbeat_intervall", "75ms", "is no setting; did you mean heartbeat_interval?"),
        ("heartbeat_interval", "75", "expected a duration with its unit"),
        ("snapshot_entries", "-1", "expected a whole number, 0 or more"),
        ("listen_admin", "127.0.0.1:99999", "expected a port from 1 to 65535"),
        ("election_timeout_min", "80ms", "at least 5 x heartbeat_interval"),
        ("machine", "no such thing", "machine"),
    ],
)
def test_typos(live: Live, beside: Beside, key: str, value: str, words: str) -> None:
    node = beside("n1")
    line = refusal(node, config(live, node, **{key: value}))
    assert key in line
    assert words in line


def test_typo_in_an_address(live: Live, beside: Beside) -> None:
    node = beside("n1")
    line = refusal(node, config(live, node, "  n1: {peer: 127.0.0.1, cleint: 127.0.0.1:1}\n"))
    assert "peers.n1" in line
    log = node.log_path.read_text()
    assert "cleint: is no setting; did you mean client?" in log
    assert "expected host:port" in log


@pytest.mark.parametrize("which", ["peer", "client", "admin"])
def test_port_of_a_running_node(live: Live, beside: Beside, which: str) -> None:
    node = beside("n1")
    taken = f"127.0.0.1:{getattr(live.nodes[0].ports, which)}"
    line = refusal(node, config(live, node, **{f"listen_{which}": taken}), LATER)
    assert f"cannot start: listen_{which}: cannot listen on {taken}: Address already in use" in line
    assert ("; each node on this machine needs a listen_admin" in line) == (which == "admin")
    assert "while attempting" not in line, "asyncio's words, and the address once more"


def test_a_name_that_is_not_known_yet(live: Live, beside: Beside) -> None:
    """As of a machine that comes up before its name server: it was not started again."""
    node = beside("n1")
    line = refusal(node, config(live, node, listen_peer="nowhere.invalid:7001"), LATER)
    assert line.startswith("cannot start: listen_peer: cannot listen on nowhere.invalid:7001: ")


def test_files_that_are_not_right_yet(live: Live, beside: Beside) -> None:
    """A certificate that ended is renewed, a secret is mounted: then a node shall be started."""
    node = beside("n1")
    authority(node.directory)
    files = node_files(node.directory, "n1", life=-DAY)
    given = {"peer_cert": files.cert, "peer_key": files.key, "peer_ca": files.ca}
    line = refusal(node, config(live, node, **given), LATER)
    assert line.endswith("n1.crt: the certificate has expired; renew it")
    line = refusal(node, config(live, node, cluster_secret_file="not-there"), LATER)
    assert "cluster_secret_file: " in line
    assert line.endswith("not-there: No such file or directory")


def test_directory_held_by_a_running_node(live: Live, beside: Beside) -> None:
    node, victim = beside("n1"), live.nodes[0]
    line = refusal(node, config(live, node, data_dir=str(victim.data_path)), LATER)
    assert "is locked by another process" in line
    assert str(victim.data_path) in line


def copied(live: Live, node: Node) -> None:
    """What an operator should never do: a copy of the first live node's directory."""
    source = live.nodes[0].data_path
    node.data_path.mkdir()
    for path in source.iterdir():
        if path.is_file() and "lock" not in path.name:
            shutil.copyfile(path, node.data_path / path.name)


def test_directory_of_another_node(live: Live, beside: Beside) -> None:
    node = beside("n2")
    copied(live, node)
    line = refusal(node, config(live, node))
    assert "belongs to node 'n1', but this is node 'n2'" in line


def test_directory_of_another_cluster(live: Live, beside: Beside) -> None:
    node = beside("n1")
    copied(live, node)
    line = refusal(node, config(live, node, cluster_token="other"))
    assert f"belongs to cluster '{live.cluster_id()}'" in line


def test_directory_that_is_a_file(live: Live, beside: Beside) -> None:
    node = beside("n1")
    node.data_path.write_text("not a directory")
    line = refusal(node, config(live, node))
    assert line.startswith("cannot start: data_dir: ")
    assert "Not a directory" in line or "File exists" in line


def mounted(node: Node, options: str) -> tuple[int, str]:
    """Run the node with its data directory on a file system of its own; (exit code, last line)."""
    node.data_path.mkdir()
    script = f'mount -t tmpfs -o {options} raftd data && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-m"]
    command += ["raftd.cli.raftd_main", "serve", "--config", "node.yaml"]
    try:
        subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting needs privileges that this user does not have")
    with node.log_path.open("wb") as log:
        run = subprocess.run(
            command, cwd=node.directory, stdout=log, stderr=log, timeout=20, check=False
        )
    log_text = node.log_path.read_text()
    assert "Traceback" not in log_text, log_text
    return run.returncode, str(lines(node.log_path)[-1]["msg"])


def test_directory_that_is_read_only(live: Live, beside: Beside) -> None:
    node = beside("n1")
    node.config_path.write_text(config(live, node))
    code, line = mounted(node, "ro")
    assert code == LATER
    assert line.startswith("cannot start: data_dir: ")
    assert "Read-only file system" in line


def test_directory_on_a_full_disk(live: Live, beside: Beside) -> None:
    node = beside("n1")
    node.config_path.write_text(config(live, node))
    code, line = mounted(node, "size=64k")
    assert code == LATER
    assert "no room for" in line
    assert "make room on that disk" in line


def test_machine_that_cannot_be_loaded(live: Live, beside: Beside) -> None:
    node = beside("n1")
    line = refusal(node, config(live, node, machine="nowhere:Counter"))
    assert "no module nowhere" in line


def test_nodes_with_differing_peer_lists(live: Live, beside: Beside) -> None:
    """A fourth node counts itself in; the three do not. Both sides say so, and it never serves."""
    node = beside("n4")
    peers = "".join(f"  {peer.id}: {addresses(peer)}\n" for peer in [*live.nodes, node])
    node.config_path.write_text(config(live, node, peers))
    node.start()
    words = "token and voters must be the same in every node's configuration"
    assert live.cluster_id() not in said(node, words), "a stranger was told"
    line = said(live.nodes[0], "n4 is of cluster")
    assert words in line
    assert live.cluster_id() in line
    assert not node.ready()
    state = node.http("/readyz")[1]
    assert "not admitted" in state, state
    assert node.stop() == 0


def test_wiped_disk_under_an_old_id(live: Live) -> None:
    """It is refused with the next step, changes nothing, and the old disk works again."""
    node = live.followers()[0]
    node.stop()
    kept = node.directory / "kept"
    node.data_path.rename(kept)
    try:
        node.start()
        line = said(node, "was lost or replaced")
        assert f"node '{node.id}' is recorded" in line
        assert "Bring the old directory back" in line
        live.works()
        assert not node.ready()
        assert "not admitted" in node.http("/readyz")[1]
    finally:
        node.kill()
        shutil.rmtree(node.data_path)
        kept.rename(node.data_path)
        node.start()
    live.cluster.wait_ready([node])
    wait_until(lambda: node.metric("raftd_term") == live.term, 10, "its term", live.nodes)
