"""An operator's backup: a snapshot that is held, read piece by piece, and let go."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from raftd.core.messages import SnapshotRequest
from raftd.core.types import SnapshotMeta

if TYPE_CHECKING:
    from tests.sim.process import Process

PAUSE_SECONDS = 0.2
"""A reader takes up to so long for a piece; snapshots come and go meanwhile."""


class Backup:
    """One at a time on a node, as the port that ships has it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._meta: SnapshotMeta | None = None
        self._offset = self._crc = 0
        self._rng = process.world.stream(f"backups {process.node.name} {process.node.lives}")

    def begin(self) -> None:
        if self._meta is not None:
            return
        self._meta = self._process.raftd.hold_snapshot()
        self._offset = self._crc = 0
        self._read()

    def _read(self) -> None:
        process, meta = self._process, self._meta
        if meta is None:
            return
        request = SnapshotRequest(process.raftd.term, process.node.name, meta, self._offset)
        process.snapshot_worker.read_chunk(request, self._piece)

    def _piece(self, result: SnapshotRequest | OSError) -> None:
        process, meta = self._process, self._meta
        assert meta is not None
        if isinstance(result, OSError) or (not result.data and self._offset < meta.size_bytes):
            # Files may have run out, a disk may err; but the file has to be there.
            gone = not isinstance(result, OSError) or isinstance(result, FileNotFoundError)
            if gone and not process.node.rotten:
                process.checkers.fail(
                    "backup-whole",
                    f"{process.node.name}: {meta} cannot be read at {self._offset}: {result}",
                )
            self._end("backups broken off")
            return
        self._offset += len(result.data)
        self._crc = zlib.crc32(result.data, self._crc)
        if self._offset < meta.size_bytes:
            pause = self._rng.random() * PAUSE_SECONDS
            process.world.after(pause, process.run, self._read)
            return
        if self._crc != meta.crc and not process.node.rotten:
            process.checkers.fail(
                "backup-whole", f"{process.node.name}: {meta} was read with crc {self._crc}"
            )
        self._end("backups whole")

    def _end(self, how: str) -> None:
        assert self._meta is not None
        self._process.world.stats[how] += 1
        meta, self._meta = self._meta, None
        self._process.raftd.release_snapshot(meta)
