"""One cluster for the whole package. What it must still be at the end is asserted when it closes,
and after every test, so that the culprit has a name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from harness.cluster import Cluster, channel
from harness.nodes import Node, wait_until, whole_lines
from harness.writers import read_all
from raftd._pb import admin_pb2, admin_pb2_grpc
from raftd.client import Client
from raftd.core.types import Identity
from raftd.storage.fs import OsFileSystem
from raftd.storage.identity import load_identity

LOG_BYTES_MAX = 512 << 10
"""Of one node's log in the whole run: bad input must not be able to fill a disk with complaints."""


@dataclass
class Live:
    """The cluster, its leader and term as they were when all began."""

    cluster: Cluster
    client: Client
    leader: Node
    term: int
    written: dict[bytes, bytes]

    @property
    def nodes(self) -> list[Node]:
        return self.cluster.nodes

    def followers(self) -> list[Node]:
        return [node for node in self.nodes if node is not self.leader]

    def put(self, key: bytes, value: bytes) -> None:
        self.client.put(key, value)
        self.written[key] = value

    def works(self) -> None:
        """A write and a read, now."""
        key = b"works/%d" % len(self.written)
        self.put(key, b"yes")
        found = self.client.get(key).kv
        assert found is not None
        assert found.value == b"yes"

    def incarnation(self, node: Node) -> str:
        return identity_of(node).incarnation

    def cluster_id(self) -> str:
        return identity_of(self.leader).cluster

    def status(self, node: Node) -> admin_pb2.StatusReply:
        with channel(node) as to:
            return admin_pb2_grpc.AdminStub(to).Status(admin_pb2.StatusRequest(), timeout=5)

    def check(self) -> None:
        """Same leader, same term, and everybody is there."""
        assert all(node.pid() is not None for node in self.nodes)
        assert self.terms() == [self.term] * len(self.nodes)
        assert self.cluster.leaders() == [self.leader]

    def begin_anew(self) -> None:
        """What there is now is what must stay."""
        self.cluster.wait_ready(self.nodes)
        self.leader, self.term = self.cluster.leader(), self.cluster.term()
        wait_until(self.is_as_it_was, 10, f"all to follow {self.leader.id}", self.nodes)

    def terms(self) -> list[float | None]:
        return [node.metric("raftd_term") for node in self.nodes]

    def is_as_it_was(self) -> bool:
        same_term = self.terms() == [self.term] * len(self.nodes)
        return same_term and self.cluster.leaders() == [self.leader]


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    cluster = Cluster(tmp_path_factory.mktemp("live"), 3, {})
    try:
        cluster.start()
        with channel(cluster.leader()) as to:  # so that there is an older term to speak of
            moved = admin_pb2_grpc.AdminStub(to).Transfer(admin_pb2.TransferRequest(), timeout=10)
        leader = next(node for node in cluster.nodes if node.id == moved.leader_id)
        made = Live(cluster, cluster.client(), leader, moved.term, {})
        wait_until(made.is_as_it_was, 10, f"{leader.id} to lead term {moved.term}", cluster.nodes)
        made.works()
        yield made
        _end(made)
    finally:
        cluster.close()


def _end(live: Live) -> None:
    live.works()
    live.check()
    live.cluster.wait_level()
    for node in live.nodes:
        found = read_all(live.cluster.client([node]), b"")
        for key, value in live.written.items():
            assert found[key][0] == value, key
    assert len(set(live.cluster.digests().values())) == 1
    for node in live.nodes:
        text = node.log_path.read_text()
        assert "Traceback" not in text, text[text.index("Traceback") - 2000 :][:4000]
        assert len(text) < LOG_BYTES_MAX, f"{node.id} logged {len(text)} bytes"
        assert not [line for line in lines(node.log_path) if line["level"] in ("error", "critical")]


@pytest.fixture(autouse=True)
def unharmed(live: Live) -> Iterator[Live]:
    """After each test: same term, same leader, and a write and a read succeed."""
    yield live
    live.works()
    try:
        live.check()
    except AssertionError:
        live.begin_anew()  # or every test after this one would fail, too
        raise


def identity_of(node: Node) -> Identity:
    """From its own disk: no port tells an incarnation."""
    found = load_identity(OsFileSystem(), str(node.data_path))
    assert found is not None
    return found.identity


def lines(path: Path) -> list[dict[str, Any]]:
    """A node's log; every line is one JSON object."""
    return [json.loads(line) for line in whole_lines(path)]


def said(node: Node, words: str, timeout: float = 10) -> str:
    """Wait until the node's log has a line with `words`; returns its message."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for line in lines(node.log_path):
            if words in line["msg"]:
                return str(line["msg"])
        time.sleep(0.02)
    raise AssertionError(f"{node.id} never said {words!r}:\n{node.log_tail()}")


def failure(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Status and details of a failed call; the details are one line."""
    subject: Any = error
    code, details = subject.code(), subject.details() or ""
    assert "\n" not in details, details
    return code, details
