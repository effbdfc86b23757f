"""One chaos run: load, one fault after the other, quiet, and a verdict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.nodes import NodeTrouble, wait_until
from harness.proxied import ProxiedCluster
from raftd.check.history import History
from raftd.check.judge import LINEARIZABLE, Verdict, judge
from raftd.check.operations import READS, Op
from raftd.check.writing import header_line, line_of, notice_line
from raftd.client import Client, operations
from tests.chaos import fencing, final
from tests.chaos.catalogue import FAULTS, HANGS, NAMES, Misbehaved, missing
from tests.chaos.fencing import Fencing
from tests.chaos.final import Findings
from tests.chaos.record import Workers, count

Say = Callable[[str], None]
SETTINGS = {"snapshot_entries": "300", "keep_entries": "60", "segment_bytes": "256KiB"}
"""Small, so that a node that was away for some seconds needs a snapshot."""
RECOVERY_SECONDS = 30.0
"""Until a write is answered again after a fault has ended; a longer wait is a failure."""
BEFORE_OPS = 30
"""Answered operations without which a run says nothing."""


@dataclass(frozen=True)
class Options:
    """base: an empty directory. seconds: how long faults go on. hold: of each, from to, seconds."""

    base: Path
    nodes: int = 5
    seconds: float = 600.0
    seed: int = 1
    faults: tuple[str, ...] = ()
    hold: tuple[float, float] = (3.0, 8.0)
    calm: float = 1.0
    processes: int = 2
    mixed: int = 4
    readers: int = 2
    watchers: int = 3
    holders: int = 2
    program: str = ""


@dataclass
class Report:
    verdict: Verdict
    findings: Findings
    hung: int
    phases: int
    longest: tuple[float, str]
    trouble: list[str] = field(default_factory=list)
    fencing: Fencing = field(default_factory=Fencing)

    @property
    def good(self) -> bool:
        return (
            self.verdict.result == LINEARIZABLE
            and self.findings.good
            and not self.hung
            and not self.fencing.stale
            and not self.trouble
        )

    def lines(self) -> list[str]:
        seconds, name = self.longest
        lines = [*self.verdict.lines(), *self.findings.lines(), str(self.fencing)]
        lines += self.fencing.stale[:10]
        lines.append(f"{self.phases} phases; longest silence {seconds:.2f} s, in {name}")
        if self.hung:
            lines.append(
                f"{self.hung} client processes had calls that never came back, or watchers that "
                "never saw the end"
            )
        return lines + self.trouble


class Chaos:
    def __init__(self, options: Options, say: Say) -> None:
        self._options = options
        self._say = say
        self._draw = random.Random(options.seed)
        self._trouble: list[str] = []
        self._longest = (0.0, "no phase")
        self._phases = 0
        self._missing = missing()
        possible = set(options.faults or FAULTS) - set(self._missing)
        self._cluster = ProxiedCluster(
            options.base,
            options.nodes,
            SETTINGS,
            seed=options.seed,
            program=options.program,
            named=NAMES in possible,
            hanging=HANGS in possible,
        )

    @property
    def cluster(self) -> ProxiedCluster:
        """The nodes, configured and not started before `run`."""
        return self._cluster

    def run(self) -> Report:
        """Everything from start to verdict. Ends every process that it started."""
        options, cluster = self._options, self._cluster
        workers: Workers | None = None
        try:
            cluster.start()
            self._begin = time.monotonic()
            workers = Workers(
                options.base,
                cluster.client_endpoints(),
                count=options.processes,
                mixed=options.mixed,
                readers=options.readers,
                watchers=options.watchers,
                holders=options.holders,
                seed=options.seed,
            )
            wait_until(
                lambda: len(workers.catch_up()) >= 0 and len(workers.ops) > BEFORE_OPS,
                30,
                "the first operations",
                cluster.nodes,
            )
            self._torment(workers)
            return self._finish(workers)
        finally:
            if workers is not None:
                workers.kill()
            cluster.close()

    # -- phases ---------------------------------------------------------------------------------

    def _torment(self, workers: Workers) -> None:
        names = self._schedule()
        for name in names:
            if time.monotonic() - self._begin > self._options.seconds:
                return
            try:
                self._phase(name, workers)
            except (NodeTrouble, Misbehaved) as error:
                self._trouble.append(f"{name}: {error}")
                self._say(f"TROUBLE in {name}: {error}")
                return

    def _schedule(self) -> list[str]:
        """Every fault once in each round, in another order each time."""
        wanted = self._options.faults or tuple(FAULTS)
        unknown = [name for name in wanted if name not in FAULTS]
        if unknown:
            raise ValueError(f"no such faults: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
        for name in wanted:
            if name in self._missing:
                self._say(f"skipped: {name}: {self._missing[name]}")
        possible = [name for name in wanted if name not in self._missing]
        if self._options.faults:
            return possible
        return [name for _ in range(1000) for name in self._draw.sample(possible, len(possible))]

    def _phase(self, name: str, workers: Workers) -> None:
        options, cluster = self._options, self._cluster
        self._phases += 1
        begin = time.monotonic()
        ops = workers.catch_up()
        with FAULTS[name](cluster, self._draw) as what:
            time.sleep(self._draw.uniform(*options.hold))
        cluster.start_all()
        healed = time.monotonic()
        back = self._wait_for_a_write(workers, healed, ops)
        cluster.wait_ready(timeout=RECOVERY_SECONDS)
        time.sleep(options.calm * self._draw.uniform(0.5, 1.5))
        end = time.monotonic()
        ops += workers.catch_up()
        counts = count(ops, begin, end)
        self._longest = max(self._longest, (counts.silence, name))
        self._say(
            f"[{begin - self._begin:6.1f} s] {self._phases:3d} {name:16s} {counts}  "
            f"writes {back:5.2f} s after its end  {what}"
        )

    def _wait_for_a_write(self, workers: Workers, healed: float, ops: list[Op]) -> float:
        """Seconds until one that was called after `healed` is answered."""
        answered: list[float] = []

        def look() -> bool:
            fresh = workers.catch_up()
            ops.extend(fresh)
            answered.extend(
                op.ret
                for op in fresh
                if op.outcome == "ok" and op.kind not in READS and op.call >= healed
            )
            return bool(answered)

        wait_until(look, RECOVERY_SECONDS, "a write to be answered again", self._cluster.nodes)
        return min(answered) - healed

    # -- the end --------------------------------------------------------------------------------

    def _finish(self, workers: Workers) -> Report:
        cluster = self._cluster
        cluster.heal()
        for node in cluster.nodes:
            node.resume()
        cluster.start_all()
        hung = workers.stop(self._wait_for_leases)
        try:
            cluster.wait_ready()
            findings = final.look(cluster, workers.ops)
        except NodeTrouble as error:
            self._trouble.append(f"at the end: {error}")
            findings = Findings()
        ops = sorted([*workers.ops, *findings.ops], key=lambda op: op.call)
        history = History(ops, workers.watches)
        self._save(history)
        verdict = judge(history)
        fenced = fencing.look(ops)
        return Report(verdict, findings, hung, self._phases, self._longest, self._trouble, fenced)

    def _wait_for_leases(self) -> None:
        """While watchers look on: who saw it knows which of them ended together."""

        def ended() -> bool:
            return not client.execute(operations.lease_list()).answer.leases

        with Client(self._cluster.client_endpoints(), timeout=RECOVERY_SECONDS) as client:
            wait_until(ended, RECOVERY_SECONDS, "leases to end", self._cluster.nodes)

    def _save(self, history: History) -> None:
        with (self._options.base / "history.jsonl").open("w") as out:
            out.write(header_line() + "\n")
            for number, op in enumerate(history.ops, 2):
                op.line = number
                out.write(line_of(op) + "\n")
            for number, notice in enumerate(history.watches, len(history.ops) + 2):
                notice.line = number
                out.write(notice_line(notice) + "\n")
