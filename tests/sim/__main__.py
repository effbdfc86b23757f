"""`python -m tests.sim`: run seeds, print one line, and for a failed seed its trace and how to
replay it.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.sim.swarm import EVENTS, Campaign, Result, report, run_many, run_seed

PROGRESS_SECONDS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (default %(default)s)")
    parser.add_argument(
        "--events", type=int, default=EVENTS, help="a seed, at least (default %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default %(default)s)")
    parser.add_argument(
        "--verbose", action="store_true", help="a line a seed; the whole trace of a single one"
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="do not stop at the first failed seed"
    )
    options = parser.parse_args()
    if options.verbose and options.seeds == 1:
        return _replay(options.seed, options.events)
    shown = _Shown(options.verbose, options.keep_going, options.seeds)
    seeds = range(options.seed, options.seed + options.seeds)
    try:
        campaign = run_many(seeds, options.events, options.jobs, shown.result)
    except _Stop as stop:
        return _fail(stop.result, options.events, shown.campaign)
    _say(campaign.summary())
    return 1 if campaign.failures else 0


class _Stop(Exception):
    def __init__(self, result: Result) -> None:
        super().__init__(result.seed)
        self.result = result


class _Shown:
    """What is printed while seeds come in."""

    def __init__(self, verbose: bool, keep_going: bool, total: int) -> None:
        self.campaign = Campaign()
        self._verbose = verbose
        self._keep_going = keep_going
        self._total = total
        self._next = time.perf_counter() + PROGRESS_SECONDS

    def result(self, result: Result) -> None:
        self.campaign.add(result)
        if self._verbose:
            _say(
                f"seed {result.seed}: events {result.events}, {result.seconds:.1f} s, "
                f"{result.invariant or 'ok'}"
            )
        if result.invariant:
            if not self._keep_going:
                raise _Stop(result)
            _say(f"seed {result.seed} broke {result.invariant}: {result.detail}")
        if time.perf_counter() > self._next and sys.stderr.isatty():
            self._next = time.perf_counter() + PROGRESS_SECONDS
            wall = time.perf_counter() - self.campaign.started
            left = wall / self.campaign.seeds * (self._total - self.campaign.seeds)
            sys.stderr.write(f"\r{self.campaign.seeds}/{self._total} seeds, {left:.0f} s left ")


def _replay(seed: int, events: int) -> int:
    result = run_seed(seed, events, lines=1_000_000, hashing=True)
    _say("\n".join(result.trace))
    _say(
        f"seed {seed}: events {result.events}, trace sha256 {result.trace_hash}, "
        f"{result.invariant or 'ok'}"
    )
    _say(", ".join(f"{name} {count}" for name, count in sorted(result.stats.items())))
    if result.invariant:
        _say(f"broke {result.invariant}: {result.detail}")
    return 1 if result.invariant else 0


def _fail(result: Result, events: int, campaign: Campaign) -> int:
    _say(report(result, events))
    _say(campaign.summary())
    return 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
