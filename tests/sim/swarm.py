"""Many seeds: run them, add up what they reached, and say how to replay the one that failed."""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from raftd.core.effects import BrokenInvariant, ImpossibleMessage
from tests.sim.cluster import Cluster
from tests.sim.cut import Cut
from tests.sim.plan import draw
from tests.sim.world import Violation

EVENTS = 4_000
TRACE_SHOWN = 200
OPS_MEANINGFUL = 10
"""A seed that did less is counted as idle: it says little."""

GARBAGE_OBJECTS = 50_000
"""New objects before the collector looks: a seed keeps most of what it makes, in its history."""

WHOLE = Cut()

COVERAGE = (
    ("elections", "elections"),
    ("truncations", "truncations"),
    ("snapshots installed", "event snapshot_installed"),
    ("resends", "resends"),
    ("dedup hits", "dedup hits"),
    ("torn tails", "torn tails"),
    ("tails lost", "tails lost"),
    ("read retries", "read retries"),
    ("step-downs", "step-downs"),
    ("crashes", "crashes"),
    ("power cuts", "power cuts"),
    ("partitions", "partitions"),
    ("ops judged", "ops judged"),
    ("ranges judged", "range judged"),
    ("pages after a page", "pages after a page"),
    ("batches judged", "batch judged"),
    ("cas judged", "cas judged"),
    ("unknown writes judged", "unknown writes judged"),
    ("inline writes", "inline writes"),
    ("outcomes unknown", "submit unknown"),
    ("states digested", "states digested"),
    ("idle seeds", "idle seeds"),
)
"""What a campaign must have reached, under the name in the summary and in the counters."""


@dataclass(slots=True)
class Result:
    """One seed. `invariant`: the name of what was broken, empty if nothing was."""

    seed: int
    events: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    stats: Counter[str] = field(default_factory=Counter)
    invariant: str = ""
    detail: str = ""
    trace: list[str] = field(default_factory=list)
    trace_hash: str = ""
    cut: Cut = WHOLE


def run_seed(
    seed: int,
    events: int = EVENTS,
    *,
    hashing: bool = False,
    lines: int = TRACE_SHOWN,
    cut: Cut = WHOLE,
    watch: Callable[[Cluster], object] = lambda _: None,
) -> Result:
    """Run one seed to its end or to its first violation. watch: sees the cluster before it runs."""
    plan = draw(seed)
    cut.apply(plan)
    began = time.process_time()
    cluster = Cluster(cut.world_seed(seed), plan, hashing=hashing, trace_lines=lines)
    watch(cluster)
    result = Result(seed, cut=cut)
    thresholds = gc.get_threshold()
    gc.set_threshold(GARBAGE_OBJECTS, *thresholds[1:])
    try:
        cluster.run(events)
    except Violation as error:
        result.invariant, result.detail = error.name, error.detail
    except (BrokenInvariant, ImpossibleMessage) as error:  # nobody here forges a message
        result.invariant, result.detail = "core-asserts", str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's verdict
        result.invariant = "crash"
        result.detail = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-6)}"
    finally:
        gc.set_threshold(*thresholds)
        cluster.abandon()
    world = cluster.world
    result.events, result.seconds, result.stats = world.events, world.now, world.stats
    result.cpu_seconds = time.process_time() - began
    if hashing:
        result.trace_hash = world.trace_hash()
    if result.invariant or lines > TRACE_SHOWN:
        result.trace = world.last_lines(lines)
        result.trace.append(f"plan: {plan.summary()}")
        result.trace.append(f"state: {cluster.describe()}")
    result.stats["ops begun"] += len(cluster.history.ops)
    result.stats["idle seeds"] += result.stats["ops done"] < OPS_MEANINGFUL
    return result


@dataclass(slots=True)
class Campaign:
    """The sum over seeds. `wall_seconds` is what it took, `cpu_seconds` on all cores together."""

    seeds: int = 0
    events: int = 0
    simulated_seconds: float = 0.0
    cpu_seconds: float = 0.0
    stats: Counter[str] = field(default_factory=Counter)
    failures: list[Result] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    jobs: int = 1

    def add(self, result: Result) -> None:
        self.seeds += 1
        self.events += result.events
        self.simulated_seconds += result.seconds
        self.cpu_seconds += result.cpu_seconds
        self.stats.update(result.stats)
        if result.invariant:
            self.failures.append(result)

    def summary(self) -> str:
        wall = time.perf_counter() - self.started
        rate = self.events / self.cpu_seconds if self.cpu_seconds else 0.0
        parts = [
            f"seeds {self.seeds}",
            f"events {self.events}",
            f"events/s of CPU {rate:.0f}",
            f"wall {wall:.0f} s",
            f"simulated {self.simulated_seconds:.0f} s",
        ]
        parts += [f"{name} {self.stats[key]}" for name, key in COVERAGE]
        parts.append(f"violations {len(self.failures)}")
        return ", ".join(parts)


def report(result: Result, events: int = EVENTS) -> str:
    """All that is needed to look at a failed seed."""
    lines = [*result.trace, f"seed {result.seed} broke {result.invariant}: {result.detail}"]
    extra = f" --events {events}" if events != EVENTS else ""
    extra += result.cut.options()
    again = f".venv/bin/python -m tests.sim --seed {result.seed}"
    lines.append(f"replay: {again} --seeds 1 --verbose{extra}")
    lines.append(f"make it smaller: {again} --shrink{extra}")
    return "\n".join(lines)


def run_many(
    seeds: Iterable[int],
    events: int = EVENTS,
    jobs: int = 1,
    on_result: Callable[[Result], None] | None = None,
    cut: Cut = WHOLE,
) -> Campaign:
    campaign = Campaign(jobs=jobs)
    for result in _results(seeds, events, jobs, cut):
        campaign.add(result)
        if on_result is not None:
            on_result(result)
    return campaign


def _results(seeds: Iterable[int], events: int, jobs: int, cut: Cut) -> Iterator[Result]:
    run = partial(run_seed, events=events, cut=cut)
    if jobs <= 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(min(jobs, os.cpu_count() or 1)) as pool:
        yield from pool.map(run, list(seeds), chunksize=4)
