"""The machine of a process: what it costs in time, when it hangs, and whose it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from raftd.core.types import SnapshotMeta
from raftd.node.snapshot_worker import SnapshotWorker

if TYPE_CHECKING:
    from tests.sim.process import Process

QUERY_SHARE = 0.2
"""Of what an entry costs, for a query or a capture."""


class MachineSide:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._plan = process.plan
        self.away = False
        """It is with raft-snapshot: a snapshot is being restored into it."""
        self.hangs_until = 0.0

    def watch(self, snapshot_worker: SnapshotWorker) -> None:
        """From `restore` until its `then` the machine is raft-snapshot's, and nobody else's."""
        restore = snapshot_worker.restore

        def watched(meta: SnapshotMeta, then: Callable[[], None]) -> None:
            self.away = True

            def over() -> None:
                self.away = False
                then()

            restore(meta, over)

        cast(Any, snapshot_worker).restore = watched

    def used(self, what: str, share: float = QUERY_SHARE) -> None:
        """Its owner uses it. That takes time; all of it that it hangs for, if it hangs."""
        process = self._process
        process.checkers.one_owner(process.node.name, what, away=self.away)
        process.spent += process.rng.random() * share * self._plan.apply_delay / 4
        left = self.hangs_until - process.world.now - process.spent
        if left > 0:
            process.world.stats["machine hung"] += 1
            process.spent += left

    def restore_seconds(self) -> float:
        """What the job that is next on raft-snapshot takes on top, if it restores."""
        return self._process.rng.random() * self._plan.rare.restore_seconds if self.away else 0.0
