"""Does cost stay flat? A cluster after millions of commands beside a fresh one, window by window.

CPU time and bytes, not wall time. The fresh cluster is first brought through one snapshot: before
it, memory and disk have not yet grown to their usual saw teeth.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from typing import Any

from bench.clusters import BASE, Raftd, raftd_load
from bench.facts import disk_bytes, resident_bytes
from bench.report import Verdict

SLICE_SECONDS = 10.0
SAMPLE_SECONDS = 0.2


class Peak:
    """The most memory and disk that any node of a cluster takes, looked at five times a second."""

    def __init__(self, cluster: Raftd) -> None:
        self.resident = 0
        self.disk = 0
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.resident = max([self.resident, *map(resident_bytes, self._cluster.pids())])
            self.disk = max([self.disk, *map(disk_bytes, self._cluster.data())])


def feed(cluster: Raftd, commands: int, say: Callable[[str], None]) -> int:
    """At least so many puts, pipelined; how many it were."""
    done = 0
    while done < commands:
        figures = raftd_load(cluster, op="bulk", callers=2, seconds=min(SLICE_SECONDS, 10))
        done += figures["ops"]
        say(f"{done:,} of {commands:,} commands ({figures['rate']:,.0f}/s)")
    return done


def measure(
    commands: int, warm: int, windows: int, scale: float, say: Callable[[str], None]
) -> dict[str, Any]:
    worn, fresh = Raftd(BASE / "worn"), Raftd(BASE / "fresh")
    sides = {"worn": worn, "fresh": fresh}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    try:
        worn.start()
        done = feed(worn, commands, say)
        fresh.start()
        feed(fresh, warm, say)
        with Peak(worn) as worn_peak, Peak(fresh) as fresh_peak:
            for number in range(windows):
                order = list(sides) if number % 2 == 0 else list(reversed(sides))
                for name in order:
                    figures = raftd_load(sides[name], op="bulk", callers=2, seconds=5 * scale)
                    spent = sum(figures["server_cpu_s"].values())
                    cpu[name].append(spent * 1e6 / figures["ops"])
                say(f"window {number + 1} of {windows} done")
    finally:
        worn.stop()
        fresh.stop()
    return {
        "commands": done,
        "cpu_us": cpu,
        "resident": {"worn": worn_peak.resident, "fresh": fresh_peak.resident},
        "disk": {"worn": worn_peak.disk, "fresh": fresh_peak.disk},
    }


def verdicts(found: dict[str, Any]) -> list[Verdict]:
    pairs = zip(found["cpu_us"]["worn"], found["cpu_us"]["fresh"], strict=True)
    ratios = {
        "CPU time per command, all nodes": statistics.median(a / b for a, b in pairs),
        "resident memory, largest node": found["resident"]["worn"] / found["resident"]["fresh"],
        "disk, largest node": found["disk"]["worn"] / found["disk"]["fresh"],
    }
    after = f"8 after {found['commands'] / 1e6:.1f} M commands / fresh:"
    return [Verdict(f"{after} {what}", x, "x", 1.15, None, False) for what, x in ratios.items()]
