"""A cluster whose every connection, from node to node and from clients to nodes, has a proxy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path

from harness.cluster import Cluster
from harness.hanging import VARIABLE
from harness.naming import Naming
from harness.nodes import ROOT, Node, config_text, make_nodes
from harness.proxy import Delay, Edge, Proxies

CLIENTS = "clients"
MEMBERS = "members"
"""All others, on their way to a node that joined later: they have one edge together."""
JOINERS_MAX = 60


class ProxiedCluster(Cluster):
    """One thread at a time.

    program: what `python -m` runs as the daemon; tests plant bugs with it. named: nodes know each
    other by names. hanging: the machine of every other one can hang.
    """

    def __init__(
        self,
        base: Path,
        size: int = 3,
        settings: Mapping[str, str] | None = None,
        *,
        seed: int = 1,
        program: str = "",
        named: bool = False,
        hanging: bool = False,
    ) -> None:
        ids = [f"n{number}" for number in range(1, size + 1)]
        later = [f"n{number}" for number in range(size + 1, size + JOINERS_MAX)]
        self.naming = Naming(base / "names", [*ids, *later]) if named else None
        self._base = base
        self._later = iter(later)
        self.proxies = Proxies(seed)
        self._edges: dict[tuple[str, str], Edge] = {}
        self._program = program
        self._hanging = hanging
        super().__init__(base, size, settings)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Each node sees the others through its own edges; clients are sent to theirs."""
        for target in self.nodes:
            for source in self.nodes:
                if source is not target:
                    self._add(source.id, target.id, target.ports.peer)
            self._add(CLIENTS, target.id, target.ports.client)
        for node, may_hang in zip(self.nodes, cycle((self._hanging, False))):
            self._equip(node)
            own = dict(settings)
            if may_hang:
                node.environment[VARIABLE] = str(node.directory / "hang")
                own["machine"] = "harness.hanging:HangingStore"
            node.directory.mkdir(parents=True, exist_ok=True)
            node.config_path.write_text(config_text(node, self.nodes, own, self._addresses))

    def _equip(self, node: Node) -> None:
        node.environment = {"PYTHONPATH": str(ROOT)}
        node.program = self._program or node.program
        node.wrapper = self.naming.wrapper() if self.naming else ()

    def join(self, settings: Mapping[str, str]) -> Node:
        """Start a node with a new id and an empty disk that joins. It reaches the others by the
        addresses that the cluster tells it, which are edges of others.
        """
        (node,) = make_nodes(self._base, [next(self._later)])
        for source, port in ((MEMBERS, node.ports.peer), (CLIENTS, node.ports.client)):
            self._add(source, node.id, port)
        self._equip(node)
        node.directory.mkdir(parents=True)
        seeds = ",".join(self.client_endpoints())
        common = {"log_format": "json", "cluster_token": "test"}
        own = {**common, **settings, "join": seeds}
        node.config_path.write_text(config_text(node, [node], own, self._joined))
        node.start()
        self.nodes.append(node)
        return node

    def _joined(self, node: Node, _: Node) -> tuple[str, str]:
        ports = (self.edge(source, node.id).port for source in (MEMBERS, CLIENTS))
        host = self.naming.host(node.id) if self.naming else "127.0.0.1"
        peer, client = ports
        return f"{host}:{peer}", f"127.0.0.1:{client}"

    def _add(self, source: str, target: str, port: int) -> None:
        self._edges[source, target] = self.proxies.add(source, target, port)

    def _addresses(self, node: Node, other: Node) -> tuple[str, str]:
        port = node.ports.peer if other is node else self.edge(node.id, other.id).port
        host = self.naming.host(other.id) if self.naming else "127.0.0.1"
        return f"{host}:{port}", f"127.0.0.1:{self.edge(CLIENTS, other.id).port}"

    # -- edges -----------------------------------------------------------------------------

    def edge(self, source: str, target: str) -> Edge:
        return self._edges[source, target]

    def peer_edges(self) -> list[Edge]:
        return [edge for edge in self._edges.values() if edge.source != CLIENTS]

    def client_edges(self) -> list[Edge]:
        return [edge for edge in self._edges.values() if edge.source == CLIENTS]

    def connected(self, pairs: Iterable[tuple[Node, Node]]) -> None:
        """Only these pairs reach each other, both ways; clients reach all."""
        kept = {(a.id, b.id) for a, b in pairs}
        heard = {name for pair in kept for name in pair}
        for edge in self.peer_edges():
            names = (edge.source, edge.target)
            joined = edge.source == MEMBERS and edge.target in heard
            if joined or names in kept or names[::-1] in kept:
                edge.open()
            else:
                edge.block()

    def heal(self, *, cut: bool = False) -> None:
        """All edges open and quick. cut: what was held back is lost."""
        for edge in self._edges.values():
            edge.slow(Delay())
            edge.open(cut=cut and edge.blocked)

    def client_endpoints(self) -> list[str]:
        return [f"127.0.0.1:{self.edge(CLIENTS, node.id).port}" for node in self.nodes]

    def close(self) -> None:
        super().close()
        self.proxies.close()
        if self.naming is not None:
            self.naming.close()
