"""A cluster whose every connection, from node to node and from clients to nodes, has a proxy."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

from harness import level
from harness.hanging import VARIABLE
from harness.naming import Naming
from harness.nodes import (
    ROOT,
    Node,
    NodeTrouble,
    Ports,
    free_ports,
    kill_all,
    wait_until,
)
from harness.proxy import Edge, Proxies

CLIENTS = "clients"
SETTINGS = {
    "log_format": "json",
    "snapshot_entries": "300",
    "keep_entries": "60",
    "segment_bytes": "256KiB",
}
"""Small, so that a node that was away for some seconds needs a snapshot."""


class ChaosCluster:
    """Nodes n1..nN under `base`. One thread at a time.

    program: what `python -m` runs as the daemon; tests plant bugs with it. settings: of the nodes,
    besides SETTINGS. named: they know each other by names. hanging: the machine of every other one
    can hang.
    """

    def __init__(
        self,
        base: Path,
        size: int,
        seed: int,
        program: str = "raftd.cli.raftd_main",
        settings: Mapping[str, str] | None = None,
        *,
        named: bool = False,
        hanging: bool = False,
    ) -> None:
        ports = iter(free_ports(3 * size))
        ids = [f"n{number}" for number in range(1, size + 1)]
        self.naming = Naming(base / "names", ids) if named else None
        self.nodes = [
            Node(
                name,
                base / name,
                Ports(next(ports), next(ports), next(ports)),
                {"PYTHONPATH": str(ROOT), **(_able_to_hang(base / name) if may_hang else {})},
                program=program,
                wrapper=self.naming.wrapper() if self.naming else (),
            )
            for name, may_hang in zip(ids, cycle((hanging, False)))
        ]
        self.proxies = Proxies(seed)
        self._edges: dict[tuple[str, str], Edge] = {}
        for target in self.nodes:
            for source in self.nodes:
                if source is not target:
                    self._add(source.id, target.id, target.ports.peer)
            self._add(CLIENTS, target.id, target.ports.client)
        for node in self.nodes:
            self._write_config(node, {**SETTINGS, **(settings or {})})

    def _add(self, source: str, target: str, port: int) -> None:
        self._edges[source, target] = self.proxies.add(source, target, port)

    def _write_config(self, node: Node, settings: Mapping[str, str]) -> None:
        """Each node sees the others through its own edges; clients are sent to theirs."""
        lines = [
            f"id: {node.id}",
            "data_dir: data",
            "cluster_token: chaos",
            f"listen_peer: 127.0.0.1:{node.ports.peer}",
            f"listen_client: 127.0.0.1:{node.ports.client}",
            f"listen_admin: 127.0.0.1:{node.ports.admin}",
            "peers:",
        ]
        for other in self.nodes:
            own = other is node
            peer = node.ports.peer if own else self.edge(node.id, other.id).port
            client = self.edge(CLIENTS, other.id).port
            host = self.naming.host(other.id) if self.naming else "127.0.0.1"
            lines.append(f"  {other.id}: {{peer: {host}:{peer}, client: 127.0.0.1:{client}}}")
        if VARIABLE in node.environment:
            lines.append("machine: harness.hanging:HangingStore")
        lines += [f"{name}: {value}" for name, value in settings.items()]
        node.directory.mkdir(parents=True, exist_ok=True)
        node.config_path.write_text("\n".join(lines) + "\n")

    # -- edges --------------------------------------------------------------------------------

    def edge(self, source: str, target: str) -> Edge:
        return self._edges[source, target]

    def peer_edges(self) -> list[Edge]:
        return [edge for edge in self._edges.values() if edge.source != CLIENTS]

    def client_edges(self) -> list[Edge]:
        return [edge for edge in self._edges.values() if edge.source == CLIENTS]

    def connected(self, pairs: Iterable[tuple[Node, Node]]) -> None:
        """Only these pairs reach each other, both ways; clients reach all."""
        kept = {(a.id, b.id) for a, b in pairs}
        for edge in self.peer_edges():
            names = (edge.source, edge.target)
            if names in kept or names[::-1] in kept:
                edge.open()
            else:
                edge.block()

    def heal(self, *, cut: bool = False) -> None:
        """All edges open and quick. cut: what was held back is lost."""
        for edge in self._edges.values():
            edge.slow(type(edge.delay)())
            edge.open(cut=cut and edge.blocked)

    def client_endpoints(self) -> list[str]:
        return [f"127.0.0.1:{self.edge(CLIENTS, node.id).port}" for node in self.nodes]

    # -- nodes --------------------------------------------------------------------------------

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        self.wait_ready()

    def alive(self) -> list[Node]:
        return [node for node in self.nodes if node.pid() is not None]

    def leader(self) -> Node:
        """Who says that it leads, the highest term; some node, if nobody does in a second."""
        found: list[tuple[float, str, Node]] = []

        def look() -> bool:
            found[:] = [
                (node.metric("raftd_term") or 0, node.id, node)
                for node in self.alive()
                if node.metric("raftd_is_leader") == 1
            ]
            return bool(found)

        try:
            wait_until(look, 1.0, "a leader")
        except NodeTrouble:
            return self.nodes[0]
        return max(found)[2]

    def followers(self) -> list[Node]:
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def start_all(self) -> list[Node]:
        """Start whoever is not running. Returns them."""
        gone = [node for node in self.nodes if node.pid() is None]
        for node in gone:
            node.start()
        return gone

    def wait_ready(self, timeout: float = 60) -> None:
        wait_until(
            lambda: all(node.ready() for node in self.nodes), timeout, "nodes to serve", self.nodes
        )

    def wait_level(self, timeout: float = 60) -> int:
        """Until all have applied all that any of them holds; returns that index."""
        return level.wait_level(self.nodes, timeout)

    def digests(self) -> tuple[int, dict[str, bytes]]:
        """(index, each node's hash of its state there)."""
        return level.digests(self.nodes, 60)

    def keep(self) -> str:
        """End the nodes; their directories stay, in the place that this says."""
        return str(level.keep(self.nodes))

    def coverage(self) -> str:
        """What the nodes went through, by their logs: a calm run proves little."""
        counts: Counter[str] = Counter()
        for node in self.nodes:
            for line in node.log_path.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    kind = record.get("event")
                    counts["elections" if kind == "role" else kind or ""] += (
                        kind != "role" or record.get("role") == "leader"
                    )
        return (
            f"nodes: {counts['start']} starts, {counts['elections']} elections won, "
            f"{counts['truncated']} truncations, {counts['snapshot_taken']} snapshots taken, "
            f"{counts['snapshot_installed']} installed"
        )

    def close(self) -> None:
        kill_all(self.nodes)
        self.proxies.close()
        if self.naming is not None:
            self.naming.close()


def _able_to_hang(directory: Path) -> dict[str, str]:
    return {VARIABLE: str(directory / "hang")}


def names(nodes: Sequence[Node]) -> str:
    return ",".join(node.id for node in nodes)
