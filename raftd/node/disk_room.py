"""A node whose disk is full, or takes no snapshots: said once, seen by all, and what helps is done.

On a full disk a leader takes nothing new and hands over while another node is well; any node takes
a snapshot, which lets segments of the log go. What the log holds back for a follower is bounded by
a share of what is free, so that one full disk does not fill the others. Network thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raftd.core.events import EventKind
from raftd.node.applying import Applying
from raftd.node.driver import CoreDriver
from raftd.node.health import Ailment
from raftd.node.snapshot_policy import SnapshotPolicy
from raftd.node.snapshot_worker import SnapshotWorker

LOOK_SECONDS = 2.0
"""How often the disk is asked what is free, and whether snapshots may be written."""

SNAPSHOT_ROUNDS = 5
"""While room is short, a snapshot is taken once in so many looks."""

PIN_SHARE = 4
"""The log is held back for a follower up to this part of what is free."""


class DiskRoom:
    def __init__(
        self,
        driver: CoreDriver,
        applying: Applying,
        snapshot_policy: SnapshotPolicy,
        snapshot_worker: SnapshotWorker,
    ) -> None:
        self._driver = driver
        self._core = driver.core
        self._applying = applying
        self._snapshot_policy = snapshot_policy
        self._snapshot_worker = snapshot_worker
        self._looking = False
        self._tight = False
        self._need_bytes = 0
        self._until_written = False
        self._round = 0
        self.lacking = ""
        """Why nothing new is taken, or "": there is room."""
        self.snapshots = ""
        """Why no snapshot can be written, or ""."""
        self.free_bytes: int | None = None
        """On the disk of the snapshots, as of the last look."""
        snapshot_worker.trouble = self.snapshot_ended
        driver.later(LOOK_SECONDS, self._look)

    def unready(self) -> Sequence[str]:
        """Why no client should be sent here, one line each."""
        return [text for text in (self.lacking, self.snapshots) if text]

    def ailments(self) -> Iterator[Ailment]:
        """For the node's wellbeing. A leader without room hands over to one that has some."""
        if self.lacking:
            yield Ailment(self.lacking, unready=True, unfit=True)
        if self.snapshots:
            yield Ailment(self.snapshots, unready=True)

    def room_changed(self, lacking: str, tight: bool) -> None:
        """The log found no room, or found some again."""
        if self._driver.stopped:
            return
        was, self.lacking = self.lacking, lacking
        short, self._tight = self._tight or bool(was), tight
        if lacking and not was:
            self._applying.announce(EventKind.NO_SPACE, lacking)
        elif was and not lacking:
            self._applying.announce(EventKind.SPACE_AGAIN, "the log has space on its disk again")
        if (tight or lacking) and not short:
            self._round = 0
        if tight or lacking:
            self._act()

    def snapshot_ended(self, error: Exception | None) -> None:
        """One of our own was written, or one from a leader stored whole; or it could not be."""
        if self._driver.stopped:
            return
        if error is None:
            self._note_snapshots("")
            return
        self._need_bytes = int(getattr(error, "need_bytes", 0))
        self._until_written = not getattr(error, "retryable", False)
        self._note_snapshots(str(error))

    def _note_snapshots(self, trouble: str) -> None:
        was = self.snapshots
        self.snapshots = f"no snapshot can be stored: {trouble}" if trouble else ""
        if trouble and not was:
            self._applying.announce(EventKind.SNAPSHOTS_FAIL, self.snapshots)
        elif was and not trouble:
            self._need_bytes, self._until_written = 0, False
            self._applying.announce(EventKind.SNAPSHOTS_WORK, "snapshots can be stored again")

    # -- every LOOK_SECONDS --

    def _look(self) -> None:
        if self._driver.stopped:
            return
        self._driver.on_beat(LOOK_SECONDS, self._look)
        if not self._looking:
            self._looking = True
            self._snapshot_worker.look(self._need_bytes, self._seen)
        if self.lacking or self._tight:
            self._round += 1
            self._act()

    def _seen(self, free_bytes: int | None, trouble: str) -> None:
        self._looking = False
        if self._driver.stopped:
            return
        if free_bytes is not None:
            self.free_bytes = free_bytes
            self._driver.enter(lambda now: self._core.limit_pin(free_bytes // PIN_SHARE))
        if trouble or not self._until_written:
            self._note_snapshots(trouble)

    def _act(self) -> None:
        if self._round % SNAPSHOT_ROUNDS == 0:
            self._snapshot_policy.for_room()
