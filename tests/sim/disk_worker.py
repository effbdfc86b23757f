"""The log's and the snapshots' worker on simulated time: one operation at a time, late, or cut
short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from raftd.core.messages import SnapshotRequest
from raftd.core.types import Configuration, Index, NodeId, SnapshotMeta, Term, Write
from raftd.storage.errors import CorruptSnapshot, NoSpace, StorageError
from tests.storage.memory_fs import PowerCut

if TYPE_CHECKING:
    from tests.sim.light import LightProcess
    from tests.sim.process import Process

IDLE_SECONDS = 0.01
PROBE = 0.004
"""Share of the syncs after which a recovery of the synced bytes alone is tried."""
NO_SPACE_RETRY = 0.05
CUT_SHORT_CALLS = 14
"""A crash in the middle of an operation comes at one of its first so many file system calls."""


def probe(process: Process) -> None:
    """Now and then: what would a recovery find, had the power gone right now?"""
    node = process.node
    if node.disk.rng.random() < PROBE:
        try:
            found = node.image.synced_only(
                node.cluster.cluster_id, node.name, process.plan.segment_bytes
            )
        except CorruptSnapshot:
            if not node.rotten:
                raise
            process.world.stats["recoveries refused for rot"] += 1
            return
        process.checkers.probed(node.name, found)
        process.world.stats["recoveries probed"] += 1


class LogWorker:
    """Queue, one commit for all that is queued, one sync, then `persisted`."""

    def __init__(self, process: LightProcess) -> None:
        self._process = process
        self._world = process.world
        self._disk = process.node.disk
        self._queue: list[Write] = []
        self._under_way: list[Write] = []
        self._release: Index = 0
        self._generation = 0

    def queue(self, writes: Sequence[Write]) -> None:
        self._queue.extend(writes)
        if self._queue and not self._under_way:
            self._begin()

    def release(self, index: Index) -> None:
        self._process.checkers.release(self._process.node.name, index)
        self._release = max(self._release, index)
        if not self._under_way:
            self._drop_released()

    def _drop_released(self) -> None:
        if self._release:
            self._process.stores.wal.release(self._release)
            self._release = 0

    def _begin(self) -> None:
        most = self._disk.plan.commit_max
        self._under_way, self._queue = self._queue[:most], self._queue[most:]
        self._generation += 1
        self._world.after(self._disk.sync_seconds(), self._end)

    def _end(self) -> None:
        process = self._process
        if process.alive:
            process.node.run(self._commit)

    def _commit(self) -> None:
        process, world = self._process, self._world
        if not process.alive:
            return
        world.events += 1
        if process.node.doomed == "log":
            process.node.cluster.crash(
                process.node, "in a commit", lose_unsynced=process.node.doomed_power
            )
            return
        name = process.node.name
        if self._disk.is_full():
            process.node.image.fill_disk()
        if self._disk.sync_fails():
            process.node.image.fail_next_sync()
        try:
            process.stores.wal.commit(self._under_way)
        except NoSpace:
            world.stats["disk full"] += 1
            process.node.image.make_room()
            world.after(NO_SPACE_RETRY, self._end)
            return
        except OSError:
            world.stats["sync errors"] += 1
            power = self._disk.rng.random() < self._disk.plan.power_loss
            process.node.cluster.crash(process.node, "sync failed", lose_unsynced=power)
            return
        process.node.image.make_room()
        done, self._under_way = self._under_way, []
        world.stats["syncs"] += 1
        world.trace(name, f"synced #{done[-1].seq}")
        process.checkers.synced(name, done)
        probe(process)
        self._drop_released()
        if self._queue:
            self._begin()
        else:
            self._idle_soon()
        process.enter(process.core.persisted(done[-1].seq, process.node.now()))

    def stop(self) -> None:
        """An orderly stop: write and sync what is queued, then close."""
        process, writes = self._process, self._under_way + self._queue
        if writes:
            process.stores.wal.commit(writes)
            process.checkers.synced(process.node.name, writes)
        self._under_way, self._queue = [], []
        process.stores.wal.close()

    def _idle_soon(self) -> None:
        if self._disk.rng.random() < 0.1:
            self._world.after(IDLE_SECONDS, self._idle, self._generation)

    def _idle(self, generation: int) -> None:
        process = self._process
        if (
            process.alive
            and not process.node.paused
            and generation == self._generation
            and not self._under_way
        ):
            process.stores.wal.idle()

    def cut_short(self) -> None:
        """The process dies: what was being written is written up to some point."""
        if not self._under_way:
            return
        writes, process = self._under_way, self._process
        try:
            with process.node.image.crash_at(self._disk.rng.randint(0, CUT_SHORT_CALLS)):
                process.stores.wal.commit(writes)
        except (PowerCut, StorageError, OSError):
            self._world.stats["writes cut short"] += 1


Job = Callable[[], Callable[[], None]]
"""Work on files; what it returns is done afterwards, outside of what a crash can cut."""


class SnapshotWorker:
    """Snapshots taken, received and read, one job at a time."""

    def __init__(self, process: LightProcess) -> None:
        self._process = process
        self._world = process.world
        self._disk = process.node.disk
        self._jobs: deque[Job] = deque()
        self._busy = False
        self.taking = False

    def _add(self, job: Job) -> None:
        self._jobs.append(job)
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        self._busy = True
        self._world.after(self._disk.sync_seconds(), self._end)

    def _end(self) -> None:
        if self._process.alive:
            self._process.node.run(self._run)

    def _run(self) -> None:
        if not self._process.alive:
            return
        self._world.events += 1
        node = self._process.node
        if node.doomed == "snapshot":
            node.cluster.crash(node, "in a snapshot", lose_unsynced=node.doomed_power)
            return
        if self._disk.sync_fails():
            node.image.fail_next_sync()
        try:
            then = self._jobs.popleft()()
        except OSError:
            self._world.stats["sync errors"] += 1
            power = self._disk.rng.random() < self._disk.plan.power_loss
            node.cluster.crash(node, "a snapshot's sync failed", lose_unsynced=power)
            return
        finally:
            node.image.make_room()
        if self._jobs:
            self._begin()
        else:
            self._busy = False
        then()

    def cut_short(self) -> None:
        if not self._jobs:
            return
        try:
            with self._process.node.image.crash_at(self._disk.rng.randint(0, CUT_SHORT_CALLS)):
                self._jobs[0]()
        except (PowerCut, StorageError, OSError):
            self._world.stats["snapshots cut short"] += 1

    # taking

    def take(
        self,
        index: Index,
        term: Term,
        configuration: Configuration,
        sessions: bytes,
        chunks: Iterable[bytes],
    ) -> None:
        self.taking = True
        stores = self._process.stores

        def job() -> Callable[[], None]:
            sink = stores.snapshots.create(index, term, configuration, sessions)
            for chunk in chunks:
                sink.write(chunk)
            meta = sink.commit()
            return lambda: self._taken(meta)

        self._add(job)

    def _taken(self, meta: SnapshotMeta) -> None:
        process = self._process
        self.taking = False
        self._world.stats["snapshots taken"] += 1
        self._world.trace(process.node.name, "snapshot taken", meta)
        process.enter(process.core.snapshot_taken(meta, process.node.now()))
        self._add(self._retain)

    def _retain(self) -> Callable[[], None]:
        process = self._process
        keep = process.core.snapshots_in_use()
        process.checkers.retained(process.node.name, keep, process.app.to_restore())
        process.stores.snapshots.retain(keep)
        return _nothing

    # receiving

    def chunk(self, token: Any, request: SnapshotRequest) -> None:
        self._add(lambda: self._store(token, request))

    def _store(self, token: Any, request: SnapshotRequest) -> Callable[[], None]:
        process = self._process
        stores, core, now = process.stores, process.core, process.node.now
        incoming = stores.receive(request.leader, request.meta)
        try:
            reached = incoming.store(request.offset, request.data)
            if reached < request.meta.size_bytes:
                return lambda: process.enter(core.chunk_stored(token, request, reached, now()))
            meta = incoming.commit()
        except CorruptSnapshot:
            self._world.stats["snapshots corrupt"] += 1
            return lambda: process.enter(core.chunk_stored(token, request, 0, now()))
        self._world.stats["snapshots received"] += 1
        self._add(self._retain)
        return lambda: process.enter(core.snapshot_received(meta, token, request, now()))

    # sending

    def send_chunk(self, peer: NodeId, request: SnapshotRequest) -> None:
        process = self._process
        size = process.plan.settings.snapshot_chunk_bytes

        def job() -> Callable[[], None]:
            try:
                data = process.stores.snapshots.read_chunk(request.meta, request.offset, size)
            except FileNotFoundError:
                self._world.stats["snapshots gone"] += 1
                core, now = process.core, process.node.now
                return lambda: process.enter(core.unreachable(peer, request, now()))
            full = _with_data(request, data)
            return lambda: process.transmit_chunk(peer, full)

        self._add(job)


def _with_data(request: SnapshotRequest, data: bytes) -> SnapshotRequest:
    return SnapshotRequest(
        request.term,
        request.leader,
        request.meta,
        request.offset,
        data,
        request.number,
        request.pulled_at,
    )


def _nothing() -> None:
    pass
