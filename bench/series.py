"""The interleaved rounds: every piece of work on raftd and on its peers, in turn, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.clusters import Cluster, Etcd, Raftd, etcd_load, raftd_load
from bench.facts import cpu_seconds
from bench.pysync import PySync

Figures = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """One row of the table. seconds: of one round, before scaling."""

    side: str
    name: str
    text: str
    seconds: float
    options: dict[str, Any] = field(default_factory=dict)


WORKS = (
    Work("raftd", "bulk", "pipelined puts (put_many, 2 callers)", 2, {"op": "bulk", "callers": 2}),
    Work("etcd", "put64", "64 callers, single puts", 2, {"op": "put", "clients": 64}),
    Work("raftd", "put64", "64 blocking callers, single puts", 2, {"op": "put", "callers": 64}),
    Work(
        "etcd", "txn128", "8 callers, transactions of 128 puts", 2,
        {"op": "txn", "clients": 8, "batch": 128},
    ),
    Work(
        "raftd", "put256", "256 blocking callers, single puts", 1.5, {"op": "put", "callers": 256}
    ),
    Work("etcd", "put256", "256 callers, single puts", 1.5, {"op": "put", "clients": 256}),
    Work("raftd", "put1", "one caller, one put at a time", 1.5, {"op": "put", "callers": 1}),
    Work(
        "etcd", "put1", "one caller, one put at a time", 1.5,
        {"op": "put", "clients": 1, "conns": 1},
    ),
    Work("raftd", "get64", "64 blocking callers, gets", 1.5, {"op": "get", "callers": 64}),
    Work("etcd", "get64", "64 callers, gets", 1.5, {"op": "get", "clients": 64}),
    Work("raftd", "aget64", "64 async callers, gets", 1.5, {"op": "aget", "callers": 64}),
    Work("raftd", "aput64", "64 async callers, single puts", 1.5, {"op": "aput", "callers": 64}),
    Work("pysyncobj", "put1", "one caller, one put at a time", 1, {"line": "one {}"}),
    Work("pysyncobj", "put64", "64 blocking callers", 1, {"line": "threads {} 64"}),
    Work("pysyncobj", "bulk", "pipelined, 1000 in flight", 1, {"line": "pipelined {} 1000"}),
)  # fmt: skip
"""Gets are linearizable everywhere (PySyncObj has none); gets read the keys that put64 wrote."""


@dataclass
class Sides:
    """What runs. etcd and pysyncobj: None when they cannot be had."""

    raftd: Raftd
    etcd: Etcd | None = None
    generator: Path | None = None
    pysyncobj: PySync | None = None

    def has(self, side: str) -> bool:
        return getattr(self, side) is not None

    def cluster(self, side: str) -> Cluster:
        cluster: Cluster = getattr(self, side)
        return cluster


def rounds(
    sides: Sides, count: int, scale: float, say: Callable[[str], None]
) -> dict[str, list[Figures]]:
    """ "side/name" -> the figures of each round. Every other round goes backwards through the list,
    so that neither side always comes first."""
    works = [work for work in WORKS if sides.has(work.side)]
    found: dict[str, list[Figures]] = {f"{work.side}/{work.name}": [] for work in works}
    for number in range(count):
        # The gets need keys: the very first round goes forwards.
        for work in works if number % 2 == 0 else reversed(works):
            figures = one(sides, work, max(0.3, work.seconds * scale))
            found[f"{work.side}/{work.name}"].append(figures)
        say(f"round {number + 1} of {count} done")
    return found


def idle(sides: Sides, seconds: float) -> dict[str, float]:
    """CPU milliseconds a second of each side, all nodes together, while nobody asks anything."""
    clusters = [cluster for cluster in (sides.raftd, sides.etcd) if cluster is not None]

    def spent() -> list[float]:
        return [sum(map(cpu_seconds, cluster.pids())) for cluster in clusters]

    before = spent()
    time.sleep(seconds)
    return {
        cluster.name: (after - first) * 1e3 / seconds
        for cluster, first, after in zip(clusters, before, spent(), strict=True)
    }


def one(sides: Sides, work: Work, seconds: float) -> Figures:
    if work.side == "pysyncobj":
        assert sides.pysyncobj is not None
        # It wakes 20 times a second and more, so it only lives while it is measured.
        sides.pysyncobj.start()
        try:
            leader, pids = sides.pysyncobj.leader(), sides.pysyncobj.pids()
            before = [cpu_seconds(pid) for pid in pids]
            figures = sides.pysyncobj.load(work.options["line"].format(seconds))
            spent = {
                str(pid): cpu_seconds(pid) - first for pid, first in zip(pids, before, strict=True)
            }
            # The load is made inside the leader's process.
            figures |= {"client_cpu_s": 0.0, "server_cpu_s": spent}
            figures["cpu_us"] = cpu_per_command(figures, pids, leader)
            return figures
        finally:
            sides.pysyncobj.stop()
    cluster = sides.cluster(work.side)
    leader, term = cluster.leader(), cluster.term()
    if work.side == "raftd":
        figures = raftd_load(cluster, seconds=seconds, **work.options)
    else:
        assert sides.generator is not None
        figures = etcd_load(sides.generator, cluster, secs=seconds, **work.options)
    figures["elections"] = cluster.term() - term
    figures["cpu_us"] = cpu_per_command(figures, cluster.pids(), leader)
    return figures


def cpu_per_command(figures: Figures, pids: Sequence[int], leader: int) -> dict[str, float]:
    """Microseconds of processor time per command: client, leader, one follower, all together."""
    operations = figures["ops"]
    spent = [figures["server_cpu_s"].get(str(pid), 0.0) for pid in pids]
    others = [seconds for at, seconds in enumerate(spent) if at != leader]
    parts = {
        "client": figures["client_cpu_s"],
        "leader": spent[leader],
        "follower": statistics.mean(others) if others else 0.0,
        "all": figures["client_cpu_s"] + sum(spent),
    }
    return {name: seconds * 1e6 / operations for name, seconds in parts.items()}


def median(series: Sequence[Figures], key: str) -> float:
    """Of one figure over the rounds; `cpu_us.leader` looks inside."""
    outer, _, inner = key.partition(".")
    values: list[float] = [f[outer][inner] if inner else f[outer] for f in series]
    return statistics.median(values)


def ratio(above: Sequence[Figures], below: Sequence[Figures], key: str) -> float:
    """Median of the ratios of each round: what slows a whole round down does not count."""
    ratios: list[float] = [a[key] / b[key] for a, b in zip(above, below, strict=True)]
    return statistics.median(ratios)
