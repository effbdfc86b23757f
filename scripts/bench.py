"""Measure raftd, and beside it, in the same run, etcd and PySyncObj where they can be had.

python -m scripts.bench                        the usual parts: some five minutes
python -m scripts.bench --quick                the same, small: a minute or two, proves little
python -m scripts.bench --only rounds honest   some parts
python -m scripts.bench --only flat            ten million commands beside a fresh cluster: long
python -m scripts.bench --only steady          ten minutes of full load: no election
python -m scripts.bench --only growth profile  the tables of docs/performance.md
python -m scripts.bench --only backup          a million keys are backed up while clients write
python -m scripts.bench --only objects         replicated dicts beside PySyncObj's
python -m scripts.bench --only page            what `page: true` costs

Everything is on loopback with real daemons, real files and default settings; processes and files
are gone afterwards, what was built stays under .run/bench. Results go to docs/bench (with --quick
to .run/bench/quick): a table, JSON, a plot. Exits 1 if a claim is missed, 2 if a part could not be
measured.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bench import (
    backups,
    bigstate,
    facts,
    failing,
    flat,
    growth,
    honesty,
    objects,
    paging,
    peers,
    profiling,
    report,
    series,
)
from bench.clusters import BASE, BenchTrouble, Cluster, Etcd, Raftd, etcd_load, raftd_load
from bench.pysync import PySync
from bench.report import Verdict
from harness.nodes import ROOT, NodeTrouble

USUAL = ("rounds", "honest", "fail", "big")
BESIDE_PYSYNCOBJ = frozenset({"rounds", "objects"})  # the header says which version they had
LONG = ("flat", "steady", "growth", "profile", "backup", "objects", "page")
SETTINGS = (
    "three nodes each on loopback, one disk, 256-byte values, every write synced on each node",
    "raftd: all defaults (sessions on); etcd: defaults, 8 GB quota, 4 connections, Go client",
    "PySyncObj: defaults, in memory only (it syncs nothing), load in the leader's own process",
)


class Bench:
    """One run: what was asked for, what was found. One thread."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.quick: bool = options.quick
        self.verdicts: list[Verdict] = []
        self.document: dict[str, Any] = {}
        self.lines: list[str] = []
        self.troubles: list[str] = []
        self.rounds: dict[str, list[series.Figures]] = {}
        self.generator: Path | None = None
        self.pysyncobj: Path | None = None

    def say(self, text: str) -> None:
        """Progress: not part of the result."""
        print(f"  .. {text}", file=sys.stderr, flush=True)

    def tell(self, *lines: str) -> None:
        """Part of the result."""
        self.lines += lines
        for line in lines:
            print(line, flush=True)

    def note(self, line: str) -> None:
        """What is missing: part of the result, too."""
        self.tell(f"note      {line}")

    # -- parts -----------------------------------------------------------------------------

    def part_rounds(self) -> None:
        count, scale = (2, 0.3) if self.quick else (self.options.rounds, 1.0)
        with self._sides() as sides:
            time.sleep(1.0)  # what starting leaves behind
            idle = series.idle(sides, 1.0 if self.quick else 4.0)
            self.rounds = series.rounds(sides, count, scale, self.say)
        self.document |= {"rounds": self.rounds, "idle_cpu_ms_per_s": idle}
        cost = ", ".join(f"{side} {spent:.0f} ms a second" for side, spent in idle.items())
        self.tell("", f"CPU time of three idle nodes: {cost}")
        self.tell("", f"medians of {count} interleaved rounds", *report.series_table(self.rounds))
        self.verdicts += report.series_verdicts(self.rounds)

    @contextlib.contextmanager
    def _sides(self) -> Iterator[series.Sides]:
        sides = series.Sides(Raftd(BASE / "raftd"))
        try:
            sides.raftd.start()
            if self.generator is not None:
                sides.etcd, sides.generator = Etcd(BASE / "etcd"), self.generator
                sides.etcd.start()
            if self.pysyncobj is not None:
                sides.pysyncobj = PySync(self.pysyncobj)
            yield sides
        finally:
            for side in (sides.raftd, sides.etcd, sides.pysyncobj):
                if side is not None:
                    side.stop()

    def part_honest(self) -> None:
        seconds = 1.0 if self.quick else 2.0
        with self._sides() as sides:
            found = {
                "raftd": self._count(
                    sides.raftd,
                    lambda: raftd_load(sides.raftd, op="put", callers=1, seconds=seconds),
                )
            }
            etcd, generator = sides.etcd, sides.generator
            if etcd is not None and generator is not None:
                found["etcd"] = self._count(
                    etcd,
                    lambda: etcd_load(generator, etcd, op="put", clients=1, conns=1, secs=seconds),
                )
        self.document["honest"] = found
        self.tell("", "syncs of one caller's puts, one at a time, counted by the kernel (strace)")
        for side, counts in found.items():
            self.tell(
                f"{side:<10} {counts['ops']:,} puts; fdatasync by node {counts['kernel_fdatasync']}"
                f", claimed {counts['claimed']}; fsync {counts['kernel_fsync']}; "
                f"{counts['wrong']} of {counts['checked']} values differ"
            )
            lies = (not counts["agree"]) + (not counts["majority_synced_each"]) + counts["wrong"]
            text = f"  {side}: syncs agree, a majority synced every put, values are there"
            self.verdicts.append(Verdict(text, lies, "faults", 0, 0, False))

    def _count(self, cluster: Cluster, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return honesty.count_syncs(cluster, load, BASE, exactly=cluster.name == "raftd")

    def part_fail(self) -> None:
        kills = self.options.kills or (3 if self.quick else 15)
        terms = max(2, kills // 3)
        found = failing.raftd_side(kills, terms)
        etcd = []
        if self.generator is not None:
            etcd = failing.etcd_side(self.generator, 1 if self.quick else 3)
        self.document["fail"] = {**found, "etcd": etcd}
        self.tell("", *found["said"].rstrip().splitlines())
        self.verdicts += failing.verdicts(found, etcd)

    def part_big(self) -> None:
        keys, entries, scale = (20_000, 3_000, 0.3) if self.quick else (1_000_000, 100_000, 1.0)
        keys = self.options.keys or keys
        found = bigstate.raftd_side(keys, entries, scale, self.say)
        etcd = None
        if self.generator is not None:
            self.say("the same keys in etcd ...")
            etcd = bigstate.etcd_side(self.generator, keys)
        self.document["big"] = {"raftd": found, "etcd": etcd}
        self.verdicts += bigstate.verdicts(found, etcd)

    def part_flat(self) -> None:
        commands, warm = (200_000, 100_000) if self.quick else (10_000_000, 1_200_000)
        found = flat.measure(commands, warm, 5, 0.2 if self.quick else 1.0, self.say)
        self.document["flat"] = found
        self.verdicts += flat.verdicts(found)

    def part_backup(self) -> None:
        keys = self.options.keys or (20_000 if self.quick else 1_000_000)
        found = backups.measure(keys, 0.3 if self.quick else 1.0, self.say)
        self.document["backup"] = found
        self.verdicts += backups.verdicts(found)

    def part_steady(self) -> None:
        seconds = self.options.seconds or (10 if self.quick else 600)
        cluster, done = Raftd(BASE / "steady"), 0
        try:
            cluster.start()
            term, until = cluster.term(), time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                for op, callers in (("bulk", 2), ("put", 64)):
                    figures = raftd_load(
                        cluster, op=op, callers=callers, seconds=min(30, max(1, left / 2))
                    )
                    done += figures["ops"]
                self.say(f"{done:,} commands, term {cluster.term()}")
            elections = cluster.term() - term
        finally:
            cluster.stop()
        text = f"6 elections in {seconds:g} s of full load, {done:,} commands"
        self.document["steady"] = {"seconds": seconds, "commands": done, "elections": elections}
        self.verdicts.append(Verdict(text, elections, "", 0, 0, False))

    def part_growth(self) -> None:
        self._tables("growth", growth.measure(0.1 if self.quick else 1.0, self.say))

    def part_profile(self) -> None:
        self._tables("profile", profiling.measure(0.3 if self.quick else 1.0, self.say))

    def part_objects(self) -> None:
        count, seconds = (1, 1.0) if self.quick else (self.options.rounds, 3.0)
        found = objects.measure(objects.sides(BASE, self.pysyncobj), count, seconds, self.say)
        self.document["objects"] = found
        title = f"replicated dicts inside programs, medians of {count} interleaved rounds"
        self.tell("", title, *objects.table(found))

    def part_page(self) -> None:
        count, seconds = (2, 0.5) if self.quick else (self.options.rounds, 2.0)
        found = paging.measure(BASE, count, seconds, self.say)
        self.document["page"] = found
        title = f"what the page costs, medians of {count} interleaved rounds"
        self.tell("", title, *paging.table(found))
        self.verdicts += paging.verdicts(found)

    def _tables(self, name: str, found: Iterable[tuple[str, str]]) -> None:
        """Written anew after each one: what is there already survives trouble."""
        path, text = self.out / f"{name}.md", ""
        path.parent.mkdir(parents=True, exist_ok=True)
        for title, table in found:
            self.tell("", title, "", table)
            text += f"### {title}\n\n{table}\n\n"
            path.write_text(text.rstrip() + "\n")

    # -- round them ------------------------------------------------------------------------

    @property
    def out(self) -> Path:
        given: Path | None = self.options.out
        return given or (BASE / "quick" if self.quick else ROOT / "docs" / "bench")

    def run(self) -> int:
        parts: list[str] = self.options.only or list(USUAL)
        notes: list[str] = []
        if set(parts) & set(USUAL) and not self.options.alone:
            self.generator = peers.etcd_generator(notes.append)
        if BESIDE_PYSYNCOBJ & set(parts) and not self.options.alone:
            self.pysyncobj = peers.pysyncobj_python(notes.append)
        header = facts.header(
            BASE,
            peers.etcd_version() if self.generator else None,
            peers.PYSYNCOBJ if self.pysyncobj else None,
        )
        self.document["header"] = header
        self.tell(*facts.header_lines(header, SETTINGS))
        for line in notes:
            self.note(line)
        for part in parts:
            self._measure(part)
        self._finish("-".join(parts) if parts != list(USUAL) else "bench")
        missed = [verdict for verdict in self.verdicts if not verdict.reached(verdict.need)]
        return 2 if self.troubles else 1 if missed else 0

    def _measure(self, part: str) -> None:
        self.say(f"part: {part}")
        try:
            getattr(self, f"part_{part}")()
        except (BenchTrouble, NodeTrouble) as error:
            self.troubles.append(part)
            first, _, rest = str(error).partition("\n")
            self.note(f"part {part} could not be measured: {first}")
            print(rest, file=sys.stderr)

    def _finish(self, name: str) -> None:
        if self.verdicts:
            lines = (verdict.line() for verdict in self.verdicts)
            self.tell("", "ratios are medians of each round's", report.VERDICT_HEAD, *lines)
        report.write_json(self.out / f"{name}.json", self.document, self.verdicts)
        (self.out / f"{name}.txt").write_text("\n".join(self.lines) + "\n")
        if self.rounds:
            header = self.document["header"]
            title = (
                f"raftd {header['raftd']}, etcd {header['etcd'] or facts.NOT_MEASURED}, "
                f"PySyncObj {header['pysyncobj'] or facts.NOT_MEASURED}: "
                f"3 nodes on {header['cores']} cores, fdatasync p50 {header['fdatasync_p50_us']} us"
                "\nmedians, lowest and highest round; 256-byte values"
            )
            report.write_plot(self.out / f"{name}.png", self.rounds, title, self.note)
        self.say(f"written: {self.out}/{name}.*")


def _stop(number: int, _: FrameType | None) -> None:
    """SIGTERM, from `timeout` for instance: every node that we started is to end with us."""
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=[*USUAL, *LONG], metavar="PART",
        help=f"of {', '.join(USUAL)} (the usual ones) and {', '.join(LONG)}")  # fmt: skip
    add("--quick", action="store_true", help="tiny amounts: to see that it works")
    add("--alone", action="store_true", help="raftd only, even if the others could be had")
    add("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    add("--kills", type=int, default=0, help="SIGKILLs of the leader (default 15; the claim: 50)")
    add("--keys", type=int, default=0, help="keys of the big state (default 1,000,000)")
    add("--seconds", type=float, default=0, help="of `steady` (default 600)")
    add("--out", type=Path, help="directory for the results")
    if not Path("/proc/self/stat").exists():
        print("bench: needs Linux (/proc)", file=sys.stderr)
        return 2
    BASE.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _stop)
    return Bench(parser.parse_args(argv)).run()


if __name__ == "__main__":
    sys.exit(main())
