"""kill -9 and start, hundreds of times, under load: nothing is lost, nothing done twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.nodes import Node, NodeTrouble, wait_until
from harness.proxied import ProxiedCluster
from raftd.check.history import History
from raftd.check.judge import LINEARIZABLE, Verdict, judge
from raftd.check.operations import OK, READS
from tests.chaos import final
from tests.chaos.record import Workers

MORE_WRITES = 15
"""Acknowledged between a kill and the start, if a majority is up, and after it."""
PATIENCE_SECONDS = 60
REPORT_CYCLES = 25
SNAPSHOTS = {"snapshot_entries": "1000", "keep_entries": "100", "segment_bytes": "256KiB"}
"""Tens of thousands of keys come together: a snapshot costs more than in a chaos run."""


@dataclass
class Tally:
    cycles: int = 0
    kills: int = 0
    leaders: int = 0
    majorities: int = 0
    all_at_once: int = 0


@dataclass
class KillReport:
    tally: Tally
    findings: final.Findings
    verdict: Verdict
    seconds: float
    trouble: str = ""
    hung: int = 0

    @property
    def good(self) -> bool:
        fine = self.findings.good and self.verdict.result == LINEARIZABLE
        return fine and not self.trouble and not self.hung

    def lines(self) -> list[str]:
        tally = self.tally
        lines = [
            f"kill -9: {tally.cycles} cycles in {self.seconds:.0f} s, {tally.kills} processes: "
            f"{tally.leaders} times the leader, {tally.majorities} times a majority at once, "
            f"{tally.all_at_once} times all",
            *self.findings.lines(),
            *self.verdict.lines(),
        ]
        if self.trouble:
            lines.append(f"TROUBLE: {self.trouble}")
        if self.hung:
            lines.append(f"{self.hung} client processes had calls that never came back")
        return lines


def run(
    base: Path,
    *,
    nodes: int,
    cycles: int,
    seconds: float,
    seed: int,
    say: Callable[[str], None],
    first: int = 0,
    settings: Mapping[str, str] = SNAPSHOTS,
) -> KillReport:
    """`cycles` of them, or what fits into `seconds`. first: where in the row of kinds to begin."""
    cluster = ProxiedCluster(base, nodes, settings, seed=seed)
    draw = random.Random(seed)
    tally, trouble = Tally(), ""
    workers: Workers | None = None
    try:
        cluster.start()
        begin = time.monotonic()
        endpoints = cluster.client_endpoints()
        workers = Workers(base, endpoints, count=2, mixed=4, readers=1, seed=seed, own=30)
        try:
            while tally.cycles < cycles and time.monotonic() - begin < seconds:
                _cycle(cluster, workers, draw, tally, first + tally.cycles)
                if tally.cycles % REPORT_CYCLES == 0:
                    passed = time.monotonic() - begin
                    say(f"[{passed:6.1f} s] {tally.cycles} cycles, {len(workers.ops)} operations")
        except NodeTrouble as error:
            trouble = str(error)
        passed = time.monotonic() - begin
        cluster.start_all()
        hung = workers.stop()
        cluster.wait_ready()
        findings = final.look(cluster, workers.ops)
        ops = sorted([*workers.ops, *findings.ops], key=lambda op: op.call)
        return KillReport(tally, findings, judge(History(ops)), passed, trouble, hung)
    finally:
        if workers is not None:
            workers.kill()
        cluster.close()


def _cycle(
    cluster: ProxiedCluster, workers: Workers, draw: random.Random, tally: Tally, number: int
) -> None:
    leader = cluster.likely_leader()
    victims = _victims(cluster, leader, number, draw)
    for node in victims:
        node.kill()
    tally.cycles += 1
    tally.kills += len(victims)
    tally.leaders += leader in victims
    if 2 * len(victims) < len(cluster.nodes):
        _wait_for_writes(cluster, workers)
    elif len(victims) == len(cluster.nodes):
        tally.all_at_once += 1
    else:
        tally.majorities += 1
    draw.shuffle(victims)
    for node in victims:
        node.start()
    cluster.wait_ready(timeout=PATIENCE_SECONDS)
    _wait_for_writes(cluster, workers)


def _victims(cluster: ProxiedCluster, leader: Node, cycle: int, draw: random.Random) -> list[Node]:
    """The leader in every third cycle, with a majority in every sixth, all in every twentieth."""
    others = [node for node in cluster.nodes if node is not leader]
    if cycle % 20 == 19:
        return list(cluster.nodes)
    if cycle % 6 == 5:
        return [leader, *draw.sample(others, len(cluster.nodes) // 2)]
    return [leader] if cycle % 3 == 0 else [draw.choice(others)]


def _wait_for_writes(cluster: ProxiedCluster, workers: Workers) -> None:
    since, more = time.monotonic(), [0]

    def enough() -> bool:
        more[0] += sum(
            op.outcome == OK and op.kind not in READS and op.call >= since
            for op in workers.catch_up()
        )
        return more[0] >= MORE_WRITES

    wait_until(enough, PATIENCE_SECONDS, f"{MORE_WRITES} more writes", cluster.nodes)
