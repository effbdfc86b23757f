"""What a node loads until it serves: every module more is a start that takes longer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.ports import free_ports

NOT_NEEDED = {
    "cryptography": "it makes certificates, and a node only reads some",
    "csv": "importlib.metadata has it",
    "email": "HTTP clients, servers and importlib.metadata have it",
    "google.protobuf.json_format": "the gateway's, when somebody asks by HTTP",
    "grpc_reflection.v1alpha.reflection": "when somebody asks for reflection",
    "h11": "the gateway's, when somebody asks by HTTP",
    "html": "web servers have it",
    "http": "nobody has asked for anything by HTTP",
    "msgspec": "replicated objects' alone",
    "prometheus_client": "when somebody asks for /metrics",
    "raftd.backup": "a command of its own",
    "raftd.check": "a command of its own",
    "raftd.client": "for a node that joins a cluster",
    "raftd.objects": "an application's",
    "tempfile": "nothing of a node is temporary",
    "urllib.request": "a node asks nothing by HTTP",
    "zipfile": "importlib.metadata has it",
}

FOREIGN_MAX = 110
OURS_MAX = 320
"""Modules of others, without the standard library's, and of ours. They may only fall."""

SERVE = """
import json, sys
from raftd.cli import raftd_main
import raftd.daemon.process as process

def tell(self):
    json.dump(sorted(sys.modules), sys.stdout)

process._Process._wait_for_stop = tell
sys.exit(raftd_main.main(["serve", "--config", "node.yaml"]))
"""


AFTER = SERVE.replace(
    "process._Process._wait_for_stop = tell",
    """
import os
load_all = process.load_all

def all_loaded():
    load_all()
    tell(None)
    sys.stdout.flush()
    os._exit(0)

process.load_all = all_loaded
process.LOAD_SECONDS = 0.0
""",
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Of a node of three with everything on that is by default, as it begins to serve."""
    return modules(SERVE, tmp_path_factory.mktemp("start"))


def modules(program: str, directory: Path) -> set[str]:
    """What is in a node's process when it says so."""
    ports = free_ports(7)
    peers = "".join(
        f"  {name}: {{peer: 127.0.0.1:{ports[2 * i]}, client: 127.0.0.1:{ports[2 * i + 1]}}}\n"
        for i, name in enumerate("abc")
    )
    (directory / "node.yaml").write_text(
        f"id: a\ndata_dir: data\nlisten_admin: 127.0.0.1:{ports[6]}\npage: true\npeers:\n{peers}"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def test_a_start_loads_nothing_that_it_does_not_need(loaded: set[str]) -> None:
    found = {
        name: f"{what}: {why}"
        for what, why in NOT_NEEDED.items()
        for name in loaded
        if name == what or name.startswith(f"{what}.")
    }
    assert not found


def test_a_start_loads_no_more_modules_than_it_did(loaded: set[str]) -> None:
    """Of three hundred, ten more are a hundredth of a second of processor time."""
    ours = {name for name in loaded if name.partition(".")[0] == "raftd"}
    others = {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names}
    assert len(ours) <= OURS_MAX, sorted(ours)
    assert len(others - ours) <= FOREIGN_MAX, sorted(others - ours)


def test_soon_after_its_start_a_node_needs_no_file_of_its_modules_any_more(tmp_path: Path) -> None:
    """The story without it: pip installs another version under it, and a caller by HTTP gets an
    ImportError days later.
    """
    late = {
        "google.protobuf.json_format",
        "grpc_reflection.v1alpha.reflection",
        "h11",
        "prometheus_client",
        "raftd.admin.collector",
        "raftd.rpc.etcd.gateway.gateway",
        "raftd.wire.etcd_snapshot",
    }
    assert late <= modules(AFTER, tmp_path)
