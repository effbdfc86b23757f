"""What the page costs: the same load without it, with it, and with somebody who looks."""

from __future__ import annotations

import statistics
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from bench.clusters import Raftd, raftd_load
from bench.report import Verdict
from bench.series import cpu_per_command, median, ratio
from harness.nodes import page_settings

WORKS = {
    "64 callers, single puts": {"op": "put", "callers": 64},
    "pipelined puts": {"op": "bulk", "callers": 2},
}
OFF, ON, WATCHED = "off", "on", "on, a browser looks"
SIDES = (OFF, ON, WATCHED)
NEED = 0.95
HEAD = ("", *SIDES, "on/off", "looked at/off")
WIDTHS = (38, 10, 10, 20, 8, 14)

Found = dict[str, dict[str, list[dict[str, Any]]]]


@contextmanager
def _looking(cluster: Raftd) -> Iterator[None]:
    """Somebody reads the film of all nodes, as a browser does, from the node that leads."""
    port = cluster.nodes[cluster.leader()].ports.admin
    over = threading.Event()

    def read() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/film/all", timeout=30) as film:
            while not over.is_set() and film.read(4096):
                pass

    reader = threading.Thread(target=read, name="looking", daemon=True)
    reader.start()
    yield
    over.set()
    reader.join(30)


def measure(base: Path, rounds: int, seconds: float, say: Callable[[str], None]) -> Found:
    """work -> side -> the figures of each round. All clusters run; one at a time is asked, and in
    every other round the sides take turns backwards.
    """
    clusters: dict[str, Raftd] = {}
    found: Found = {work: {side: [] for side in SIDES} for work in WORKS}
    try:
        for side in (OFF, ON):
            cluster = clusters[side] = Raftd(base / f"page-{side}")
            if side == ON:
                cluster.configure(page_settings(cluster.nodes))
            cluster.start()
        for number in range(rounds):
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                for work, options in WORKS.items():
                    found[work][side].append(_one(clusters, side, options, seconds))
            say(f"round {number + 1} of {rounds} done")
    finally:
        for cluster in clusters.values():
            cluster.stop()
    return found


def _one(
    clusters: dict[str, Raftd], side: str, options: dict[str, Any], seconds: float
) -> dict[str, Any]:
    cluster = clusters[OFF if side == OFF else ON]
    with _looking(cluster) if side == WATCHED else nullcontext():
        leader = cluster.leader()
        figures = raftd_load(cluster, seconds=seconds, **options)
    return {**figures, "cpu_us": cpu_per_command(figures, cluster.pids(), leader)}


def table(found: Found) -> list[str]:
    """Medians over the rounds, and of each round's ratios. CPU: of all processes, the client's
    too; on a busy machine it says more than the rate.
    """
    lines = ["  ".join(f"{name:>{width}}" for name, width in zip(HEAD, WIDTHS))]
    for work, sides in found.items():
        for what, key in (("puts/s", "rate"), ("CPU us a put", "cpu_us.all")):
            values = [f"{median(sides[side], key):,.0f}" for side in SIDES]
            ratios = [
                f"{statistics.median(_ratios(sides[side], sides[OFF], key)):.3f}"
                for side in (ON, WATCHED)
            ]
            cells = (f"{work}, {what}", *values, *ratios)
            lines.append("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS)))
    return lines


def _ratios(above: list[dict[str, Any]], below: list[dict[str, Any]], key: str) -> list[float]:
    return [median([a], key) / median([b], key) for a, b in zip(above, below)]


def verdicts(found: Found) -> list[Verdict]:
    """Switched on, and looked at, it costs 5 % of the throughput at most."""
    return [
        Verdict(f"page {side}: {work}, against off", ratio(sides[side], sides[OFF], "rate"), "x",
                NEED, None)
        for work, sides in found.items()
        for side in (ON, WATCHED)
    ]  # fmt: skip
