"""`python -m tests.mit [--seeds 20] [--only NAME]`: the labs' scenarios over many seeds.

`--real --times 20` runs the main ones on real processes instead, so many times in a row.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.mit.campaign import ALL_PARTS, Row, run_all
from tests.mit.catalogue import scenarios
from tests.mit.real_campaign import run_real
from tests.mit.real_scenarios import REAL

HEADS = ("scenario", "seeds", "events", "worst figure of its limit", "verdict")
FAILURES_SHOWN = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mit", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="each (default %(default)s)")
    parser.add_argument("--seeds-more", type=int, default=0, help="those of 2C and 2D (as --seeds)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (default %(default)s)")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--parts", default=",".join(ALL_PARTS), help="default %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--real", action="store_true", help="real processes on loopback")
    parser.add_argument("--times", type=int, default=20, help="with --real (default %(default)s)")
    options = parser.parse_args()
    options.only = options.only.removeprefix("test_")
    parts = _parts(options)
    known = REAL if options.real else [name for part in parts for name in scenarios(part)]
    if not any(options.only in name for name in known):
        where = "--real" if options.real else f"--parts {','.join(parts) or options.parts}"
        parser.error(f"no scenario has {options.only!r} in its name ({where}): see docs/mit.md")
    return run_real(options.times, options.only) if options.real else _simulated(options)


def _parts(options: argparse.Namespace) -> list[str]:
    return [part for part in ALL_PARTS if part in options.parts.upper().split(",")]


def _simulated(options: argparse.Namespace) -> int:
    began = time.monotonic()
    _say("| " + " | ".join(HEADS) + " |")
    _say("| --- | ---: | ---: | --- | --- |")
    rows: list[Row] = []
    more = options.seeds_more or options.seeds
    parts, only = _parts(options), options.only
    for row in run_all(options.seeds, more, options.seed, only, parts, options.jobs):
        _say("| " + " | ".join(row.cells()) + " |")
        rows.append(row)
    failed = [outcome for row in rows for outcome in row.failures]
    runs, events = sum(row.seeds for row in rows), sum(row.events for row in rows)
    cpu = sum(row.cpu_seconds for row in rows)
    _say(
        f"\nscenarios {len(rows)}, runs {runs}, failed {len(failed)}, events {events}, "
        f"CPU {cpu:.0f} s, wall {time.monotonic() - began:.0f} s"
    )
    for outcome in failed[:FAILURES_SHOWN]:
        chosen = f"--only {outcome.name} --seed {outcome.seed} --seeds 1"
        replay = f".venv/bin/python -m tests.mit {chosen}"
        _say(f"\n{outcome.name} seed {outcome.seed}: {replay}\n{outcome.failure}")
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
