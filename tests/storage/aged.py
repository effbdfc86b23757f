"""Clusters with a past: segments, snapshots, a node left behind, entries that were overridden."""

from __future__ import annotations

import random

from raftd.core.types import NodeId
from tests.storage.corruption import Base
from tests.storage.member import NAMES, Image, Ledger
from tests.storage.memory_fs import MemoryFileSystem
from tests.storage.trio import Trio


class Aged:
    """One such past, drawn from a seed. behind: cut one node off, perhaps a leader with entries

    that nobody else will ever hear of.
    """

    def __init__(self, seed: int, *, behind: bool) -> None:
        rng = self._rng = random.Random(seed)
        self._behind = behind
        self._number = 0
        order = rng.sample(NAMES, 3)
        disks = {name: MemoryFileSystem() for name in NAMES}
        self._trio = Trio(disks, Ledger(), order, rng.choice((500, 900, 2000, 6000)))

    def base(self) -> Base:
        """Live it."""
        trio, rng = self._trio, self._rng
        trio.start()
        self._live(rng.randrange(4, 16))
        if self._behind:
            self._cut_one_off()
            self._live(rng.randrange(2, 16))
        elif rng.random() < 0.5:
            first = rng.choice(NAMES)
            trio.kill(first)
            self._live(3)
            trio.start(first)
            self._live(3)
        if rng.random() < 0.7:
            trio.idle()
        trio.kill()
        images: dict[NodeId, Image] = {name: trio.disks[name].files() for name in NAMES}
        assert trio.ledger.wrong == []
        return Base(images, trio.ledger, trio.segment_bytes)

    def _live(self, steps: int) -> None:
        trio, rng = self._trio, self._rng
        for _ in range(steps):
            here = len([name for name in trio.up if name not in trio.cut])
            assert trio.commit(self._command(), 20.0, copies=here)
            if rng.random() < 0.25:
                trio.snapshot(rng.choice(sorted(set(trio.up) - trio.cut)))
            if rng.random() < 0.2:
                trio.idle()

    def _command(self) -> bytes:
        self._number += 1
        return b"%d:" % self._number + b"x" * self._rng.choice((0, 30, 100, 300))

    def _cut_one_off(self) -> None:
        trio, rng = self._trio, self._rng
        leader = trio.leader
        assert leader is not None
        alone = leader.name if rng.random() < 0.6 else rng.choice(NAMES)
        trio.cut.add(alone)
        if alone == leader.name:
            for _ in range(rng.randrange(4)):
                trio.propose(self._command())
            trio.run(lambda: trio.leader is not leader, 20.0)
        if rng.random() < 0.3:
            trio.kill(alone)
