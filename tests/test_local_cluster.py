"""Nodes to play with: what `make up` refuses, and the certificates of `make up TLS=1`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.certificates import certificates
from harness.nodes import whole_lines, write_configs
from harness.ports import room_for_nodes
from raftd.config import Config
from raftd.embed.security import security_of
from scripts.cluster import _credentials, main
from scripts.local_nodes import Local


def test_what_make_up_makes_is_accepted(tmp_path: Path) -> None:
    local = Local(tmp_path, 7001)
    assert _credentials(local) == {}
    nodes = [local.node_at(number) for number in (1, 2)]
    settings = certificates(local.tls, nodes)
    assert set(settings) == {
        "peer_cert", "peer_key", "peer_ca", "client_cert", "client_key", "client_ca",
    }  # fmt: skip
    for node in nodes:
        files = {
            name: value.replace("node.", f"{local.tls}/{node.id}.")
            for name, value in settings.items()
        }
        security = security_of(Config(id=node.id, **files))  # type: ignore[arg-type]
        assert set(security.days_left(0)) == {"peer", "client"}
    assert all(os.path.exists(path) for path in _credentials(local).values())


def test_nodes_that_have_nocertificates_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = Local(tmp_path, 7001)
    write_configs([local.node_at(number) for number in (1, 2, 3)], {})
    assert main(["--directory", str(tmp_path), "--first-port", "7001", "up", "--tls"]) == 1
    assert "have no certificates" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named_and_no_node_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The story without it: nodes of another directory answer, and `make up` says that ours do."""
    with socket.socket() as holder:
        first = room_for_nodes(3)
        port = Local(tmp_path, first).node_at(2).ports.client
        holder.bind(("127.0.0.1", port))
        holder.listen()
        assert main(["--directory", str(tmp_path), "--first-port", str(first), "up"]) == 1
        assert not list(tmp_path.iterdir())  # so that other ports can be chosen
    said = capsys.readouterr().err
    assert f"n2: port {port} is taken" in said
    assert "CLUSTER_FIRST_PORT=" in said


def test_nodes_keep_the_ports_that_they_were_made_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the environment says now: `make down` in another shell meant other nodes."""
    first = room_for_nodes(3)
    made = [Local(tmp_path, first).node_at(number) for number in (1, 2, 3)]
    write_configs(made, {})
    later = Local(tmp_path, 7001).existing()
    assert [node.ports for node in later] == [node.ports for node in made]
    made[1].config_path.write_text("id: n2\n")
    assert main(["--directory", str(tmp_path), "status"]) == 1
    assert "n2/node.yaml does not say its three listen_ addresses" in capsys.readouterr().err
    assert main(["--directory", str(tmp_path), "wipe"]) == 0  # as it advises
    assert not tmp_path.exists()


def test_without_nodes_the_next_step_is_to_make_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--directory", str(tmp_path), "kill", "leader"]) == 1
    assert "`make up` makes them" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    write_configs([Local(tmp_path, 7001).node_at(number) for number in (1, 2, 3)], {})
    command = [sys.executable, "-m", "scripts.cluster", "--directory", str(tmp_path), "status"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_line_that_is_being_written_is_no_line_of_a_log(tmp_path: Path) -> None:
    """The story without it: a test read a node's log in the middle of a line, once in months."""
    log = tmp_path / "log"
    for text, whole in (
        ("", []),
        ('{"ts":', []),
        ('{"ts": 1}\n{"ts"', ['{"ts": 1}']),
        ("a\n", ["a"]),
    ):
        log.write_text(text)
        assert whole_lines(log) == whole
