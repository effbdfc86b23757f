"""The log and the snapshots of raftd/node as they are, with the checkers looking on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from raftd.core.types import (
    Configuration,
    Index,
    NodeId,
    Recovered,
    SnapshotMeta,
    Term,
    Write,
)
from raftd.node.ports import IncomingSnapshot, SnapshotSink
from raftd.storage.errors import CorruptSnapshot
from raftd.storage.snapshots import SnapshotFiles

if TYPE_CHECKING:
    from tests.sim.process import Process


class WatchedLog:
    """The LogStore of one process: the log that ships, on a disk that is slow, full or dying."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._wal = process.stores.wal

    @property
    def tight(self) -> bool:
        return self._wal.tight

    @property
    def spent(self) -> bool:
        return self._wal.spent

    def make_room(self) -> bool:
        return self._wal.make_room()

    def open(self) -> Recovered:
        raise AssertionError("it is open already")

    def commit(self, writes: Sequence[Write]) -> None:
        self._process.disk.commit(list(writes))

    def idle(self) -> None:
        self._wal.idle()

    def release(self, index: Index) -> None:
        process, before = self._process, self._wal.stats.segments
        process.checkers.release(process.node.name, index)
        self._wal.release(index)
        if process.node.disk.full:
            process.node.image.freed += before - self._wal.stats.segments

    def close(self) -> None:
        process = self._process
        if process.node.disk.hung:
            process.crash("hung while it closed its log")
        self._wal.close()


class WatchedSnapshots:
    """The SnapshotStore of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._store: SnapshotFiles = process.stores.snapshots
        self.opened: SnapshotMeta | None = None

    def create(
        self, index: Index, term: Term, configuration: Configuration, sessions: bytes
    ) -> SnapshotSink:
        return self._store.create(index, term, configuration, sessions)

    def receive(self, sender: NodeId, meta: SnapshotMeta) -> IncomingSnapshot:
        return self._store.receive(sender, meta)

    def read_chunk(self, meta: SnapshotMeta, offset: int, size_bytes: int) -> bytes:
        return self._store.read_chunk(meta, offset, size_bytes)

    def reread(
        self, meta: SnapshotMeta, offset: int, size_bytes: int, crc: int
    ) -> tuple[int, int, str]:
        return self._store.reread(meta, offset, size_bytes, crc)

    def open_body(self, meta: SnapshotMeta) -> tuple[bytes, BinaryIO]:
        process = self._process
        self.opened = meta
        try:
            return self._store.open_body(meta)
        except (CorruptSnapshot, FileNotFoundError) as error:
            if not process.dying and not process.node.rotten:
                process.checkers.fail("snapshot-files-kept", f"{process.node.name}: {error}")
            raise

    def retain(self, keep: Sequence[SnapshotMeta]) -> None:
        process = self._process
        if not process.dying:
            process.checkers.retained(process.node.name, keep, list(process.core.installs))
        self._store.retain(keep)

    def free_bytes(self) -> int:
        return self._store.free_bytes()

    def check_writable(self, room_bytes: int = 0) -> None:
        self._store.check_writable(room_bytes)
