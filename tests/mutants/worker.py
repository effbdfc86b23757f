"""One mutant in a process of its own: `python -m tests.mutants.worker NAME --seeds N`; prints
JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from tests.mutants.catalogue import MUTANTS
from tests.mutants.patching import install
from tests.mutants.planted import Mutant


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    mutant = next(m for m in MUTANTS if m.name == options.name)
    install(mutant.patches)
    found: dict[str, Any] = {
        "name": mutant.name,
        "by": "",
        "seeds": 0,
        "events": 0,
        "others": {},
        "detail": "",
    }
    if mutant.scripts:
        _scripts(found, mutant.scripts)
    if not found["by"] and mutant.invariants:
        _seeds(found, mutant, range(options.seed, options.seed + options.seeds))
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _scripts(found: dict[str, Any], names: tuple[str, ...]) -> None:
    from tests.core.golden import SCRIPTS, parse, play, render

    for name in names:
        text = (SCRIPTS / f"{name}.txt").read_text()
        try:
            same = render(play(parse(text))) == text
        except Exception as error:  # noqa: BLE001 - a mutant may break anything
            same, found["detail"] = False, f"{type(error).__name__}: {error}"
        if not same:
            found["by"] = f"script {name}"
            return


def _seeds(found: dict[str, Any], mutant: Mutant, seeds: range) -> None:
    """Until an invariant of the mutant's own is broken; others on the way are counted."""
    from tests.sim.cut import Cut
    from tests.sim.swarm import run_seed

    for seed in seeds:
        result = run_seed(seed, cut=Cut(driver=mutant.driver))
        found["seeds"] += 1
        found["events"] += result.events
        if result.invariant in mutant.invariants:
            found["by"], found["detail"] = result.invariant, result.detail[:300]
            return
        if result.invariant:
            found["others"][result.invariant] = found["others"].get(result.invariant, 0) + 1
            found["detail"] = result.detail[:600]


if __name__ == "__main__":
    sys.exit(main())
