"""`python -m tests.sim`: run seeds, print one line; for a failed seed its trace and its replay."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.sim import ledger, states
from tests.sim.cut import KINDS, Cut
from tests.sim.film import film
from tests.sim.shrink import shrink
from tests.sim.swarm import EVENTS, Campaign, Result, report, run_many, run_seed

PROGRESS_SECONDS = 2.0


def main() -> int:
    options = _options()
    cut = cut_of(options)
    if options.shrink:
        return _shrink(options.seed, options.events, cut)
    if options.record:
        return _record(options.record, options.seed, options.events, cut)
    if options.verbose and options.seeds == 1:
        return _replay(options.seed, options.events, cut)
    shown = _Shown(options)
    seeds = range(options.seed, options.seed + options.seeds)
    try:
        left = [seed for seed in seeds if not shown.known(seed)]
        run_many(left, options.events, options.jobs, shown.result, cut)
    except _Stop as stop:
        _say(report(stop.result, options.events))
    except KeyboardInterrupt:
        _say("stopped" + (f"; the same command goes on from {options.log}" if options.log else ""))
    if options.pairs:
        _say(states.table(shown.campaign.stats))
    _say(shown.campaign.summary())
    return 1 if shown.campaign.failures else 0


def parser_of() -> argparse.ArgumentParser:
    """Of this command's options."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    add = parser.add_argument
    add("--seeds", type=int, default=200, help="how many (default %(default)s)")
    add("--seed", type=int, default=1, help="the first one (default %(default)s)")
    add("--events", type=int, default=EVENTS, help="a seed, at least (default %(default)s)")
    add("--jobs", type=int, default=1, help="processes (default %(default)s)")
    add("--verbose", action="store_true", help="a line a seed; of a single one its whole trace")
    add("--keep-going", action="store_true", help="do not stop at the first failed seed")
    add("--pairs", action="store_true", help="how often each fault met each state, at the end")
    add("--log", type=Path, help="keep results in this file, and do not run again what is in it")
    add("--record", type=Path, metavar="FILE", help="film the first seed (docs/page.md); only it")
    add(
        "--shrink",
        action="store_true",
        help="make a failing seed smaller, say how to run it",
    )
    less = parser.add_argument_group("less than the seed's plan, as --shrink prints it")
    add = less.add_argument
    add("--without", type=_kinds, default=(), metavar="KIND,...", help=", ".join(KINDS))
    add("--nodes", type=int, default=0, help="at most")
    add("--clients", type=int, default=0, help="at most")
    add("--ops", type=int, default=0, help="of all clients together, at most")
    add("--dice", type=int, default=0, help="the same plan, other accidents")
    return parser


def _options() -> argparse.Namespace:
    parser = parser_of()
    options = parser.parse_args()
    if options.log and cut_of(options) != Cut():
        parser.error("--log keeps results of whole plans: leave out --without and the like")
    return options


def _kinds(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such kind: {', '.join(unknown)}")
    return names


def cut_of(options: argparse.Namespace) -> Cut:
    """What the options leave out of each seed's plan."""
    return Cut(options.without, options.nodes, options.clients, options.ops, options.dice)


class _Stop(Exception):
    def __init__(self, result: Result) -> None:
        super().__init__(result.seed)
        self.result = result


class _Shown:
    """What is printed and kept while seeds come in."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.campaign = Campaign()
        self._options = options
        self._next = time.perf_counter() + PROGRESS_SECONDS
        self._done = ledger.load(options.log) if options.log else {}
        self._run = 0

    def known(self, seed: int) -> bool:
        """Its result is in the file already; it counts, and is not run again."""
        if seed not in self._done:
            return False
        self.campaign.add(self._done[seed])
        return True

    def result(self, result: Result) -> None:
        options = self._options
        self.campaign.add(result)
        self._run += 1
        if options.log:
            ledger.append(options.log, result)
        if options.verbose:
            verdict = result.invariant or "ok"
            _say(f"seed {result.seed}: {result.events} events, {result.seconds:.1f} s, {verdict}")
        if result.invariant:
            if not options.keep_going:
                raise _Stop(result)
            _say(f"seed {result.seed} broke {result.invariant}: {result.detail}")
        self._progress()

    def _progress(self) -> None:
        if time.perf_counter() < self._next or not sys.stderr.isatty():
            return
        self._next = time.perf_counter() + PROGRESS_SECONDS
        campaign, total = self.campaign, self._options.seeds
        wall = time.perf_counter() - campaign.started
        left = wall / self._run * (total - campaign.seeds)
        bar = ("#" * (30 * campaign.seeds // total)).ljust(30, ".")
        rate = campaign.events / campaign.cpu_seconds if campaign.cpu_seconds else 0.0
        sys.stderr.write(
            f"\r[{bar}] {campaign.seeds}/{total} seeds, {campaign.events} events, "
            f"{rate:.0f}/s, {left:.0f} s left "
        )


def _shrink(seed: int, events: int, cut: Cut) -> int:
    small = shrink(seed, events, cut, _say)
    if small is None:
        _say(f"seed {seed} does not fail: nothing to make smaller")
        return 0
    _say(f"after {small.runs} runs: {small.result.trace[-2]}")
    _say(report(replace(small.result, trace=[]), small.events))
    return 1


def _replay(seed: int, events: int, cut: Cut) -> int:
    result = run_seed(seed, events, lines=1_000_000, hashing=True, cut=cut)
    verdict = result.invariant or "ok"
    _say("\n".join(result.trace))
    _say(f"seed {seed}: {result.events} events, trace sha256 {result.trace_hash}, {verdict}")
    _say(", ".join(f"{name} {count}" for name, count in sorted(result.stats.items())))
    if result.invariant:
        _say(f"broke {result.invariant}: {result.detail}")
    return 1 if result.invariant else 0


def _record(path: Path, seed: int, events: int, cut: Cut) -> int:
    try:
        with path.open("w") as file:
            result = run_seed(seed, events, cut=cut, watch=lambda cluster: film(cluster, file))
            verdict = result.invariant or "ok"
    except OSError as error:
        _say(f"--record {path}: {error.strerror}")
        return 2
    _say(f"seed {seed}: {result.seconds:.1f} simulated seconds in {path}, {verdict}")
    _say('to see it: "Play a file" on the page of any node (docs/page.md)')
    return 1 if result.invariant else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
