"""How long writes are silent when the leader dies: SIGKILL and SIGTERM, many times, under load.

Three local nodes, one client with several threads. Per fault: the longest gap between two
acknowledgements round it, and where that time went, read from the nodes' own logs. Prints a
histogram. Exits 1 if a limit of the second block of options is missed. Leaves nothing behind.

    python -m scripts.failover --kills 30 --terms 10
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from harness.cluster import Cluster
from harness.nodes import ROOT, Node, NodeTrouble, remove_tree, wait_until
from harness.writers import Writers
from raftd.client import RaftdError
from scripts.stages import STAGES, stages_of

BASE = ROOT / ".run" / f"failover-{os.getpid()}"
CALL_SECONDS = 10.0
WARM_UP_ACKS = 200
"""Acknowledged before each fault, so that the load is steady again."""
SETTLE_SECONDS = 0.6
BUCKETS_MS = (25, 50, 75, 100, 150, 200, 300, 500, 1000, 1500, 3000)


@dataclass
class Fault:
    """One fault: silence in seconds, after how many seconds each stage was reached, and with what
    code the process ended.
    """

    silence: float
    stages: dict[str, float] = field(default_factory=dict)
    code: int | None = None


@dataclass
class Series:
    """The faults of one kind."""

    name: str
    faults: list[Fault] = field(default_factory=list)

    def p50_ms(self) -> float:
        return statistics.median(fault.silence for fault in self.faults) * 1000

    def max_ms(self) -> float:
        return max(fault.silence for fault in self.faults) * 1000

    def report(self) -> str:
        silences = sorted(fault.silence * 1000 for fault in self.faults)
        p90 = silences[math.ceil(0.9 * len(silences)) - 1]
        lines = [
            f"{self.name}: {len(silences)} times; silent for p50 {self.p50_ms():.0f} ms, "
            f"p90 {p90:.0f} ms, max {self.max_ms():.0f} ms"
        ]
        low = 0
        for high in BUCKETS_MS:
            count = sum(low < silence <= high for silence in silences)
            if count:
                lines.append(f"  {low:5d} - {high:5d} ms  {count:3d}  {'#' * count}")
            low = high
        return "\n".join([*lines, *self._where()])

    def _where(self) -> list[str]:
        parts = []
        for stage in STAGES:
            times = [fault.stages[stage] * 1000 for fault in self.faults if stage in fault.stages]
            if times:
                parts.append(f"{stage} {statistics.median(times):.0f}")
        return ["  since the fault, median ms: " + ", ".join(parts)]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    cluster = Cluster(BASE)
    try:
        return _run(cluster, arguments)
    except NodeTrouble as error:
        print(f"failover: {error}", file=sys.stderr)
        return 1
    finally:
        cluster.close()
        if not arguments.keep:
            remove_tree(BASE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.failover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--kills", type=int, default=30, help="SIGKILLs of the leader (default 30)")
    add("--terms", type=int, default=10, help="SIGTERMs of the leader (default 10)")
    add("--threads", type=int, default=4, help="writing threads (default 4)")
    add("--calm", type=float, default=0, help="first, seconds of load without a fault: no election")
    add("--keep", action="store_true", help="leave the nodes' files and logs under .run")
    add("--json", type=Path, help="write every figure there, too")
    limits = parser.add_argument_group("limits, ms: exit code 1 when missed")
    limits.add_argument("--kill-p50", type=float, default=150)
    limits.add_argument("--kill-max", type=float, default=1500)
    limits.add_argument("--term-p50", type=float, default=100)
    return parser


def _run(cluster: Cluster, arguments: argparse.Namespace) -> int:
    cluster.start()
    kill, term = Series("SIGKILL"), Series("SIGTERM")
    load = Writers([cluster.client(timeout=CALL_SECONDS)] * arguments.threads).start()
    elections = calm(cluster, load, arguments.calm) if arguments.calm else 0
    try:
        for _ in range(arguments.kills):
            kill.faults.append(one_fault(cluster, load, signal.SIGKILL))
        after_kills = len(load.book.errors)
        for _ in range(arguments.terms):
            term.faults.append(one_fault(cluster, load, signal.SIGTERM))
    except KeyboardInterrupt:
        after_kills = len(load.book.errors)
        print("interrupted; so far:")
    load.stop()
    print(f"{load.acked} writes acknowledged by {arguments.threads} threads")
    for series in (kill, term):
        if series.faults:
            print(series.report())
    failed = load.book.errors[after_kills:]
    print(f"calls that failed for the retrying client: {after_kills} and {len(failed)}")
    if arguments.json:
        document = {
            series.name: [{"silence": f.silence, **f.stages} for f in series.faults]
            for series in (kill, term)
        }
        arguments.json.write_text(json.dumps(document))
    missed = _missed(arguments, kill, term, failed)
    if elections:
        missed.append(f"{elections} elections without a fault")
    for line in missed:
        print(f"failover: missed: {line}", file=sys.stderr)
    return 1 if missed else 0


def _missed(
    arguments: argparse.Namespace, kill: Series, term: Series, failed: Sequence[RaftdError]
) -> list[str]:
    missed = []
    if kill.faults and kill.p50_ms() > arguments.kill_p50:
        missed.append(f"SIGKILL p50 {kill.p50_ms():.0f} > {arguments.kill_p50:g} ms")
    if kill.faults and kill.max_ms() > arguments.kill_max:
        missed.append(f"SIGKILL max {kill.max_ms():.0f} > {arguments.kill_max:g} ms")
    if term.faults and term.p50_ms() > arguments.term_p50:
        missed.append(f"SIGTERM p50 {term.p50_ms():.0f} > {arguments.term_p50:g} ms")
    return missed + [f"failed after SIGTERM: {line}" for line in failed[:3]]


def calm(cluster: Cluster, load: Writers, seconds: float) -> int:
    """Load and no fault. Returns how many terms went by."""
    load.wait_more(WARM_UP_ACKS, 30, cluster.nodes)
    before, acked, began = cluster.term(), load.acked, time.monotonic()
    wait_until(lambda: time.monotonic() - began >= seconds, seconds + 10, "the calm to end")
    elections, rate = cluster.term() - before, (load.acked - acked) / seconds
    silence = load.book.silence(began)
    print(
        f"no fault for {seconds:g} s: {rate:.0f} writes/s, {elections} elections, longest silence "
        f"{silence * 1000:.0f} ms"
    )
    return elections


def one_fault(cluster: Cluster, load: Writers, number: int) -> Fault:
    """Signal the leader under load, wait for writes again, bring it back. All nodes serve before
    and after.
    """
    load.wait_more(WARM_UP_ACKS, 30, cluster.nodes)
    leader, others = cluster.leader(), cluster.followers()
    marks = {node.id: node.log_path.stat().st_size for node in others}
    wall, began = time.time(), time.monotonic()
    leader.signal(number)
    leader.wait_gone(20)
    load.wait_more(WARM_UP_ACKS, 30, cluster.nodes)
    wait_until(lambda: time.monotonic() - began > SETTLE_SECONDS, 5, "the load to settle")
    silence, ended = load.book.gap(began)
    stages = stages_of(others, marks, wall)
    stages["served"] = ended - began
    code = leader.process.returncode if leader.process is not None else None
    leader.start()
    wait_until(lambda: all(map(_level, cluster.nodes)), 30, f"{leader.id} to be back", [leader])
    return Fault(silence, stages, code)


def _level(node: Node) -> bool:
    """Whether it serves and has applied nearly all that it knows to be there."""
    if not node.ready():
        return False
    applied, last = node.metric("raftd_applied_index"), node.metric("raftd_log_last_index")
    return applied is not None and last is not None and last - applied < 200


if __name__ == "__main__":
    sys.exit(main())
