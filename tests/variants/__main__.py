"""The variants of elections that Raft's literature discusses, measured: how long to a leader, and
how many vote messages. Prints the tables of docs/variants.md.

    python -m tests.variants                 all (about fifteen minutes on two cores)
    python -m tests.variants --only sim --nodes 3 --elections 10

The simulator runs every combination; real processes the default and each single change. A cell of
the simulator's is `time p50/p90 (campaign p50/p90) messages p50/p90`: milliseconds from the fault,
and from the first request for a vote, to a leader; then requests and answers, pre-votes included.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from harness.nodes import ROOT, NodeTrouble
from raftd.core.types import Settings
from tests.variants.real import cold_start, silent_leaders
from tests.variants.sim import Election, elections, variant

LOSSES = (0.0, 0.1, 0.3)
BASE = ROOT / ".run" / f"variants-{os.getpid()}"
DEFAULTS = Settings()
SEEDS = 2


@dataclass(frozen=True)
class Variant:
    prevote: bool = True
    self_vote_last: bool = False
    concede: bool = True
    short_retry: bool = True

    def settings(self) -> Settings:
        return variant(
            DEFAULTS,
            prevote=self.prevote,
            self_vote_last=self.self_vote_last,
            concede=self.concede,
            short_retry=self.short_retry,
        )

    def config(self) -> dict[str, str]:
        """As lines of a configuration."""
        made = {
            "prevote": str(self.prevote).lower(),
            "self_vote_last": str(self.self_vote_last).lower(),
            "concede": str(self.concede).lower(),
        }
        if not self.short_retry:
            made["candidate_retry_min"] = f"{DEFAULTS.election_timeout_min * 1000:.0f}ms"
            made["candidate_retry_max"] = f"{DEFAULTS.election_timeout_max * 1000:.0f}ms"
        return made

    def words(self) -> str:
        return " | ".join(
            (
                "yes" if self.prevote else "no",
                "last" if self.self_vote_last else "first",
                "yes" if self.concede else "no",
                "short" if self.short_retry else "long",
            )
        )


HEAD = "| prevote | own vote | concede | retry |"
EVERY = [
    Variant(prevote, last, concede, short)
    for prevote, last, concede, short in itertools.product(
        (True, False), (False, True), (True, False), (True, False)
    )
]
SINGLE = [
    Variant(),
    Variant(self_vote_last=True),
    Variant(concede=False),
    Variant(short_retry=False),
    Variant(prevote=False),
]


@dataclass(frozen=True)
class Cell:
    """One measurement, small enough to be sent to another process."""

    variant: Variant
    nodes: int
    loss: float
    killed: bool
    elections: int

    def run(self) -> list[Election]:
        found = []
        for seed in range(1, SEEDS + 1):
            count = self.elections // SEEDS
            found += elections(
                self.variant.settings(), self.nodes, self.loss, self.killed, count, seed
            )
        return found


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    began = time.monotonic()
    try:
        if arguments.only != "processes":
            _simulate(arguments)
        if arguments.only != "sim":
            _on_processes(arguments)
    except NodeTrouble as error:
        print(f"variants: {error}", file=sys.stderr)
        return 1
    print(f"took {time.monotonic() - began:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.variants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", choices=("sim", "processes"), help="one of the two parts")
    add("--nodes", type=int, nargs="+", default=[3, 5, 7], help="sizes (default 3 5 7)")
    add("--elections", type=int, default=40, help="per cell, simulated (default 40)")
    add("--repeats", type=int, default=5, help="per variant, real processes (default 5)")
    add("--jobs", type=int, default=2, help="processes that simulate (default 2)")
    return parser


def _simulate(arguments: argparse.Namespace) -> None:
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for killed, nodes in itertools.product((False, True), arguments.nodes):
            fault = "dies (its connections break)" if killed else "falls silent"
            print(f"\n**{nodes} nodes, the leader {fault}**\n")
            print(HEAD, " | ".join(f"{loss:.0%} loss" for loss in LOSSES), "|")
            print("| --- " * (4 + len(LOSSES)) + "|")
            cells = [
                Cell(made, nodes, loss, killed, arguments.elections)
                for made in EVERY
                for loss in LOSSES
            ]
            found = pool.map(Cell.run, cells)
            for made in EVERY:
                row = [_cell(next(found)) for _ in LOSSES]
                print(f"| {made.words()} | {' | '.join(row)} |", flush=True)


def _cell(found: Sequence[Election]) -> str:
    total = _spread(one.seconds * 1000 for one in found)
    campaign = _spread(one.campaign * 1000 for one in found)
    return f"{total} ({campaign}) {_spread(one.messages for one in found)}"


def _on_processes(arguments: argparse.Namespace) -> None:
    print("\n**3 real processes, ms to a leader: p50 (max)**\n")
    print(HEAD, "cold start | SIGSTOP of the leader |")
    print("| --- " * 6 + "|")
    for made in SINGLE:
        cold = [cold_start(BASE, made.config()) for _ in range(arguments.repeats)]
        silent = silent_leaders(BASE, made.config(), arguments.repeats)
        print(f"| {made.words()} | {_worst(cold)} | {_worst(silent)} |", flush=True)


def _worst(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ({max(seconds) * 1000:.0f})"


def _spread(values: Iterable[float]) -> str:
    """p50/p90."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):.0f}/{ordered[math.ceil(0.9 * len(ordered)) - 1]:.0f}"


if __name__ == "__main__":
    sys.exit(main())
