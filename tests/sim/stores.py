"""What one process opens on its node's disk: the data directory that ships, on the file system in
memory.

That file system loses any subset of what was not synced at a power cut, and nothing when only the
process dies. Crashes are planted between any two of its operations, those of recovery included.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raftd.core.types import Incarnation, NodeId, Recovered, SnapshotMeta
from raftd.machine.kv.retention import Keep
from raftd.machine.kv.store import KvStore
from raftd.machine.session_table import Limits
from raftd.machine.sessions import Sessions
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import StorageError
from raftd.storage.framing import BATCH_HEADER, MARK, Batch, find_batches
from raftd.storage.lanes import BLOCK_BYTES
from raftd.storage.record import RecordType, decode_records
from raftd.storage.recovery import read_whole
from raftd.storage.segment import BadHeader, decode_header, segment_name, segment_numbers
from raftd.storage.snapshots import snapshot_name
from tests.sim.world import Violation
from tests.storage.memory_fs import CHANGING, MemoryFileSystem, Operation, PowerCut

if TYPE_CHECKING:
    from tests.sim.node import Node

ROOT = "/data"
GROWING = ("preallocate", "create")
OPENING = ("create", "open", "sync_directory")
SYNCING = ("datasync", "sync")
RECOVERY_CALLS = 12
"""A crash while recovering comes at one of its first so many changing file system calls."""


KEEP = Keep(bytes=0, revisions=8)
"""So little history that leaders propose to compact it all along, and snapshots stay small."""
WATCH_QUEUE = 4
"""Events: watchers fall behind often."""


class DiskImage:
    """One node's disk. It outlives every process."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.fs = MemoryFileSystem()
        self.freed = 0
        """Segments that went while the disk was full: each is room for another one."""

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
            if node.rotten:
                node.freeze_out(str(error))
                return None
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

    def refuse(self, *, room: bool, files: bool, sync: bool) -> None:
        """Until `make_room` there is: no room, no descriptor for one more file, no good sync."""
        names = {errno.ENOSPC: GROWING * room, errno.EMFILE: OPENING * files}
        refuse = _refuse({**names, errno.EIO: SYNCING * sync})

        def before(operation: Operation) -> None:
            if room and operation.path.endswith(".wal"):
                self.freed += operation.name == "unlink" and self.fs.size(operation.path) > 0
                if self.freed and operation.name in GROWING:
                    self.freed -= operation.name == "preallocate"
                    return
            refuse(operation)

        self.fs.before = before

    def make_room(self) -> None:
        self.fs.before = None

    def rot(self, rng: random.Random, rather: Sequence[SnapshotMeta]) -> bool:
        """A bit of some snapshot at rest is another one, of one of these if there are any.

        False: there is none.
        """
        directory = f"{ROOT}/snapshots"
        held = sorted(n for n in self.fs._directory(directory).entries if n.endswith(".snap"))
        names = [name for name in map(snapshot_name, rather) if name in held] or held
        if not names:
            return False
        path = f"{directory}/{rng.choice(names)}"
        inode = self.fs._inode(path)
        if inode.pending or not inode.data:
            return False
        place = max(rng.randrange(len(inode.data)) for _ in range(2))
        self.fs.poke(path, place, bytes([inode.data[place] ^ (1 << rng.randrange(8))]))
        return True

    def damage_what_is_proven(self, rng: random.Random) -> bool:
        """Change a bit of a batch that was synced and that a later, durable segment header proves.

        The one promise that a log makes of damage is that it is noticed where something durable
        says that the batch was there. Here the power went between the making of a segment and the
        seal of the one before: no later batch says it, the new header does. False: it did not.
        """
        numbers = segment_numbers(self.fs.listdir(ROOT))
        if len(numbers) < 2:
            return False
        old, new = (f"{ROOT}/{segment_name(number)}" for number in numbers[-2:])
        data = read_whole(self.fs, old)
        try:
            header = decode_header(read_whole(self.fs, new), new)
        except BadHeader:
            return False
        batches = list(find_batches(data, 0, len(data), None))
        proven = [place for place, batch in enumerate(batches) if batch.crc == header.seed]
        if not proven or any(_seals(data, batch) for batch in batches[proven[0] :]):
            return False
        held = [batch for batch in batches[: proven[0] + 1] if not batch.idle]
        if not held:
            return False
        batch = held[-1]
        place = rng.randrange(batch.offset, batch.end)
        self.fs.poke(old, place, bytes([data[place] ^ (1 << rng.randrange(8))]))
        return True

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


def _refuse(names: Mapping[int, Sequence[str]]) -> Callable[[Operation], None]:
    """By errno: the operations that fail with it."""
    by_name = {name: number for number, group in names.items() for name in group}

    def before(operation: Operation) -> None:
        number = by_name.get(operation.name)
        if number is not None:
            raise OSError(number, errno.errorcode[number])

    return before


def _seals(data: bytes, batch: Batch) -> bool:
    records = decode_records(data, batch.offset + BATCH_HEADER.size, batch.end)
    return any(record.type == RecordType.SEAL for record in records)


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
        store = KvStore(KEEP, chunk=4)
        store.watches.queue_events_max = WATCH_QUEUE
        self.host = Sessions(store, limits)
