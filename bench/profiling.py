"""Where the time goes: py-spy's samples of who holds the GIL, by stage, per process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.clusters import BASE, BenchTrouble, Raftd
from bench.facts import cpu_seconds
from bench.growth import table
from harness.nodes import ROOT

RATE = 250
STAGES: tuple[tuple[str, str], ...] = (
    (r"/grpc/|/cygrpc", "gRPC: calls and streams"),
    (r"/google/protobuf/", "protobuf"),
    (r"/raftd/_pb/", "protobuf"),
    (r"/raftd/rpc/peers/codec", "messages to protobuf and back"),
    (r"/raftd/rpc/", "rpc: services, senders"),
    (r"/raftd/core/", "Raft core"),
    (r"/raftd/node/", "node: driver, workers, waiters"),
    (r"/raftd/storage/", "log: encode, write"),
    (r"/raftd/machine/", "sessions and store"),
    (r"/raftd/wire/", "batches and commands as bytes"),
    (r"/raftd/client/", "client"),
    (r"/bench/", "the load generator itself"),
    (r"/raftd/", "daemon, metrics, logs"),
    (r"/asyncio/|/uvloop/", "event loop"),
    (r"", "other"),
)
"""The first pattern found in the file of the innermost frame that is not of the standard library
names the stage."""

FRAME = re.compile(r"^(.*) \((.*?)(?::\d+)?\)$")
WORKS = (
    ("64 blocking callers, single puts", ["--op", "put", "--callers", "64"]),
    ("pipelined puts", ["--op", "bulk", "--callers", "2"]),
    ("one put at a time", ["--op", "put", "--callers", "1"]),
    ("64 blocking callers, gets", ["--op", "get", "--callers", "64"]),
)


def stage_of(stack: str) -> str:
    """Of one line of py-spy's raw format, outermost frame first."""
    for frame in reversed(stack.split(";")):
        found = FRAME.match(frame)
        path = found[2] if found else frame
        for pattern, stage in STAGES[:-1]:
            if re.search(pattern, path):
                return stage
    return STAGES[-1][1]


def spy() -> str:
    """The command. Raises BenchTrouble."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise BenchTrouble("no py-spy (`make bench` installs it)")
    return found


class Sampler:
    """py-spy on one process for some seconds, beside others."""

    def __init__(self, name: str, pid: int, seconds: int) -> None:
        self._path = BASE / f"spy-{name}"
        self._pid = pid
        words = [spy(), "record", "--gil", "--nonblocking", "--format", "raw", "--full-filenames"]
        words += ["--rate", str(RATE), "--duration", str(seconds), "--pid", str(pid)]
        self._cpu = cpu_seconds(pid)
        self._process = subprocess.Popen(
            [*words, "--output", str(self._path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> tuple[Counter[str], float]:
        """(samples by stage, CPU seconds of the process meanwhile). Raises BenchTrouble."""
        _, said = self._process.communicate()
        spent = cpu_seconds(self._pid) - self._cpu
        if not self._path.exists():
            raise BenchTrouble(f"py-spy: {said.strip()[-200:]}")
        stages: Counter[str] = Counter()
        for line in self._path.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            stages[stage_of(stack)] += int(count)
        self._path.unlink()
        return stages, spent


def one(cluster: Raftd, words: Sequence[str], seconds: int) -> str:
    """A table: share of the samples with the GIL, by stage, for leader, follower and client."""
    command = [sys.executable, "-m", "bench.load", "--endpoints", cluster.endpoints(), *words]
    leader = cluster.leader()
    pids = cluster.pids()
    client = subprocess.Popen(
        [*command, "--seconds", str(seconds + 4)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    threading.Event().wait(2.5)  # the generator starts and connects
    samplers = {
        "leader": Sampler("leader", pids[leader], seconds),
        "follower": Sampler("follower", pids[(leader + 1) % len(pids)], seconds),
        "client": Sampler("client", client.pid, seconds),
    }
    results = {name: sampler.result() for name, sampler in samplers.items()}
    client.wait(60)
    stages = sorted(
        {stage for counts, _ in results.values() for stage in counts},
        key=lambda stage: -max(counts[stage] for counts, _ in results.values()),
    )
    rows = []
    for stage in stages:
        shares = [counts[stage] / max(1, counts.total()) for counts, _ in results.values()]
        rows.append([stage, *(f"{share:.0%}" for share in shares)])
    rows.append(
        ["GIL held, share of the time"]
        + [f"{counts.total() / (RATE * seconds):.0%}" for counts, _ in results.values()]
    )
    rows.append(
        ["CPU seconds per second"] + [f"{spent / seconds:.2f}" for _, spent in results.values()]
    )
    return table(["stage", *results], rows)


def measure(scale: float, say: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Title and table, one after the other. Raises BenchTrouble without py-spy."""
    spy()
    cluster = Raftd(BASE / "profile")
    try:
        cluster.start()
        for title, words in WORKS:
            say(title)
            yield title, one(cluster, words, max(2, round(6 * scale)))
    finally:
        cluster.stop()
