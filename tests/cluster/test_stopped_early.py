"""SIGTERM and SIGINT while a node starts: heeded at once, whatever the start waits for."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest

from harness.nodes import Node, wait_until
from tests.cluster.conftest import MakeCluster
from tests.signals import born_with

pytestmark = pytest.mark.cluster

WITHIN_SECONDS = 10.0
"""It takes half of one; what it waited for took thirty, or for ever."""

HANGS = """
import pathlib, time
pathlib.Path(__file__).with_suffix(".begun").touch()
time.sleep(600)
"""


def stopped(node: Node, number: signal.Signals) -> list[str]:
    """What it logged. It must end in time, as after an orderly stop."""
    node.signal(number)
    node.wait_gone(WITHIN_SECONDS)
    assert node.process is not None
    assert node.process.returncode == 0
    return [json.loads(line)["msg"] for line in node.log_path.read_text().splitlines()]


def test_a_node_that_asks_which_cluster_to_join_heeds_a_stop(make_cluster: MakeCluster) -> None:
    """Nobody answers there: it asked on for 30 s, and a container was killed meanwhile."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        silent.settimeout(60)
        join = f"127.0.0.1:{silent.getsockname()[1]}"
        [node] = make_cluster(1, {"join": join}).nodes
        node.start()
        with silent.accept()[0]:
            said = stopped(node, signal.SIGTERM)
    assert "SIGTERM: stopping" in said
    assert said[-1] == "stopped before it served"


def test_a_machine_whose_module_hangs_holds_up_no_stop(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    settings = {"machine": "hangs:Hangs", "machine_path": str(tmp_path)}
    [node] = make_cluster(1, settings).nodes
    with born_with(signal.SIGINT, signal.SIG_DFL):
        node.start()
    wait_until((tmp_path / "hangs.begun").exists, 60, "the import to begin", [node])
    assert stopped(node, signal.SIGINT)[-1] == "stopped before it served"
