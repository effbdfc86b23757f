"""Is it durable what is claimed to be? Syncs as the kernel counts them, beside the nodes' own.

strace slows a node down, so this is no part of what is timed.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.clusters import BenchTrouble, Cluster

ATTACH_SECONDS = 20.0
QUIET_SECONDS = 0.5
"""Nodes show their counters ten times a second."""


class Strace:
    """Counts fsync and fdatasync of one process, all threads."""

    def __init__(self, pid: int, output: Path) -> None:
        self._output = output
        self._attached = threading.Event()
        self._process = subprocess.Popen(
            [
                "strace",
                "-f",
                "-c",
                "-e",
                "trace=fdatasync,fsync",
                "-o",
                str(output),
                "-p",
                str(pid),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        self.said = ""
        for line in self._process.stderr:
            self.said += line
            if "attached" in line:
                self._attached.set()
        self._attached.set()

    def wait_attached(self) -> None:
        """Raises BenchTrouble."""
        if not self._attached.wait(ATTACH_SECONDS) or self._process.poll() is not None:
            raise BenchTrouble(f"strace: {self.said.strip()[-200:]}")

    def stop(self) -> dict[str, int]:
        """Counts by system call."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)
        counts = {"fdatasync": 0, "fsync": 0}
        for line in self._output.read_text().splitlines():
            if found := re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+).*\b(fdatasync|fsync)$", line):
                counts[found[2]] = int(found[1])
        self._output.unlink()
        return counts

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(20)


def _agree(kernel: int, claimed: int, exactly: bool) -> bool:
    slack = max(2, claimed * 0.01)
    return kernel >= claimed - slack and (not exactly or kernel <= claimed + slack)


def count_syncs(
    cluster: Cluster, load: Callable[[], dict[str, Any]], directory: Path, *, exactly: bool
) -> dict[str, Any]:
    """Run `load` while the kernel counts. Per node: kernel, claimed; and whether they agree.

    exactly: false for etcd, whose metric counts its log's syncs but not those of its store's file.

    Raises BenchTrouble when strace cannot be had.
    """
    if shutil.which("strace") is None:
        raise BenchTrouble("no `strace` in PATH")
    directory.mkdir(parents=True, exist_ok=True)
    tracers = [Strace(pid, directory / f"strace-{pid}") for pid in cluster.pids()]
    try:
        for tracer in tracers:
            tracer.wait_attached()
        time.sleep(QUIET_SECONDS)
        before = cluster.syncs()
        figures = load()
        time.sleep(QUIET_SECONDS)
        claimed = [after - first for after, first in zip(cluster.syncs(), before, strict=True)]
        kernel = [tracer.stop() for tracer in tracers]
    finally:
        for tracer in tracers:
            tracer.end()
    return {
        "ops": figures["ops"],
        "kernel_fdatasync": [counts["fdatasync"] for counts in kernel],
        "kernel_fsync": [counts["fsync"] for counts in kernel],
        "claimed": claimed,
        "agree": all(
            _agree(counts["fdatasync"], own, exactly)
            for counts, own in zip(kernel, claimed, strict=True)
        ),
        # One caller: put n+1 starts after put n is durable on a majority, so no sync serves two.
        "majority_synced_each": sorted(counts["fdatasync"] for counts in kernel)[
            (len(kernel) - 1) // 2
        ]
        >= figures["ops"],
        "checked": figures["checked"],
        "wrong": figures["wrong"],
    }
