"""A campaign's results in a file, a line a seed, so that it can be stopped and go on later."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tests.sim.swarm import Result


def load(path: Path) -> dict[int, Result]:
    """By seed; empty if there is no such file. A last line that was cut off does not count."""
    results: dict[int, Result] = {}
    if not path.exists():
        return results
    for line in path.read_text().splitlines():
        try:
            held = json.loads(line)
        except json.JSONDecodeError:
            continue
        held.pop("driver", None)  # of files from when there were two drivers
        held["stats"] = Counter(held["stats"])
        results[held["seed"]] = Result(**held)
    return results


def append(path: Path, result: Result) -> None:
    held = {
        "seed": result.seed,
        "events": result.events,
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "stats": result.stats,
        "invariant": result.invariant,
        "detail": result.detail,
    }
    with path.open("a") as file:
        file.write(json.dumps(held) + "\n")
