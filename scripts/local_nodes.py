"""Which local nodes there are, under one directory, and at which ports.

`scripts/cluster.py` starts and stops them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.nodes import ROOT, Node, NodeTrouble, Ports
from harness.ports import PER_NODE

BASE = ROOT / ".run" / "nodes"
FIRST_PORT = 7001
PORT_VARIABLE = "CLUSTER_FIRST_PORT"
NUMBERS = range(1, 10)
WIPE = ".venv/bin/python -m scripts.cluster wipe"


def default_port() -> int:
    """Raises NodeTrouble."""
    text = os.environ.get(PORT_VARIABLE, str(FIRST_PORT))
    if not text.isdigit():
        raise NodeTrouble(f"{PORT_VARIABLE} is {text!r}; expected a port number")
    return int(text)


@dataclass(frozen=True)
class Local:
    """The nodes under one directory.

    A node keeps the ports that its file says; a new node N gets the three from
    first_port + 100 * (N - 1).
    """

    base: Path
    first_port: int

    def node_at(self, number: int) -> Node:
        """Raises NodeTrouble on a file that says no ports."""
        node = self._made_at(number)
        if node.config_path.exists():
            node.ports = _ports_in(node.config_path)
        return node

    def existing(self) -> list[Node]:
        """Raises NodeTrouble on a file that says no ports."""
        return [self.node_at(number) for number in NUMBERS if self._is_there(number)]

    def to_wipe(self) -> list[Node]:
        """Those that there are, whatever their files say: what they say of ports is not read."""
        return [self._made_at(number) for number in NUMBERS if self._is_there(number)]

    def _made_at(self, number: int) -> Node:
        first = self.first_port + PER_NODE * (number - 1)
        name = f"n{number}"
        return Node(name, self.base / name, Ports(first, first + 1, first + 2))

    def _is_there(self, number: int) -> bool:
        return self._made_at(number).config_path.exists()

    @property
    def tls(self) -> Path:
        """Where the certificates are, if these nodes have any."""
        return self.base / "tls"

    def one(self, name: str) -> Node:
        """By its name, or whoever leads. Raises NodeTrouble."""
        if name == "leader":
            return self._leader()
        nodes = {node.id: node for node in self.existing()}
        if name not in nodes:
            known = ", ".join(nodes) or "none; `make up` makes them"
            raise NodeTrouble(f"no node {name!r} (there are: {known})")
        return nodes[name]

    def _leader(self) -> Node:
        if not self.existing():
            raise NodeTrouble("there are no nodes; `make up` makes them")
        for node in self.existing():
            if node.pid() is not None and node.metric("raftd_is_leader") == 1:
                print(f"{node.id} leads")
                return node
        raise NodeTrouble("no node leads now; `make status` says how they do")


def _ports_in(config: Path) -> Ports:
    """Raises NodeTrouble."""
    try:
        said = yaml.safe_load(config.read_text())
        ports = [
            int(str(said[f"listen_{name}"]).rpartition(":")[2])
            for name in ("peer", "client", "admin")
        ]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        raise NodeTrouble(
            f"{short(config)} does not say its three listen_ addresses: mend it, or `{WIPE}`"
        ) from None
    return Ports(*ports)


def short(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
