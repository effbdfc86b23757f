"""What the machine is, and what processes cost: from /proc, so Linux only."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROBES = 200
PROBE_BYTES = 4096
NOT_MEASURED = "not measured"


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads, in steps of 10 ms. 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """Memory that the process has in RAM. 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def disk_bytes(directory: Path) -> int:
    """What the files below take on the disk: blocks, not lengths."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except OSError:  # renamed or removed meanwhile
            continue
    return total


def percentile(sorted_values: list[float], share: float) -> float:
    """By nearest rank below; 0 of nothing."""
    if not sorted_values:
        return 0.0
    return sorted_values[int((len(sorted_values) - 1) * share)]


def probe_sync(directory: Path, count: int = PROBES) -> list[float]:
    """Seconds of `count` fdatasyncs of 4 KiB, written over and over in place; ascending."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "probe"
    taken = []
    with path.open("wb") as file:
        number = file.fileno()
        os.pwrite(number, bytes(PROBE_BYTES * 16), 0)
        os.fsync(number)
        for turn in range(count):
            os.pwrite(number, bytes([turn % 256]) * PROBE_BYTES, turn % 16 * PROBE_BYTES)
            start = time.perf_counter()
            os.fdatasync(number)
            taken.append(time.perf_counter() - start)
    path.unlink()
    return sorted(taken)


def header(directory: Path, etcd: str | None, pysyncobj: str | None) -> dict[str, Any]:
    """Everything that a reader needs to judge the figures."""
    syncs = probe_sync(directory)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * PAGE / (1 << 30), 1),
        "kernel": platform.release(),
        "file_system": _file_system(directory),
        "fdatasync_p50_us": round(statistics.median(syncs) * 1e6),
        "fdatasync_p99_us": round(percentile(syncs, 0.99) * 1e6),
        "load_average_1min": os.getloadavg()[0],
        "python": platform.python_version(),
        "raftd": version("raftd"),
        "commit": _commit(),
        "grpcio": version("grpcio"),
        "etcd": etcd,
        "pysyncobj": pysyncobj,
    }


def header_lines(facts: dict[str, Any], settings: Iterable[str]) -> list[str]:
    lines = [
        f"machine   {facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, "
        f"Linux {facts['kernel']}, {facts['file_system']}",
        f"disk      fdatasync of 4 KiB: p50 {facts['fdatasync_p50_us']} us, "
        f"p99 {facts['fdatasync_p99_us']} us ({PROBES} probes)",
        f"versions  raftd {facts['raftd']} ({facts['commit']}), Python {facts['python']}, "
        f"grpcio {facts['grpcio']}; etcd {facts['etcd'] or NOT_MEASURED}; "
        f"PySyncObj {facts['pysyncobj'] or NOT_MEASURED}",
        *(f"settings  {line}" for line in settings),
        f"load      {facts['load_average_1min']:.2f} (1 minute average before the start)",
    ]
    if facts["load_average_1min"] > 0.25 * facts["cores"]:
        lines.append(
            "WARNING   the machine is busy: rates and latencies below are those of a busy machine; "
            "compare ratios and CPU time only"
        )
    return lines


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """Type of the mount that holds `directory`."""
    where, found = directory.resolve(), ("", "unknown file system")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        point, kind = line.split()[1:3]
        if where.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def _commit() -> str:
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, check=False
        )
    except OSError:
        return "no git"
    return run.stdout.decode().strip() or "no git"
