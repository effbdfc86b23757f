"""What the page costs: the same load without it, with it, and with somebody who looks."""

from __future__ import annotations

import statistics
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.clusters import Raftd, raftd_load
from bench.report import Verdict
from bench.series import ratio
from harness.nodes import page_settings

WORKS = {
    "64 callers, single puts": {"op": "put", "callers": 64},
    "pipelined puts": {"op": "bulk", "callers": 2},
}
OFF, ON, WATCHED = "off", "on", "on, a browser looks"
SIDES = (OFF, ON, WATCHED)
NEED = 0.95
HEAD = ("puts a second", *SIDES, "on/off", "looked at/off")

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
    if side != WATCHED:
        return raftd_load(clusters[side], seconds=seconds, **options)
    with _looking(clusters[ON]):
        return raftd_load(clusters[ON], seconds=seconds, **options)


def table(found: Found) -> list[str]:
    """Medians over the rounds, and of each round's ratios."""
    lines = ["  ".join(f"{name:>20}" for name in HEAD)]
    for work, sides in found.items():
        rates = [f"{statistics.median(one['rate'] for one in sides[side]):,.0f}" for side in SIDES]
        ratios = [f"{ratio(sides[side], sides[OFF], 'rate'):.3f}" for side in (ON, WATCHED)]
        lines.append("  ".join(f"{cell:>20}" for cell in (work, *rates, *ratios)))
    return lines


def verdicts(found: Found) -> list[Verdict]:
    """Switched on, and looked at, it costs 5 % of the throughput at most."""
    return [
        Verdict(f"page {side}: {work}, against off", ratio(sides[side], sides[OFF], "rate"), "x",
                NEED, None)
        for work, sides in found.items()
        for side in (ON, WATCHED)
    ]  # fmt: skip
