"""A cluster of real processes, as scripts, benches, tests and campaigns use it."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import grpc

from harness import level
from harness.nodes import (
    Node,
    NodeTrouble,
    endpoints,
    kill_all,
    make_nodes,
    wait_until,
    write_configs,
)
from harness.writers import CALL_SECONDS
from raftd.client import Client

TINY_SNAPSHOTS = {"snapshot_entries": "200", "keep_entries": "50", "segment_bytes": "256KiB"}
"""A node that was away for a second needs a snapshot."""


class Cluster:
    """Nodes n1..nN under `base`. One thread at a time; the nodes are killed by `close`."""

    def __init__(
        self, base: Path, size: int = 3, settings: Mapping[str, str] | None = None
    ) -> None:
        self.nodes = make_nodes(base, [f"n{number}" for number in range(1, size + 1)])
        self._clients: list[Client] = []
        self.configure({"log_format": "json", "cluster_token": "test", **(settings or {})})

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write every node's configuration file. Before any of them starts."""
        write_configs(self.nodes, settings)

    # -- life ------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start all and wait until all serve. Raises NodeTrouble."""
        self.start_all()
        self.wait_ready()
        return self

    def start_all(self) -> None:
        """Start whoever is not running; does not wait."""
        for node in self.nodes:
            if node.pid() is None:
                node.start()

    def wait_ready(self, nodes: Iterable[Node] = (), timeout: float = 60) -> float:
        """Seconds until `nodes`, or all, serve. Raises NodeTrouble, at once if one has ended."""
        wanted = list(nodes) or self.nodes
        return wait_until(lambda: all(map(_ready, wanted)), timeout, "nodes to serve", self.nodes)

    def client(self, nodes: Sequence[Node] | None = None, **options: Any) -> Client:
        """A client that is closed with the cluster."""
        made = Client(endpoints(nodes or self.nodes), **{"timeout": CALL_SECONDS, **options})
        self._clients.append(made)
        return made

    def close(self) -> None:
        kill_all(self.nodes)
        for client in self._clients:
            client.close()

    # -- looks -----------------------------------------------------------------------------

    def alive(self) -> list[Node]:
        return [node for node in self.nodes if node.pid() is not None]

    def leaders(self) -> list[Node]:
        """Who says that it leads, the highest term last."""
        found = [
            (node.metric("raftd_term") or 0, node)
            for node in self.alive()
            if node.metric("raftd_is_leader") == 1
        ]
        return [node for _, node in sorted(found, key=lambda pair: pair[0])]

    def leader(self, timeout: float = 60) -> Node:
        """The node that leads in the highest term, waited for. Raises NodeTrouble."""
        found: list[Node] = []

        def look() -> bool:
            found[:] = self.leaders()[-1:]
            return bool(found)

        wait_until(look, timeout, "a leader", self.nodes)
        return found[0]

    def likely_leader(self) -> Node:
        """Some node, if nobody says within a second that it leads."""
        try:
            return self.leader(1.0)
        except NodeTrouble:
            return self.nodes[0]

    def followers(self) -> list[Node]:
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def term(self) -> int:
        return int(max(node.metric("raftd_term") or 0 for node in self.alive()))

    def wait_level(self, timeout: float = 60) -> int:
        """Until all nodes have applied all that any of them holds. Returns that index."""
        return level.wait_level(self.nodes, timeout)

    def digests(self) -> dict[str, bytes]:
        """Each node's own hash of its applied state, all at one index. Raises level.Diverged."""
        index, values = level.digests(self.nodes, 60)
        level.check(index, values, self.nodes)
        return values

    def events(self, kind: str) -> int:
        """How many such events all nodes together have logged, over all their lives."""
        return sum(event_count(node, kind) for node in self.nodes)


def _ready(node: Node) -> bool:
    if node.pid() is None:
        raise NodeTrouble(f"{node.id} is not running; its log ends with\n{node.log_tail()}")
    return node.ready()


@contextlib.contextmanager
def channel(node: Node) -> Iterator[grpc.Channel]:
    """A plain gRPC channel to one node: no retries, no hints, just that node's answer."""
    made = grpc.insecure_channel(node.client_address, options=[("grpc.enable_retries", 0)])
    try:
        yield made
    finally:
        made.close()


def event_counts(node: Node) -> Counter[str]:
    """How many events of each kind stand in its log; "elected" is the role of a leader."""
    counts: Counter[str] = Counter()
    for line in node.log_path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            counts[record.get("event")] += 1
            counts["elected"] += record.get("event") == "role" and record.get("role") == "leader"
    return counts


def event_count(node: Node, kind: str) -> int:
    return event_counts(node)[kind]
