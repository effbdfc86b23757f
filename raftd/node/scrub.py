"""Reading the newest snapshot's file again, so that a bad one is found before anybody needs it.

Slowly all the time, a piece after the other, and at once when a follower would not take the file or
it could not be read. Network thread; the reading is done on raft-snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raftd.core.types import SnapshotMeta
from raftd.node.measures import Measures
from raftd.node.snapshot_worker import SnapshotWorker

PIECE_BYTES = 1 << 20
PAUSE_SECONDS = 0.25
"""Between two pieces: 4 MiB a second at most. A file under suspicion is read without."""

SUSPECT_SECONDS = 60.0
"""A file that was found good is not suspected again before: a follower may refuse it for reasons of
its own, again and again."""


@dataclass(slots=True)
class _Pass:
    """One reading of one file, as far as it has got."""

    meta: SnapshotMeta
    pause: float
    offset: int = 0
    crc: int = 0


class Scrubber:
    def __init__(
        self,
        snapshot_worker: SnapshotWorker,
        newest: Callable[[], SnapshotMeta],
        now: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
        interval: float,
        measures: Measures,
        rotten: Callable[[SnapshotMeta, str], None],
    ) -> None:
        """newest: the snapshot that counts. interval: seconds from the start of one reading to the
        next; 0: only suspects are read. rotten(meta, why): the file has changed, or is gone.
        """
        self._snapshot_worker = snapshot_worker
        self._newest = newest
        self._now = now
        self._later = later
        self._interval = interval
        self._rotten = rotten
        self._pass: _Pass | None = None
        self._good: tuple[SnapshotMeta | None, float] = (None, 0.0)
        self._measures = measures
        self._stopped = False

    def start(self) -> None:
        if self._interval > 0:
            self._later(self._interval, self._due)

    def stop(self) -> None:
        self._stopped = True

    def _due(self) -> None:
        if not self._stopped:
            self._begin(self._newest(), PAUSE_SECONDS)
            self._later(self._interval, self._due)

    def suspect(self, meta: SnapshotMeta) -> None:
        """Somebody had trouble with this file: read it now."""
        good, at = self._good
        if good == meta and self._now() - at < SUSPECT_SECONDS:
            return
        if self._pass is not None and self._pass.meta == meta:
            self._pass.pause = 0.0
        else:
            self._begin(meta, 0.0)

    def _begin(self, meta: SnapshotMeta, pause: float) -> None:
        """One at a time; a newer file takes the place of an older one."""
        busy = self._pass is not None and self._pass.meta == meta
        if meta.index > 0 and not busy and not self._stopped:
            self._pass = _Pass(meta, pause)
            self._read(self._pass)

    def _read(self, at: _Pass) -> None:
        if at is self._pass and not self._stopped:
            self._snapshot_worker.reread(
                at.meta, at.offset, PIECE_BYTES, at.crc, lambda result: self._has_read(at, result)
            )

    def _has_read(self, at: _Pass, result: tuple[int, int, str] | Exception) -> None:
        if at is not self._pass or self._stopped:
            return
        if isinstance(result, Exception):
            self._pass = None  # it could not be looked at, which says nothing of it: another time
            return
        at.offset, at.crc, trouble = result
        if not trouble and at.offset < at.meta.size_bytes:
            self._later(at.pause, lambda: self._read(at))
            return
        self._pass = None
        self._measures.scrubs += 1
        if not trouble:
            self._good = (at.meta, self._now())
        elif at.meta == self._newest():
            self._good = (None, 0.0)
            self._rotten(at.meta, trouble)
