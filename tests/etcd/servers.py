"""A real etcd beside raftd, for recording and comparing. Where it is not installed, tests skip."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.nodes import Node, config_text, kill_all, make_nodes, wait_until
from harness.ports import free_ports

ETCD = shutil.which("etcd")
START_SECONDS = 30.0

needs_etcd = pytest.mark.skipif(ETCD is None, reason="etcd is not installed (Debian: etcd-server)")
needs_etcdctl = pytest.mark.skipif(
    shutil.which("etcdctl") is None, reason="etcdctl is not installed (Debian: etcd-client)"
)


@contextlib.contextmanager
def one_etcd(base: Path) -> Iterator[str]:
    """A fresh member of its own cluster. Yields host:port."""
    client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    with (base / "etcd.log").open("wb") as log:
        process = subprocess.Popen(
            [
                ETCD or "etcd",
                "--name=n1",
                f"--data-dir={base / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=n1={peer}",
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(f"{client}/health")
        yield client.removeprefix("http://")
    finally:
        process.kill()
        process.wait()


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if b"true" in answer.read():
                return
        time.sleep(0.05)
    raise TimeoutError(f"etcd does not answer at {url}")


@dataclass(frozen=True, slots=True)
class Raftd:
    """A cluster that serves."""

    nodes: list[Node]
    gateways: list[str]

    @property
    def addresses(self) -> list[str]:
        """The client ports, host:port."""
        return [node.client_address for node in self.nodes]

    def all_serve(self) -> None:
        """Start those that are dead and wait until all serve."""
        for node in self.nodes:
            if node.pid() is None:
                node.start()
        wait_until(
            lambda: all(node.ready() for node in self.nodes), START_SECONDS, "raftd", self.nodes
        )

    def leader(self) -> Node:
        """The node that leads, waited for."""
        found: list[Node] = []

        def look() -> bool:
            found[:] = [node for node in self.nodes if node.metric("raftd_is_leader") == 1]
            return bool(found)

        wait_until(look, START_SECONDS, "a leader", self.nodes)
        return found[0]


@contextlib.contextmanager
def raftd_cluster(base: Path, size: int = 1, transport: str = "h2") -> Iterator[Raftd]:
    """A fresh cluster that serves."""
    with raftd_clusters([base], size, transport) as (raftd,):
        yield raftd


@contextlib.contextmanager
def raftd_clusters(
    bases: Sequence[Path], size: int = 1, transport: str = "h2"
) -> Iterator[list[Raftd]]:
    """Fresh clusters, one below each base, that serve; they start side by side."""
    clusters = [_configured(base, size, transport) for base in bases]
    nodes = [node for cluster in clusters for node in cluster.nodes]
    try:
        for node in nodes:
            node.start()
        wait_until(lambda: all(node.ready() for node in nodes), START_SECONDS, "raftd", nodes)
        yield clusters
    finally:
        kill_all(nodes)


def _configured(base: Path, size: int, transport: str) -> Raftd:
    """Each member has a gateway that it advertises. One alone need not wait for others."""
    nodes = make_nodes(base, [f"n{number}" for number in range(1, size + 1)])
    gateways = [f"127.0.0.1:{port}" for port in free_ports(size)]
    timing = {"heartbeat_interval": "20ms", "election_timeout_min": "100ms"} if size == 1 else {}
    if timing:
        timing["election_timeout_max"] = "200ms"
    for node, gateway in zip(nodes, gateways, strict=True):
        own = {"transport": transport, "listen_gateway": gateway, "advertise_gateway": gateway}
        node.directory.mkdir(parents=True)
        node.config_path.write_text(config_text(node, nodes, {**timing, **own}))
    return Raftd(nodes, gateways)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """In memory where that can be had: a comparison is not about disks."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        yield Path(name)
