"""The replicated dict beside PySyncObj's: three programs each, the load in the one that leads.

Ours is on disk, synced by a majority before a put is answered. PySyncObj syncs nothing: it is
measured in memory as it comes, in memory with a quick tick (by default it looks at what there is to
send ten times a second), and so with its journal.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.pysync import Embedded, ObjectsNodes, PySync

WORKS = {
    "one caller, one put at a time": "one {}",
    "64 threads, single puts": "threads {} 64",
    "pipelined, 256 in flight": "pipelined {} 256",
}
HEAD = ("dict of 256-byte values", "side", "puts/s", "p50 ms", "p99 ms")
QUICK = {"autoTickPeriod": 0.001, "appendEntriesPeriod": 0.001}
"""Seconds."""
WARM_SECONDS = 0.5

Found = dict[str, dict[str, list[dict[str, Any]]]]


def sides(base: Path, pysyncobj: Path | None) -> dict[str, Embedded]:
    """pysyncobj: its Python; None: it cannot be had."""
    made: dict[str, Embedded] = {"raftd.objects, synced": ObjectsNodes(base / "objects")}
    if pysyncobj is not None:
        made["PySyncObj, in memory"] = PySync(pysyncobj)
        made["PySyncObj, in memory, quick tick"] = PySync(pysyncobj, None, **QUICK)
        made["PySyncObj, journal, quick tick"] = PySync(pysyncobj, base / "journal", **QUICK)
    return made


def measure(
    made: Mapping[str, Embedded], rounds: int, seconds: float, say: Callable[[str], None]
) -> Found:
    """work -> side -> the figures of each round; in every other round the sides take turns
    backwards. A side lives only while it is measured.
    """
    found: Found = {work: {side: [] for side in made} for work in WORKS}
    for number in range(rounds):
        order = list(made.items())
        for side, cluster in order if number % 2 == 0 else reversed(order):
            cluster.start()
            try:
                cluster.load(f"one {WARM_SECONDS}")
                for work, line in WORKS.items():
                    found[work][side].append(cluster.load(line.format(seconds)))
            finally:
                cluster.stop()
        say(f"round {number + 1} of {rounds} done")
    return found


def table(found: Found) -> list[str]:
    """Medians over the rounds."""
    rows: list[Sequence[str]] = [HEAD]
    for work, of_sides in found.items():
        for side, series in of_sides.items():
            rate, p50, p99 = (
                statistics.median(one[key] for one in series)
                for key in ("rate", "p50_ms", "p99_ms")
            )
            rows.append((work, side, f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}"))
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    return [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]
