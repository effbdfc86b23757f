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
    run = _campaign if mutant.in_store else _simulator
    for seed in seeds:
        events, invariant, detail = run(seed)
        found["seeds"] += 1
        found["events"] += events
        if invariant in mutant.invariants:
            found["by"], found["detail"] = invariant, detail[:300]
            return
        if invariant:
            found["others"][invariant] = found["others"].get(invariant, 0) + 1
            found["detail"] = detail[:600]


def _simulator(seed: int) -> tuple[int, str, str]:
    from tests.sim.swarm import run_seed

    result = run_seed(seed)
    return result.events, result.invariant, result.detail


def _campaign(seed: int) -> tuple[int, str, str]:
    from tests.machine.auth_campaign import AuthCampaign
    from tests.machine.campaign import Campaign
    from tests.machine.watch_rules import BrokenRule

    campaign, auth = Campaign(seed), AuthCampaign(seed)
    try:
        auth.run()
        campaign.run()
    except BrokenRule as broken:
        return campaign.stats["events"], broken.rule, broken.detail
    except Exception as error:  # noqa: BLE001 - a mutant may break anything
        return campaign.stats["events"], "crash", f"{type(error).__name__}: {error}"
    return campaign.stats["events"], "", ""


if __name__ == "__main__":
    sys.exit(main())
