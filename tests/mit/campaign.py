"""Every scenario over many seeds, on several processes; one row for each scenario."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

from raftd.core.effects import BrokenInvariant, ImpossibleMessage
from tests.mit.catalogue import PARTS, scenarios
from tests.mit.records import RUNS, Figure
from tests.sim.world import Violation

ALL_PARTS = tuple(PARTS)
LINES_SHOWN = 60


@dataclass(slots=True)
class Outcome:
    """One scenario on one seed. failure: empty, or why and the last lines of the trace."""

    name: str
    seed: int
    events: int = 0
    cpu_seconds: float = 0.0
    figures: list[Figure] = field(default_factory=list)
    failure: str = ""


@dataclass(slots=True)
class Row:
    """One scenario on all its seeds. worst: per figure, the one that is nearest to its limit."""

    name: str
    seeds: int = 0
    events: int = 0
    cpu_seconds: float = 0.0
    worst: dict[str, Figure] = field(default_factory=dict)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.events += outcome.events
        self.cpu_seconds += outcome.cpu_seconds
        if outcome.failure:
            self.failures.append(outcome)
        for figure in outcome.figures:
            known = self.worst.get(figure.name)
            if known is None or figure.value > known.value:
                self.worst[figure.name] = figure

    def cells(self) -> tuple[str, ...]:
        figures = [f"{f.name} {_short(f.value)} of {_short(f.limit)}" for f in self.worst.values()]
        verdict = "pass"
        if self.failures:
            seeds = sorted(outcome.seed for outcome in self.failures)
            verdict = f"FAIL on {len(seeds)} (seeds {', '.join(map(str, seeds[:8]))})"
        name = self.name.removeprefix("test_")
        return name, str(self.seeds), str(self.events), "; ".join(figures), verdict


def _short(value: float) -> str:
    return f"{value:.3g}" if value % 1 and value < 100 else f"{value:,.0f}"


def run_one(part: str, name: str, seed: int) -> Outcome:
    RUNS.clear()
    outcome = Outcome(name, seed)
    began = time.process_time()
    try:
        scenarios(part)[name](seed)
    except (AssertionError, Violation, BrokenInvariant, ImpossibleMessage) as error:
        outcome.failure = _explained(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's verdict
        outcome.failure = _explained(error) + traceback.format_exc(limit=-6)
    outcome.cpu_seconds = time.process_time() - began
    for run in RUNS:
        outcome.events += run.events
        outcome.figures.extend(run.figures)
    return outcome


def _explained(error: BaseException) -> str:
    lines = "\n".join(getattr(error, "__notes__", ())).splitlines()
    return "\n".join([f"{type(error).__name__}: {error}", *lines[:1], *lines[1:][-LINES_SHOWN:]])


def run_all(
    seeds: int, seeds_more: int, first_seed: int, only: str, parts: Iterable[str], jobs: int
) -> Iterator[Row]:
    """Rows in order. 2C and 2D get `seeds_more`, the others `seeds`."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for part in parts:
            count = seeds_more if part in ("2C", "2D") else seeds
            names = [name for name in scenarios(part) if only in name]
            yield from _run_part(pool, part, names, range(first_seed, first_seed + count))


def _run_part(
    pool: ProcessPoolExecutor, part: str, names: list[str], seeds: range
) -> Iterator[Row]:
    jobs = {name: [pool.submit(run_one, part, name, seed) for seed in seeds] for name in names}
    for name, futures in jobs.items():
        row = Row(name)
        for future in as_completed(futures):
            row.add(future.result())
        yield row
