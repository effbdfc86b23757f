"""What one process opens on its node's disk: the data directory that ships, on the file system in
memory.

That file system loses any subset of what was not synced at a power cut, and nothing when only the
process dies. Crashes are planted between any two of its operations, those of recovery included.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raftd.core.types import Incarnation, NodeId, Recovered, SnapshotMeta
from raftd.machine.kv.store import KvStore
from raftd.machine.session_table import Limits
from raftd.machine.sessions import Sessions
from raftd.node.ports import IncomingSnapshot
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import StorageError
from raftd.storage.framing import MARK
from raftd.storage.lanes import BLOCK_BYTES
from raftd.storage.snapshots import snapshot_name
from tests.sim.world import Violation
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation, PowerCut

if TYPE_CHECKING:
    from tests.sim.node import Node

ROOT = "/data"
RECOVERY_CALLS = 12
"""A crash while recovering comes at one of its first so many changing file system calls."""


class DiskImage:
    """One node's disk. It outlives every process."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.fs = MemoryFileSystem()

    def open(self, node: Node) -> Stores | None:
        """Recover. None: crashed again while doing so (a restart is due). A refusal is a
        Violation.
        """
        plan = node.disk.plan
        world = node.world
        cut = not node.disk.calm and self._rng.random() < plan.crash_recovering
        try:
            if cut:
                with self.crash_at(self._rng.randint(0, RECOVERY_CALLS)):
                    return self._open(node)
            self.fs.before = self._count_repairs(world.stats)
            try:
                return self._open(node)
            finally:
                self.fs.before = None
        except PowerCut:
            world.stats["crashes while recovering"] += 1
            world.trace(node.name, "crash (recovering)")
            self.crash(lose_unsynced=self._rng.random() < plan.power_loss)
            node.cluster.faults.restart_later(node)
            return None
        except StorageError as error:
            raise Violation("recovery", f"{node.name} refuses to start: {error}") from error

    def _open(self, node: Node) -> Stores:
        directory = self.open_directory(
            node.cluster.cluster_id, node.name, node.cluster.plan.segment_bytes
        )
        limits = Limits(sessions=node.cluster.plan.sessions_max)
        return Stores(self, directory, directory.recover(), limits)

    def _count_repairs(self, stats: Counter[str]) -> Callable[[Operation], None]:
        """A log write during recovery that is no mark zeroes a torn tail."""

        def before(operation: Operation) -> None:
            if (
                operation.name == "write"
                and operation.path.endswith(".wal")
                and operation.size != MARK.size
            ):
                stats["torn tails"] += 1

        return before

    def open_directory(self, cluster: str, node: NodeId, segment_bytes: int) -> DataDirectory:
        return open_directory(
            self.fs,
            ROOT,
            cluster=cluster,
            node=node,
            new_incarnation=self._new_incarnation,
            segment_bytes=segment_bytes,
            block_bytes=min(BLOCK_BYTES, max(128, segment_bytes // 8)),
        )

    def _new_incarnation(self) -> Incarnation:
        return f"{self._rng.getrandbits(64):016x}"

    def crash(self, *, lose_unsynced: bool) -> None:
        if lose_unsynced:
            self.fs.crash(self._rng)
        else:
            self.fs.kill()

    @contextmanager
    def crash_at(self, calls: int) -> Iterator[None]:
        """The power goes at the changing call after `calls` of them. Raises PowerCut out of the
        block.
        """
        left = calls

        def before(operation: Operation) -> None:
            nonlocal left
            if operation.name in CHANGING:
                if left == 0:
                    self.fs.cut_power()
                left -= 1

        self.fs.before = before
        try:
            yield
        finally:
            self.fs.before = None

    def fill_disk(self) -> None:
        """No room for anything new until `make_room`."""
        self.fs.before = _refuse(("preallocate", "create"), errno.ENOSPC)

    def fail_next_sync(self) -> None:
        self.fs.before = _refuse(("datasync", "sync"), errno.EIO)

    def make_room(self) -> None:
        self.fs.before = None

    def wipe(self) -> None:
        self.fs = MemoryFileSystem()

    def synced_only(self, cluster: str, node: NodeId, segment_bytes: int) -> Recovered:
        """What a recovery would find if the power went now and took all that is not synced."""
        other = DiskImage(random.Random(0))
        other.fs = self.fs.clone()
        other.fs.crash(other._rng, keep=0.0)
        return other.open_directory(cluster, node, segment_bytes).recover()

    def holds_snapshot(self, meta: SnapshotMeta) -> bool:
        """Name and bytes of that file are synced."""
        directory = self.fs._directory(f"{ROOT}/snapshots")
        inode = directory.durable.get(snapshot_name(meta))
        return inode is not None and not inode.pending


def _refuse(names: Sequence[str], number: int) -> Callable[[Operation], None]:
    def before(operation: Operation) -> None:
        if operation.name in names:
            raise OSError(number, errno.errorcode[number])

    return before


class Stores:
    """Log, snapshots, sessions and machine of one process."""

    def __init__(
        self, image: DiskImage, directory: DataDirectory, recovered: Recovered, limits: Limits
    ) -> None:
        self.image = image
        self.incarnation = directory.identity.incarnation
        self.recovered = recovered
        self.wal = directory.wal
        self.snapshots = directory.snapshots
        self.host = Sessions(KvStore(), limits)

    def restore(self, meta: SnapshotMeta) -> None:
        sessions, body = self.snapshots.open_body(meta)
        with body:
            self.host.restore(sessions, body)

    def receive(self, sender: NodeId, meta: SnapshotMeta) -> IncomingSnapshot:
        return self.snapshots.receive(sender, meta)
