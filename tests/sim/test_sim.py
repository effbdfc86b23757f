"""A slice of the simulator, its regression seeds, and whether it is deterministic.

The slice is cut into parts so that xdist can spread it; the parts' counters meet in a file of the
session's temporary directory, and whoever comes last looks at the sum.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim import ledger
from tests.sim.swarm import EVENTS, Campaign, report, run_many, run_seed

SEEDS = 48
PARTS = 12
FIRST_SEED = 1
COVERED = (
    "elections",
    "truncations",
    "event snapshot_installed",
    "resends",
    "range judged",
    "pages after a page",
    "batch judged",
    "cas judged",
    "unknown writes judged",
    "inline writes",
    "submit unknown",
)
COVERED_MIN = 25
HEAVY = frozenset((0, 3, 5))
"""Parts with seeds that live long, half of the time of all: `make test-long` runs them."""
REGRESSIONS = Path(__file__).with_name("seeds.txt")

HASH_SEEDS = 2
HOLDING = (1_060_006, 1_060_018, 1_060_023, 1_060_030)
"""Seeds in which many calls come while a leader is elected."""


def _part(number: int) -> range:
    size = SEEDS // PARTS
    first = FIRST_SEED + number * size
    return range(first, first + size)


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all workers of a run: the parent of each worker's own."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if base.name.startswith("popen-") else base) / "sim-sums"
    place.mkdir(exist_ok=True)
    return place


@pytest.mark.long
@pytest.mark.parametrize("part", sorted(HEAVY))
def test_a_slice_of_long_lives(part: int) -> None:
    campaign = run_many(_part(part))
    _assert_clean(campaign)
    assert campaign.events >= 2_000 * campaign.seeds


@pytest.mark.parametrize("part", sorted({*range(PARTS)} - HEAVY))
def test_slice(part: int, sums: Path) -> None:
    """So many seeds of at least 2,000 events, no violation, and each counter at least 25 in all."""
    campaign = run_many(_part(part))
    _assert_clean(campaign)
    assert campaign.events >= 2_000 * campaign.seeds
    (sums / f"{part}.json").write_text(json.dumps(campaign.stats))
    found = [json.loads(path.read_text()) for path in sorted(sums.glob("*.json"))]
    if len(found) == PARTS - len(HEAVY):
        for name in COVERED:
            total = sum(stats.get(name, 0) for stats in found)
            assert total >= COVERED_MIN, (
                f"{name}: {total} over {SEEDS} seeds: the slice shows too little"
            )


def test_calls_that_are_held_while_a_leader_is_elected() -> None:
    """What is held is answered once, in order, and as late reads must be."""
    campaign = run_many(HOLDING, events=1_000)
    _assert_clean(campaign)
    assert campaign.stats.get("held for a leader", 0) >= COVERED_MIN


def _assert_clean(campaign: Campaign) -> None:
    assert not campaign.failures, "\n" + report(campaign.failures[0])


def _regressions() -> list[int]:
    """Those that the slice in `make test` does not run anyway."""
    lines = REGRESSIONS.read_text().splitlines()
    seeds = [int(line.split()[0]) for line in lines if line and not line.startswith("#")]
    sliced = {seed for part in {*range(PARTS)} - HEAVY for seed in _part(part)}
    return [seed for seed in seeds if seed not in sliced]


LONG_LIVED = frozenset((1040499,))
"""Seeds that once failed and take more than a minute."""


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=pytest.mark.long if seed in LONG_LIVED else ())
        for seed in _regressions()
    ],
)
def test_a_seed_that_once_failed(seed: int) -> None:
    _assert_clean(run_many([seed]))


def test_same_seed_same_trace_under_another_hash_seed() -> None:
    """Nothing may depend on the order of a set or on hash(): traces are compared byte for byte."""
    script = (
        "from tests.sim.swarm import run_seed\n"
        f"print([run_seed(s, 800, hashing=True).trace_hash for s in range(1, {HASH_SEEDS + 1})])"
    )
    outputs = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].count("'") == 2 * HASH_SEEDS


def test_a_failed_seed_says_how_to_replay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report of a planted violation: trace, plan, name of the invariant, command."""
    from tests.sim.checkers import Checkers

    def always(self: Checkers, *_: object) -> None:
        self.fail("planted", "by this test")

    monkeypatch.setattr(Checkers, "synced", always)
    result = run_seed(7)
    text = report(result)
    assert result.invariant == "planted"
    assert "replay: .venv/bin/python -m tests.sim --seed 7 --seeds 1 --verbose" in text
    assert "plan: " in text
    assert EVENTS >= 2_000


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    first = run_seed(3, 300)
    ledger.append(path, first)
    with path.open("a") as file:
        file.write('{"seed": 4, "ev')  # cut off in the middle of a line
    held = ledger.load(path)
    assert list(held) == [3]
    assert held[3].events == first.events
    assert held[3].stats["elections"] == first.stats["elections"]
