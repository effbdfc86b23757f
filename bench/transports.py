"""Both transports of raftd and etcd, interleaved in one run: what the choice costs and brings.

python -m bench.transports                         every claim, both transports, one table
python -m bench.transports --only rounds idle      some parts: rounds, idle, start, kills
python -m bench.transports --work put1 eput64      some rows of the rounds

Each transport is a cluster of three nodes with a client process on the same transport; etcd runs
beside them. Rows that begin with e are etcd's own Go client, over all endpoints, against either
system. Ratios are medians of each round's. CPU is that of all four processes, in microseconds an
operation: on a busy machine it says more than the rate. Exits 1 if the transport that is the
default misses a claim.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import failing, peers
from bench.clusters import BASE, BenchTrouble, Etcd, Raftd, etcd_load, raftd_load
from bench.facts import cpu_seconds
from bench.report import VERDICT_HEAD, Verdict
from raftd.daemon.process import LOAD_SECONDS

KINDS = ("grpcio", "h2")
JUDGED = "h2"
ETCD = "etcd"
PARTS = ("rounds", "idle", "start", "kills")
STARTS = 5
AFTER_START_SECONDS = LOAD_SECONDS + 3.0
"""Before nodes are idle. The story without it: what a start leaves for later, 0.2 s of CPU a node,
was called what an idle cluster costs.
"""

Figures = dict[str, Any]
Side = Raftd | Etcd
Found = dict[tuple[str, str], list[Figures]]


class Work(NamedTuple):
    """One row. beside: etcd's row that it is compared with. grpc: by etcd's own client."""

    name: str
    text: str
    options: Mapping[str, Any]
    beside: str = ""
    grpc: bool = False


WORKS = (
    Work("put64", "64 blocking callers, puts", {"op": "put", "callers": 64}, "eput64"),
    Work("put256", "256 blocking callers, puts", {"op": "put", "callers": 256}, "eput256"),
    Work("put1", "one caller, puts", {"op": "put", "callers": 1}, "eput1"),
    Work("get64", "64 blocking callers, gets", {"op": "get", "callers": 64}, "eget64"),
    Work("aget64", "64 async callers, gets", {"op": "aget", "callers": 64}, "eget64"),
    Work("bulk", "pipelined puts, 2 callers", {"op": "bulk", "callers": 2}, "eput64"),
    Work("eput64", "64 callers, Put", {"op": "put", "clients": 64}, "eput64", True),
    Work("eput256", "256 callers, Put", {"op": "put", "clients": 256}, "eput256", True),
    Work("eput1", "one caller, Put", {"op": "put", "clients": 1, "conns": 1}, "eput1", True),
    Work("eget64", "64 callers, Range", {"op": "get", "clients": 64}, "eget64", True),
    Work(
        "etxn128", "8 callers, Txn of 128 puts",
        {"op": "txn", "clients": 8, "batch": 128}, "etxn128", True,
    ),
)  # fmt: skip
"""Gets read the keys that put64 and eput64 wrote."""


class Claim(NamedTuple):
    """row against etcd's `beside`, by its rate or by its p50."""

    text: str
    row: str
    beside: str
    key: str
    need: float
    goal: float


CLAIMS = (
    Claim("1 64 blocking callers / etcd, 64", "put64", "eput64", "rate", 3.0, 3.5),
    Claim("1 256 blocking callers / etcd, 256", "put256", "eput256", "rate", 2.6, 3.0),
    Claim("2 one put, p50 / etcd", "put1", "eput1", "p50_ms", 1.05, 0.8),
    Claim("3 gets, 64 blocking callers / etcd, 64", "get64", "eget64", "rate", 4.5, 6.0),
    Claim("3 gets, 64 async callers / etcd, 64", "aget64", "eget64", "rate", 8.0, 10.0),
    Claim("4 pipelined puts / etcd, 64", "bulk", "eput64", "rate", 18.0, 25.0),
    Claim("4 pipelined puts / etcd, txn of 128", "bulk", "etxn128", "rate", 2.5, 3.0),
    Claim("5 etcd API, Put, 64 / etcd", "eput64", "eput64", "rate", 1.2, 1.5),
    Claim("5 etcd API, Put, 256 / etcd", "eput256", "eput256", "rate", 1.7, 2.0),
    Claim("5 etcd API, Put, one client, p50 / etcd", "eput1", "eput1", "p50_ms", 1.3, 1.0),
    Claim("5 etcd API, Range, 64 / etcd", "eget64", "eget64", "rate", 1.6, 2.0),
)
BULK_RATE = 110_000


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    generator = peers.etcd_generator(lambda line: print(f"note: {line}"))
    sides: dict[str, Side] = {
        kind: Raftd(options.base / kind, 3, {"transport": kind}) for kind in KINDS
    }
    if generator is not None:
        sides[ETCD] = Etcd(options.base / ETCD)
    parts: list[str] = options.only or list(PARTS)
    verdicts: list[tuple[str, Verdict]] = []
    try:
        for side in sides.values():
            side.start()
        if "start" in parts:  # before there is state
            verdicts += starts(sides)
        time.sleep(AFTER_START_SECONDS if "idle" in parts else 1.0)
        if "idle" in parts:
            verdicts += idle(sides, options.idle_seconds)
        if "rounds" in parts:
            found = measure(sides, generator, options)
            show(found)
            verdicts += judged(found)
    finally:
        for side in sides.values():
            side.stop()
    if "kills" in parts:
        verdicts += kills(options.kills)
    print(f"\n{'':<8} {VERDICT_HEAD}")
    for kind, verdict in verdicts:
        print(f"{kind:<8} {verdict.line()}")
    missed = [v for kind, v in verdicts if kind == JUDGED and not v.reached(v.need)]
    return 1 if missed else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench.transports",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    add("--work", nargs="+", choices=[work.name for work in WORKS], metavar="ROW")
    add("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    add("--seconds", type=float, default=1.2, help="of each row in each round (default 1.2)")
    add("--idle-seconds", type=float, default=10.0)
    add("--kills", type=int, default=50, help="SIGKILLs of the leader, for each transport")
    add("--base", type=Path, default=BASE / "transports")
    return made


# --- the rounds -----------------------------------------------------------------------------


def measure(
    sides: Mapping[str, Side], generator: Path | None, options: argparse.Namespace
) -> Found:
    found: Found = {}
    works = [work for work in WORKS if not options.work or work.name in options.work]
    wanted = {work.beside for work in works} | {work.name for work in works}
    for turn in range(options.rounds):
        order = list(sides)[turn % len(sides) :] + list(sides)[: turn % len(sides)]
        for work in [work for work in WORKS if work.name in wanted]:
            for side in order:
                figures = one(side, sides[side], work, generator, options.seconds)
                if figures is not None:
                    found.setdefault((work.name, side), []).append(figures)
        print(f"  .. round {turn + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return found


def one(
    side: str, cluster: Side, work: Work, generator: Path | None, seconds: float
) -> Figures | None:
    """None: this side has no such row. Raises BenchTrouble."""
    if work.grpc:
        if generator is None:
            return None
        figures = etcd_load(generator, cluster, secs=seconds, **work.options)
    elif side == ETCD:
        return None
    else:
        figures = raftd_load(cluster, seconds=seconds, transport=side, **work.options)
    if figures["errors"]:
        raise BenchTrouble(f"{side} {work.name}: {figures['errors']} errors: {figures}")
    spent = figures["client_cpu_s"] + sum(figures["server_cpu_s"].values())
    figures["cpu"] = 1e6 * spent / figures["ops"]
    return figures


def show(found: Found) -> None:
    sides = [side for side in (ETCD, *KINDS) if any(side == key[1] for key in found)]
    head = " | ".join(f"{side}: /s, p50 ms, CPU us" for side in sides)
    print(f"| work | {head} | h2 / grpcio: rate, p50, CPU |")
    print("| --- |" + " ---: |" * (len(sides) + 1))
    for work in WORKS:
        cells = [_cell(found.get((work.name, side))) for side in sides]
        old, new = (found.get((work.name, kind)) for kind in KINDS)
        if not old or not new:
            continue
        ratios = ", ".join(f"{ratio(new, old, key):.2f}" for key in ("rate", "p50_ms", "cpu"))
        by = "etcd's client: " if work.grpc else ""
        print(f"| {by}{work.text} | {' | '.join(cells)} | {ratios} |")


def _cell(series: Sequence[Figures] | None) -> str:
    if not series:
        return ""
    rate, p50, cpu = (
        statistics.median(figures[key] for figures in series) for key in ("rate", "p50_ms", "cpu")
    )
    return f"{rate:,.0f}, {p50:.2f}, {cpu:.0f}"


def ratio(above: Sequence[Figures], below: Sequence[Figures], key: str) -> float:
    """Median of the ratios of each round."""
    ratios: list[float] = [a[key] / b[key] for a, b in zip(above, below, strict=True)]
    return statistics.median(ratios)


def judged(found: Found) -> list[tuple[str, Verdict]]:
    verdicts = []
    for claim in CLAIMS:
        below = found.get((claim.beside, ETCD))
        for kind in KINDS:
            above = found.get((claim.row, kind))
            if above and below:
                value = ratio(above, below, claim.key)
                more = claim.key == "rate"
                verdict = Verdict(claim.text, value, "x", claim.need, claim.goal, more)
                verdicts.append((kind, verdict))
    for kind in KINDS:
        if series := found.get(("bulk", kind)):
            rate = statistics.median(figures["rate"] for figures in series)
            verdicts.append((kind, Verdict("4 pipelined puts", rate, "/s", BULK_RATE, None)))
    wrong = sum(figures.get("wrong", 0) for series in found.values() for figures in series)
    checked = sum(figures.get("checked", 0) for series in found.values() for figures in series)
    text = f"  values that differ, of {checked:,} read back"
    return [*verdicts, (JUDGED, Verdict(text, wrong, "", 0, 0, False))]


# --- idle, start, kills ---------------------------------------------------------------------


def idle(sides: Mapping[str, Side], seconds: float) -> list[tuple[str, Verdict]]:
    """Milliseconds of CPU a second, of all nodes together, while nobody asks anything."""

    def spent(side: Side) -> float:
        return sum(map(cpu_seconds, side.pids()))

    before = {name: spent(side) for name, side in sides.items()}
    time.sleep(seconds)
    cost = {name: 1e3 * (spent(side) - before[name]) / seconds for name, side in sides.items()}
    need = cost.get(ETCD)
    return [
        (name, Verdict("6 three idle nodes, ms CPU a second", value, "ms/s",
                       need if name in KINDS else None, None, False))
        for name, value in cost.items()
    ]  # fmt: skip


def starts(sides: Mapping[str, Side]) -> list[tuple[str, Verdict]]:
    """Seconds from the start of a process to serving, with little state; the others stay."""
    verdicts = []
    for kind in KINDS:
        cluster = sides[kind]
        assert isinstance(cluster, Raftd)
        node = cluster.nodes[(cluster.leader() + 1) % len(cluster.nodes)]
        seconds = []
        for _ in range(STARTS):
            node.stop()
            began = time.monotonic()
            node.start()
            while not node.ready():
                if time.monotonic() - began > 60:
                    raise BenchTrouble(f"{kind}: {node.id} does not serve")
                time.sleep(0.005)
            seconds.append(time.monotonic() - began)
        middle = statistics.median(seconds)
        verdicts.append((kind, Verdict("7 restart to serving", middle, "s", 0.6, None, False)))
    return verdicts


def kills(count: int) -> list[tuple[str, Verdict]]:
    """The longest silence round a SIGKILL of the leader under load."""
    verdicts = []
    for kind in KINDS:
        silences = failing.raftd_side(count, 0, kind)["SIGKILL"]
        text = f"8 leader SIGKILL x {len(silences)}: longest silence"
        middle = statistics.median(silences)
        verdicts.append((kind, Verdict(f"{text}, p50", middle, "ms", 40.0, None, False)))
        verdicts.append((kind, Verdict(f"{text}, max", max(silences), "ms", 120.0, None, False)))
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
