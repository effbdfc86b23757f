"""`python -m tests.mutants [--only NAME] [--seeds N] [--jobs N]`: who caught which planted bug,
after how many seeds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.mutants.catalogue import MUTANTS
from tests.mutants.planted import Mutant


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument(
        "--seeds", type=int, default=500, help="at most, per mutant (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the first one (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default %(default)s)")
    parser.add_argument("--first", type=int, default=len(MUTANTS), help="only the first so many")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if options.only in m.name][: options.first]
    missed = 0
    sys.stdout.write(f"{'mutant':40} {'caught by':28} {'seeds':>6} {'events':>9}\n")
    for found in run(chosen, options.seeds, options.seed, options.jobs):
        missed += not found["by"]
        others = ", ".join(f"{name} {count}" for name, count in found["others"].items())
        note = f"  also: {others}" if others else ""
        if not found["by"]:
            note += f"  {found['detail']}"
        row = f"{found['name']:40} {found['by'] or 'NOT CAUGHT':28} "
        row += f"{found['seeds']:6} {found['events']:9}{note}"
        sys.stdout.write(row + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"mutants {len(chosen)}, caught {len(chosen) - missed}, missed {missed}\n")
    return 1 if missed else 0


def run(mutants: list[Mutant], seeds: int, first_seed: int, jobs: int) -> Iterator[dict[str, Any]]:
    """Results in the order of `mutants`, each found in a process of its own."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda mutant: run_one(mutant, seeds, first_seed), mutants)


def run_one(mutant: Mutant, seeds: int, first_seed: int = 1) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.mutants.worker", mutant.name]
    command += ["--seeds", str(seeds), "--seed", str(first_seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        failed = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no output"
        return {
            "name": mutant.name,
            "by": "",
            "seeds": 0,
            "events": 0,
            "others": {},
            "detail": failed,
        }
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
