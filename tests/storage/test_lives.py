"""The log against a dictionary: random lives with crashes in them."""

from __future__ import annotations

import os
import random
from contextlib import suppress

from raftd.core.types import HardState
from tests.conftest import Count
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation, PowerCut
from tests.storage.model import Session, entry

SEEDS = range(2000 if os.environ.get("RAFTD_SOAK") else 60)


WEIGHTS = {
    "append": 30,
    "override": 6,
    "state": 6,
    "idle": 12,
    "snapshot": 4,
    "install": 1,
    "release": 5,
    "stop": 3,
    "cut": 5,
}


def random_life(seed: int, steps: int) -> dict[str, int]:
    rng = random.Random(seed)
    fs = MemoryFileSystem(sector_bytes=rng.choice((16, 64, 512)))
    session = Session(fs, rng.choice((1, 300, 700, 2000, 5000)))
    session.open()
    seen: dict[str, int] = {}
    for _ in range(steps):
        name = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
        seen[name] = seen.get(name, 0) + 1
        if name == "cut":
            left = rng.randrange(6)

            def hook(operation: Operation) -> None:
                nonlocal left
                left -= operation.name in CHANGING
                if left < 0:
                    fs.cut_power()

            fs.before = hook
            name = rng.choice(("append", "snapshot", "override", "stop"))
        with suppress(PowerCut):
            one_step(session, rng, name)
        if fs.before is not None:
            session.power_cut(rng) if rng.random() < 0.8 else session.kill()
            session.open()
    return seen


def one_step(session: Session, rng: random.Random, name: str) -> None:
    model = session.acked
    term = model.hard_state.term + (rng.random() < 0.2)
    if name in ("append", "override"):
        first = model.last + 1
        if name == "override" and model.last > model.floor:
            first = rng.randrange(model.floor + 1, model.last + 1)
        writes = []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            n = rng.choice((1, 1, 2, 5))
            new = tuple(
                entry(first + i, term, rng.choice((0, 10, 100, 600)), rng.randrange(1000))
                for i in range(n)
            )
            writes.append(session.write(entries=new))
            first += n
        session.commit(*writes)
    elif name == "state":
        peer = rng.choice(("n2", "n3"))
        session.commit(
            session.write(
                hard_state=HardState(term, rng.choice((None, "n1", "n2"))),
                records=((peer, f"{rng.randrange(99)}"),) if rng.random() < 0.3 else (),
                admitted=rng.random() < 0.3,
            )
        )
    elif name == "idle":
        session.live.wal.idle()
    elif name == "snapshot" and model.last > model.floor:
        index = rng.randrange(model.floor + 1, model.last + 1)
        known = model.entries.get(index)
        session.mark(session.snapshot(index, term if known is None else known.term))
    elif name == "install":
        index = model.floor + rng.randrange(1, 30)
        meta = session.snapshot(index, term, received=True)
        session.mark(meta, reset=index <= model.last or rng.random() < 0.5)
    elif name == "release":
        session.live.wal.release(max(0, model.floor - rng.choice((0, 0, 3))))
    elif name == "stop":
        session.close()
        session.open()


def test_random_lives_against_a_dictionary(count: Count) -> None:
    total: dict[str, int] = {}
    for seed in SEEDS:
        for name, times in random_life(seed, 80).items():
            total[name] = total.get(name, 0) + times
    assert min(total.values()) > 20
    count("random lives: lives", len(SEEDS))
    count("random lives: steps", sum(total.values()))
    count("random lives: power cuts on the way", total["cut"])
