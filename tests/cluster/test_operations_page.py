"""The commands of docs/operations.md, typed on real nodes: they print what the page says."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from harness.cluster import Cluster
from harness.nodes import Node, config_text, make_nodes, wait_until
from harness.ports import free_ports
from raftd.cli import raftctl
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]

PAGE = Path(__file__).parents[2] / "docs/operations.md"
AGAIN = (3, 5)
AGAIN_SECONDS = 30.0
"""Exit codes of what may be asked again: certainly not done, or refused, as the page says, at
first."""


def transcripts() -> list[list[tuple[str, str]]]:
    """(command, what it prints) of each of the page's blocks."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [
        [(command, printed) for command, _, printed in (s.partition("\n") for s in steps[1:])]
        for steps in (block.split("$ ") for block in blocks)
    ]


class Typist:
    """Types at a cluster of n1, n2, n3, whose addresses on the page are 10.0.0.N."""

    def __init__(self, cluster: Cluster, capsys: pytest.CaptureFixture[str], base: Path) -> None:
        self._cluster = cluster
        self._capsys = capsys
        self._base = base
        self._places: list[tuple[str, str]] = []
        for node in cluster.nodes:
            self._note(node)
        self.note_address("10.0.0.5:7001", f"127.0.0.1:{free_ports(1)[0]}")

    def note_address(self, on_page: str, really: str) -> None:
        self._places.append((on_page, really))

    def _note(self, node: Node) -> None:
        for number in (node.id[1:], *("9" if node.id == "n4" else "")):  # n4 moves, says the page
            self.note_address(f"10.0.0.{number}:7001", f"127.0.0.1:{node.ports.peer}")
            self.note_address(f"10.0.0.{number}:7002", node.client_address)

    def type(self, command: str, printed: str) -> None:
        if command.startswith("raftd serve"):
            self._join(command.split("--config ")[1].removesuffix(".yaml"))
            return
        words = command.split()
        for on_page, really in self._places:
            words = [really if word == on_page else word for word in words]
        seeds = ",".join(node.client_address for node in self._cluster.nodes[:3])
        deadline = time.monotonic() + AGAIN_SECONDS
        while True:
            self._capsys.readouterr()
            code = raftctl.main(["--endpoints", seeds, *words[1:]])
            said = self._capsys.readouterr()
            fails = printed.startswith("raftctl:")
            if code not in AGAIN or fails or time.monotonic() > deadline:
                break
        shown = said.out + said.err
        assert (code != 0) == fails, shown
        assert self._plain(shown) == self._plain(printed), command

    def _join(self, name: str) -> None:
        """As the page's file for it says."""
        (node,) = make_nodes(self._base, [name])
        node.directory.mkdir(parents=True)
        seed = self._cluster.nodes[0].client_address
        settings = {"log_format": "json", "cluster_token": "test", "join": seed}
        node.config_path.write_text(config_text(node, [node], settings))
        node.start()
        self._cluster.nodes.append(node)
        self._note(node)
        client = self._cluster.client()
        wait_until(
            lambda: any(peer.id == name for peer in client.status(seed).peers),
            30, f"{name} to join", self._cluster.nodes,
        )  # fmt: skip

    def _plain(self, text: str) -> str:
        """Without indexes, terms, widths of columns, who of those asked has answered, and details
        of the network; with the page's addresses.
        """
        for on_page, really in self._places:
            text = text.replace(really, on_page)
        text = text.replace("10.0.0.9:", "10.0.0.4:")
        text = re.sub(r"raftctl: 10\.0\.0\.\d:", "raftctl: NODE:", text)
        text = re.sub(r"UNAVAILABLE: .*", "UNAVAILABLE: ...", text)
        text = re.sub(r"\b\d+(\.\d)? (s ago|of)", "# ", text)
        text = re.sub(r"(?<=[ :])\d+\b(?!\.\d)", "#", text)
        # A leader has no figures of a member that has just moved, for a moment.
        text = re.sub(r"(:#) +- +-(?=\n|$)", r"\1 # # ", text)
        return re.sub(r"[ \t]+", " ", text)


def test_the_page_shows_what_happens(
    make_cluster: MakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = make_cluster(3).start()
    typist = Typist(cluster, capsys, tmp_path / "joined")
    client = cluster.client()
    if cluster.leader().id != "n1":
        client.transfer("n1")
    wait_until(lambda: cluster.leader().id == "n1", 20, "n1 to lead", cluster.nodes)
    members, refusals = transcripts()
    for steps in (refusals, members):  # those that are refused leave all as it was
        for command, printed in steps:
            typist.type(command, printed)
