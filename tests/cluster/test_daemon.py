"""One daemon as its operator meets it: mistakes in one line, signals, exit codes, damage."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import Cluster
from harness.nodes import Node, wait_until, whole_lines, write_configs
from raftd.client import RaftdError
from tests.cluster.conftest import MakeCluster
from tests.signals import born_with

pytestmark = pytest.mark.cluster


def exit_of(node: Node, timeout: float = 20) -> int:
    """Start a node that is expected to end by itself."""
    node.start()
    node.wait_gone(timeout)
    assert node.process is not None
    return int(node.process.returncode)


def last_line(node: Node) -> dict[str, Any]:
    text = node.log_path.read_text()
    assert "Traceback" not in text, text
    line: dict[str, Any] = json.loads(text.splitlines()[-1])
    return line


@pytest.fixture
def single(make_cluster: MakeCluster) -> Cluster:
    return make_cluster(1)


def test_editing_peers_changes_addresses_and_nothing_else(single: Cluster) -> None:
    """The cluster's id and its voters were settled when the data directory was made."""
    single.start().client().put(b"k", b"v")
    node = single.nodes[0]
    node.stop()
    text = node.config_path.read_text()
    stranger = "  n9: {peer: 127.0.0.1:1, client: 127.0.0.1:2}\n"
    node.config_path.write_text(text.replace("peers:\n", "peers:\n" + stranger))
    node.start()
    single.wait_ready(single.nodes)
    found = single.client().get(b"k").kv
    assert found is not None
    assert found.value == b"v"


def test_machine_that_breaks_stops_the_node(make_cluster: MakeCluster, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "class Broken:\n"
        "    def apply(self, command):\n        return b'%d' % (1 // len(command))\n"
        "    def query(self, request):\n        return b''\n"
        "    def capture(self):\n        return []\n"
        "    def restore(self, reader):\n        pass\n"
    )
    cluster = make_cluster(1, {"machine": "broken:Broken", "machine_path": str(tmp_path)}).start()
    node = cluster.nodes[0]
    client = cluster.client(timeout=5)
    assert client.submit(b"x") == b"1"
    with pytest.raises(RaftdError):
        client.submit(b"", timeout=1)
    node.wait_gone(20)
    assert node.process is not None
    assert node.process.returncode == 70
    text = node.log_path.read_text()
    assert "ZeroDivisionError" in text
    assert "entry" in text


def test_damaged_log_is_refused_and_named(single: Cluster) -> None:
    single.start()
    node = single.nodes[0]
    client = single.client()
    for number in range(50):
        client.put(b"key%d" % number, b"value" * 20)
    assert node.stop() == 0
    segment = sorted(node.data_path.glob("*.wal"))[0]
    data = bytearray(segment.read_bytes())
    data[data.index(b"key10value")] ^= 0xFF if b"key10value" in data else 0
    segment.write_bytes(data)
    assert exit_of(node) == 70
    line = last_line(node)["msg"]
    assert "log is damaged" in line
    assert segment.name in line


def test_orderly_stop_and_second_signal(single: Cluster) -> None:
    single.start()
    node = single.nodes[0]
    assert node.stop() == 0
    assert last_line(node)["msg"] == "stopped"
    with born_with(signal.SIGINT, signal.SIG_DFL):
        node.start()
    single.wait_ready([node])
    node.pause()
    node.signal(signal.SIGTERM)
    node.signal(signal.SIGINT)
    node.resume()
    node.wait_gone(10)
    assert node.process is not None
    assert node.process.returncode == 130


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that listens to the world, for tests that only look at it."""
    cluster = Cluster(tmp_path_factory.mktemp("running"), 1, {})
    node = cluster.nodes[0]
    write_configs([node], {"log_format": "json", "listen_client": f"0.0.0.0:{node.ports.client}"})
    try:
        cluster.start()
        yield node
        assert node.stop() == 0
    finally:
        cluster.close()


def test_hangup_reads_the_configuration_again(running: Node) -> None:
    node = running
    text = node.config_path.read_text()
    for change, line in (
        ("log_level: debug\n", "log_level is debug now"),
        ("no such setting: 1\n", "nothing is changed"),
        ("segment_bytes: 32MiB\n", "segment_bytes has changed, which takes effect at the next"),
    ):
        node.config_path.write_text(text + change)
        node.signal(signal.SIGHUP)
        wait_until(partial(_has_logged, node, line), 10, line, [node])
    node.config_path.write_text(text)


def _has_logged(node: Node, text: str) -> bool:
    return text in node.log_path.read_text()


def test_a_signal_ignored_at_birth_stays_ignored(single: Cluster) -> None:
    """nohup ignores SIGHUP: a node that catches it again ends with the terminal it was typed in."""
    node = single.nodes[0]
    with born_with(signal.SIGHUP, signal.SIG_IGN), born_with(signal.SIGINT, signal.SIG_IGN):
        node.start()
    single.wait_ready([node])
    for number in (signal.SIGHUP, signal.SIGINT):
        node.signal(number)
        status = Path(f"/proc/{node.pid()}/status")
        if status.exists():
            ignored = re.search(r"SigIgn:\s*([0-9a-f]+)", status.read_text())
            assert ignored is not None
            assert int(ignored[1], 16) >> (number - 1) & 1
        assert node.ready()
        assert number.name not in node.log_path.read_text()
    assert node.stop() == 0


def test_threads_are_dumped_on_request(running: Node) -> None:
    node = running
    node.signal(signal.SIGUSR1)
    wait_until(
        lambda: re.search(r"hread 0x[0-9a-f]+", node.log_path.read_text()) is not None,
        10,
        "the stacks in the log",
        [node],
    )
    assert node.ready()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks files up in /proc")
def test_closed_streams_are_not_taken_by_other_files(single: Cluster) -> None:
    """Or log lines would go into whatever file got number 2: a socket, or the data."""
    node = single.nodes[0]
    code = "import os, sys; os.closerange(0, 3); os.execv(sys.executable, sys.argv[1:])"
    node.process = subprocess.Popen(
        [sys.executable, "-c", code, *node.command()], cwd=node.directory, start_new_session=True
    )
    wait_until(node.ready, 20, "it to serve", [node])
    for number in range(3):
        assert os.readlink(f"/proc/{node.process.pid}/fd/{number}") == os.devnull
    assert node.stop() == 0


def test_stderr_that_nobody_reads_holds_nobody_up(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(1, {"log_level": "debug", "log_queue_lines": "10"})
    node = cluster.nodes[0]
    reader, writer = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        node.process = subprocess.Popen(
            node.command(), cwd=node.directory, stderr=writer, start_new_session=True
        )
        wait_until(node.ready, 20, "it to serve")
        # Every look at the admin port is a debug line, and the pipe holds a page of them.
        wait_until(lambda: (node.metric("raftd_log_lines_dropped") or 0) > 100, 30, "lost lines")
        assert cluster.client().put(b"key", b"value").version == 1
        assert node.stop() == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_start_tells_versions_settings_and_what_is_unsafe(running: Node) -> None:
    text = whole_lines(running.log_path)
    lines = [json.loads(line) for line in text if line.startswith("{")]
    start = next(line for line in lines if line.get("event") == "start")
    assert start["versions"]["grpcio"]
    assert start["config"]["heartbeat_interval"] == "100ms"
    assert all({"ts", "level", "msg", "node", "term", "role"} <= set(line) for line in lines)
    assert any(line.get("event") == "role" and "leader" in line["role"] for line in lines)
    assert any("there is no TLS" in line for line in text)
