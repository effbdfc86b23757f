"""raftd on grpcio beside raftd on h2, interleaved in one run; prints medians and ratios.

python -m bench.transports [--rounds 4] [--seconds 1.5] [--base DIRECTORY]

Each side is a cluster of three nodes and a client process on the same transport. CPU is that of all
four processes, in microseconds an operation: on a busy machine it says more than the rate.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bench.clusters import Raftd, raftd_load
from bench.facts import cpu_seconds

KINDS = ("grpcio", "h2")
WORK: tuple[tuple[str, str, int], ...] = (
    ("one put", "put", 1),
    ("64 puts", "put", 64),
    ("256 puts", "put", 256),
    ("64 gets", "get", 64),
    ("64 async puts", "aput", 64),
    ("64 async gets", "aget", 64),
    ("pipelined puts", "bulk", 1),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--base", type=Path, default=Path(".run/transports"))
    options = parser.parse_args()
    clusters = {kind: Raftd(options.base / kind, 3, {"transport": kind}) for kind in KINDS}
    try:
        for cluster in clusters.values():
            cluster.start()
        found = measure(clusters, options.rounds, options.seconds)
        idle = {kind: idle_cpu(cluster) for kind, cluster in clusters.items()}
    finally:
        for cluster in clusters.values():
            cluster.stop()
    show(found, idle)
    return 0


def measure(
    clusters: dict[str, Raftd], rounds: int, seconds: float
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for turn in range(rounds):
        for name, op, callers in WORK:
            for kind in KINDS if turn % 2 else KINDS[::-1]:
                result = raftd_load(
                    clusters[kind], op=op, callers=callers, seconds=seconds, transport=kind
                )
                found.setdefault((name, kind), []).append(result)
    return found


def idle_cpu(cluster: Raftd, seconds: float = 5.0) -> float:
    """Milliseconds a second, of all nodes together."""
    pids = cluster.pids()
    before, began = sum(map(cpu_seconds, pids)), time.monotonic()
    time.sleep(seconds)
    return 1e3 * (sum(map(cpu_seconds, pids)) - before) / (time.monotonic() - began)


def show(found: dict[tuple[str, str], list[dict[str, Any]]], idle: dict[str, float]) -> None:
    print("| work | grpcio: /s, p50 ms, CPU us | h2: /s, p50 ms, CPU us | rate | p50 | CPU |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, _, _ in WORK:
        rows = {kind: [figures(result) for result in found[name, kind]] for kind in KINDS}
        cells = []
        for kind in KINDS:
            rate, p50, cpu = (statistics.median(column) for column in zip(*rows[kind]))
            cells.append(f"{rate:,.0f}, {p50:.2f}, {cpu:.0f}")
        ratios = [
            statistics.median(new[at] / old[at] for old, new in zip(*(rows[k] for k in KINDS)))
            for at in range(3)
        ]
        print(f"| {name} | {' | '.join(cells)} | {' | '.join(f'{r:.2f}' for r in ratios)} |")
    print(f"idle, three nodes, ms CPU a second: grpcio {idle['grpcio']:.0f}, h2 {idle['h2']:.0f}")


def figures(result: dict[str, Any]) -> tuple[float, float, float]:
    """Rate, p50 in ms, CPU in us an operation."""
    if result["errors"]:
        raise SystemExit(f"{result['errors']} errors: {result}")
    cpu = 1e6 * (result["client_cpu_s"] + sum(result["server_cpu_s"].values())) / result["ops"]
    return result["rate"], result["p50_ms"], cpu


if __name__ == "__main__":
    sys.exit(main())
