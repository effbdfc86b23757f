"""The disk of a process: the log that ships writes and syncs; slow, full, hung, or the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raftd.core.types import Write
from raftd.storage.errors import CorruptSnapshot, NoSpace

if TYPE_CHECKING:
    from tests.sim.process import Process

FULL_SECONDS_MAX = 1.0
TAIL = 0.1
"""Share of the syncs of a node whose tail may go bad after which it dies."""
UNMARKED = 0.008
"""Within so many seconds."""
PROBE = 0.004
"""Share of the syncs after which a recovery of the synced bytes alone is tried."""


class DiskSide:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world
        self._node = process.node

    def commit(self, writes: list[Write]) -> None:
        """On whichever thread has claimed the log."""
        process, node, wal = self._process, self._node, self._process.wal
        if not wal.working:
            self._world.stats["inline writes"] += 1
            process.checkers.network_waits(node.name, wal.seconds)
            if node.doomed == "log":
                process.crash("in a commit that is waited for")
        else:
            process.settle()
        process.spent += wal.seconds
        process.checkers.nothing_after_a_gap(node.name, writes)
        process.checkers.in_order(node.name, writes)
        try:
            with self.ill_will():
                process.stores.wal.commit(writes)
        except NoSpace:
            self._world.stats["disk full"] += 1
            if process.stop_under_way is not None:
                process.checkers.gives_up(node.name, writes)
            raise
        self._world.stats["syncs"] += 1
        self._world.trace(node.name, f"synced #{writes[-1].seq}")
        process.checkers.synced(node.name, writes)
        self._die_soon()
        if node.disk.rng.random() < PROBE:
            self._probe()

    def _die_soon(self) -> None:
        """Now and then: what was synced last can go bad unseen only before a mark follows it."""
        node = self._node
        tails = node.cluster.plan.rare.tails
        if not tails or node.disk.calm or node.disk.rng.random() >= TAIL * tails:
            return
        if node.cluster.may_spoil(node):
            self._world.after(node.disk.rng.random() * UNMARKED, self._die, node.process)

    def _die(self, process: Process | None) -> None:
        if self._node.process is process and process is not None and not self._node.disk.calm:
            power = self._node.disk.rng.random() < 0.5
            self._node.cluster.crash(self._node, "soon after a sync", lose_unsynced=power)

    def _probe(self) -> None:
        """What would a recovery find, had the power gone right now?"""
        process, node, world = self._process, self._node, self._world
        try:
            found = node.image.synced_only(
                node.cluster.cluster_id, node.name, process.plan.segment_bytes
            )
        except CorruptSnapshot:
            if not node.rotten:
                raise
            world.stats["recoveries refused for rot"] += 1
            return
        process.checkers.probed(node.name, found)
        world.stats["recoveries probed"] += 1

    @contextmanager
    def ill_will(self) -> Iterator[None]:
        """Now and then the disk is full for a while, or its next sync fails."""
        image, disk, rng = self._node.image, self._node.disk, self._process.rng
        if not disk.calm:
            if disk.is_full() or rng.random() < self._process.plan.shell.no_space:
                until = self._world.now + rng.random() * FULL_SECONDS_MAX
                disk.full_until = max(disk.full_until, until)
            image.refuse(room=disk.full, files=disk.no_files, sync=disk.sync_fails())
        try:
            yield
        finally:
            image.make_room()
