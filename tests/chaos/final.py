"""After the storm: all nodes equal, nothing acknowledged missing, nothing done twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness import level
from harness.cluster import event_counts
from harness.nodes import Node
from harness.proxied import ProxiedCluster
from raftd.check.operations import FAIL, OK, PUT, UNKNOWN, Item, Op
from raftd.client import Client
from tests.chaos.worker import OWN_PREFIX

CALL_SECONDS = 20.0
PAGE_KEYS = 500

Contents = dict[bytes, Item]


@dataclass
class Findings:
    """lost, twice, undead: keys that were acknowledged and are not there; that are there in
    another version than the first; that are there though they certainly were not written.
    ops: the reads that found this, for the history. kept: where the directories of nodes that
    differ are.
    """

    nodes: int = 0
    coverage: str = ""
    index: int = 0
    digests: set[str] = field(default_factory=set)
    differing: list[str] = field(default_factory=list)
    kept: str = ""
    acked: int = 0
    unknown: int = 0
    happened: int = 0
    lost: list[bytes] = field(default_factory=list)
    twice: list[bytes] = field(default_factory=list)
    undead: list[bytes] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)

    @property
    def good(self) -> bool:
        wrong = self.lost or self.twice or self.undead or self.differing
        return bool(self.nodes) and not wrong and len(self.digests) == 1

    def lines(self) -> list[str]:
        same = "all equal" if len(self.digests) == 1 and not self.differing else "DIFFERENT"
        lines = [
            self.coverage,
            f"{self.nodes} nodes, {same}: applied index {self.index}, "
            f"state {' '.join(sorted(self.digests))}",
            f"keys written once: {self.acked} acknowledged, {len(self.lost)} lost, "
            f"{len(self.twice)} twice; {self.unknown} unknown, of which {self.happened} happened; "
            f"{len(self.undead)} that certainly had not",
        ]
        if self.kept:
            lines.append(f"the nodes' directories are in {self.kept}")
        lines += [f"differs from the others: {name}" for name in self.differing]
        for name in ("lost", "twice", "undead"):
            lines += [f"{name}: {key.decode()}" for key in getattr(self, name)[:10]]
        return lines


def look(cluster: ProxiedCluster, ops: Iterable[Op]) -> Findings:
    """Needs all nodes up and no load. Raises NodeTrouble if they do not become equal in time."""
    findings = Findings()
    with Client(cluster.client_endpoints(), timeout=CALL_SECONDS) as client:
        contents = _read_all(client, findings.ops)
    cluster.wait_level()
    findings.coverage = coverage(cluster.nodes)
    findings.index, states = level.digests(cluster.nodes, CALL_SECONDS)
    findings.digests = {state.hex()[:16] for state in states.values()}
    for node in cluster.nodes:
        with Client([node.client_address], timeout=CALL_SECONDS) as client:
            if _read_all(client, None) != contents:
                findings.differing.append(node.id)
        findings.nodes += 1
    if len(findings.digests) > 1 or findings.differing:
        findings.kept = str(level.keep(cluster.nodes))
    compare(findings, contents, ops)
    return findings


def coverage(nodes: Iterable[Node]) -> str:
    """What the nodes went through, by their logs: a calm run proves little."""
    counts = sum((event_counts(node) for node in nodes), Counter[str]())
    return (
        f"nodes: {counts['start']} starts, {counts['elected']} elections won, "
        f"{counts['truncated']} truncations, {counts['snapshot_taken']} snapshots taken, "
        f"{counts['snapshot_installed']} installed"
    )


def _read_all(client: Client, ops: list[Op] | None) -> Contents:
    """Everything there is, in pages: linearizable ones, noted in `ops`; or the node's own."""
    contents: Contents = {}
    after = b""
    while True:
        op = Op("range", b"", time.monotonic(), client="end", after=after, limit=PAGE_KEYS)
        page = client.range(
            b"",
            after=after,
            limit=PAGE_KEYS,
            consistency="stale" if ops is None else "linearizable",
        )
        op.ret, op.outcome = time.monotonic(), OK
        op.items = tuple(
            (pair.key, Item(pair.value, pair.version, pair.mod_revision)) for pair in page.kvs
        )
        op.revision, op.more = page.revision, page.more
        contents.update(op.items)
        if ops is not None:
            ops.append(op)
        if not page.more:
            return contents
        after = page.kvs[-1].key


def compare(findings: Findings, contents: Contents, ops: Iterable[Op]) -> None:
    """Note in `findings` what became of the keys that are written once."""
    for op in ops:
        if op.kind != PUT or not op.key.startswith(OWN_PREFIX):
            continue
        item = contents.get(op.key)
        findings.acked += op.outcome == OK
        findings.unknown += op.outcome == UNKNOWN
        if item is None:
            if op.outcome == OK:
                findings.lost.append(op.key)
            continue
        findings.happened += op.outcome == UNKNOWN
        if op.outcome == FAIL:
            findings.undead.append(op.key)
        elif item.version != 1:
            findings.twice.append(op.key)
        elif item.value != op.value:
            findings.lost.append(op.key)
