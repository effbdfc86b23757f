"""How long writes are silent when the leader dies: SIGKILL and SIGTERM, many times, under load.

Three local nodes, one client with several threads. Per fault: the longest gap between two
acknowledgements round it, and where that time went, read from the nodes' own logs. Prints a
histogram. Exits 1 if a limit of the second block of options is missed. Leaves nothing behind.

    python -m scripts.failover --kills 30 --terms 10
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from harness.nodes import (
    ROOT,
    Node,
    NodeTrouble,
    endpoints,
    kill_all,
    make_nodes,
    remove_tree,
    wait_until,
    write_configs,
)
from raftd.client import Client, RaftdError
from scripts.stages import STAGES, stages_of

BASE = ROOT / ".run" / f"failover-{os.getpid()}"
CALL_SECONDS = 10.0
WARM_UP_ACKS = 200
"""Acknowledged before each fault, so that the load is steady again."""
SETTLE_SECONDS = 0.6
BUCKETS_MS = (25, 50, 75, 100, 150, 200, 300, 500, 1000, 1500, 3000)


class Load:
    """Threads that put new keys through one client. Times are `time.monotonic` seconds."""

    def __init__(self, client: Client, threads: int) -> None:
        self.acks: list[float] = []
        self.failed: list[str] = []
        self._client = client
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(CALL_SECONDS + 5)

    def wait_more(self, count: int, nodes: Sequence[Node]) -> None:
        goal = len(self.acks) + count
        wait_until(lambda: len(self.acks) >= goal, 30, f"{count} more writes", nodes)

    def longest_gap(self, since: float) -> tuple[float, float]:
        """(seconds, when it ended) of the longest silence that ended after `since`."""
        times = sorted(ack for ack in self.acks[:] if ack >= since - CALL_SECONDS)
        gaps = [(late - early, late) for early, late in itertools.pairwise(times) if late >= since]
        return max(gaps, default=(float("inf"), since))

    def _run(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            try:
                self._client.put(b"failover/%d/%d" % (number, count % 1000), b"x" * 64)
            except RaftdError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            else:
                self.acks.append(time.monotonic())


@dataclass
class Fault:
    """One fault: silence in seconds, and after how many seconds each stage was reached."""

    silence: float
    stages: dict[str, float] = field(default_factory=dict)


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
    nodes = make_nodes(BASE, ["n1", "n2", "n3"])
    try:
        return _run(nodes, arguments)
    except NodeTrouble as error:
        print(f"failover: {error}", file=sys.stderr)
        return 1
    finally:
        kill_all(nodes)
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


def _run(nodes: list[Node], arguments: argparse.Namespace) -> int:
    write_configs(nodes, {"log_format": "json"})
    for node in nodes:
        node.start()
    wait_until(lambda: all(node.ready() for node in nodes), 30, "the nodes to serve", nodes)
    kill, term = Series("SIGKILL"), Series("SIGTERM")
    with Client(endpoints(nodes), timeout=CALL_SECONDS) as client:
        load = Load(client, arguments.threads)
        elections = calm(nodes, load, arguments.calm) if arguments.calm else 0
        try:
            for _ in range(arguments.kills):
                kill.faults.append(one_fault(nodes, load, signal.SIGKILL))
            after_kills = len(load.failed)
            for _ in range(arguments.terms):
                term.faults.append(one_fault(nodes, load, signal.SIGTERM))
        except KeyboardInterrupt:
            after_kills = len(load.failed)
            print("interrupted; so far:")
        load.stop()
    print(f"{len(load.acks)} writes acknowledged by {arguments.threads} threads")
    for series in (kill, term):
        if series.faults:
            print(series.report())
    failed = load.failed[after_kills:]
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
    arguments: argparse.Namespace, kill: Series, term: Series, failed: Sequence[str]
) -> list[str]:
    missed = []
    if kill.faults and kill.p50_ms() > arguments.kill_p50:
        missed.append(f"SIGKILL p50 {kill.p50_ms():.0f} > {arguments.kill_p50:g} ms")
    if kill.faults and kill.max_ms() > arguments.kill_max:
        missed.append(f"SIGKILL max {kill.max_ms():.0f} > {arguments.kill_max:g} ms")
    if term.faults and term.p50_ms() > arguments.term_p50:
        missed.append(f"SIGTERM p50 {term.p50_ms():.0f} > {arguments.term_p50:g} ms")
    return missed + [f"failed after SIGTERM: {line}" for line in failed[:3]]


def calm(nodes: Sequence[Node], load: Load, seconds: float) -> int:
    """Load and no fault. Returns how many terms went by."""

    def term() -> int:
        return int(max(node.metric("raftd_term") or 0 for node in nodes))

    load.wait_more(WARM_UP_ACKS, nodes)
    before, acked, began = term(), len(load.acks), time.monotonic()
    wait_until(lambda: time.monotonic() - began >= seconds, seconds + 10, "the calm to end")
    elections, rate = term() - before, (len(load.acks) - acked) / seconds
    silence, _ = load.longest_gap(began)
    print(
        f"no fault for {seconds:g} s: {rate:.0f} writes/s, {elections} elections, longest silence "
        f"{silence * 1000:.0f} ms"
    )
    return elections


def one_fault(nodes: Sequence[Node], load: Load, number: int) -> Fault:
    """Signal the leader under load, wait for writes again, bring it back. All nodes serve before
    and after.
    """
    load.wait_more(WARM_UP_ACKS, nodes)
    leader = _leader(nodes)
    others = [node for node in nodes if node is not leader]
    marks = {node.id: node.log_path.stat().st_size for node in others}
    wall, began = time.time(), time.monotonic()
    leader.signal(number)
    leader.wait_gone(20)
    load.wait_more(WARM_UP_ACKS, nodes)
    wait_until(lambda: time.monotonic() - began > SETTLE_SECONDS, 5, "the load to settle")
    silence, ended = load.longest_gap(began)
    stages = stages_of(others, marks, wall)
    stages["served"] = ended - began
    leader.start()
    wait_until(lambda: all(map(_level, nodes)), 30, f"{leader.id} to be back", nodes)
    return Fault(silence, stages)


def _leader(nodes: Sequence[Node]) -> Node:
    """The one that leads, and that the others know; waited for."""
    found: list[Node] = []

    def look() -> bool:
        found[:] = [node for node in nodes if node.metric("raftd_is_leader") == 1]
        return len(found) == 1

    wait_until(look, 15, "a leader", nodes)
    return found[0]


def _level(node: Node) -> bool:
    """Whether it serves and has applied nearly all that it knows to be there."""
    if not node.ready():
        return False
    applied, last = node.metric("raftd_applied_index"), node.metric("raftd_log_last_index")
    return applied is not None and last is not None and last - applied < 200


if __name__ == "__main__":
    sys.exit(main())
