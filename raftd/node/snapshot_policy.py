"""When to take a snapshot, and what the node does with those that come and go.

Network thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from raftd.core.events import EventKind
from raftd.core.messages import Reply, SnapshotRequest
from raftd.core.types import Configuration, Index, SnapshotMeta
from raftd.node.apply_worker import Capture, Captured
from raftd.node.applying import Applying
from raftd.node.driver import CoreDriver
from raftd.node.held_snapshots import HeldSnapshots
from raftd.node.measures import Measures
from raftd.node.outcomes import Applied, Done, Refusal, Refused, answer
from raftd.node.scrub import Scrubber
from raftd.node.settings import NodeSettings
from raftd.node.snapshot_worker import SnapshotWorker

RETRY_SECONDS = 10.0
"""After a snapshot that could not be written. Meanwhile the log grows, up to log_memory_limit."""

DIFFERS = "the state of this node differs from the other members': ask another node"

STAGGER = 0.25
"""Nodes wait up to this much longer than the settings say, so that they do not all snapshot at
once.
"""


class SnapshotPolicy:
    def __init__(
        self,
        driver: CoreDriver,
        applying: Applying,
        snapshot_worker: SnapshotWorker,
        settings: NodeSettings,
        measures: Measures,
        stagger: float,
    ) -> None:
        """stagger: 0..1, drawn once a node, so that nodes do not all snapshot at the same moment.

        measures: where whole readings of a file are counted.
        """
        self._driver = driver
        self._applying = applying
        self._core = core = driver.core
        self._settings = settings
        self._snapshot_worker = snapshot_worker
        self._scale = 1.0 + STAGGER * stagger
        self._bytes = 0
        self._bytes_taken = 0
        self._running = False
        self._pausing = self._told = False
        self._refused = ""
        self._rotten = False
        self.scrubber = Scrubber(
            snapshot_worker,
            lambda: core.snapshot,
            driver.clock.now,
            driver.later,
            settings.snapshot_scrub_seconds,
            measures,
            self._found_rotten,
        )
        self._wanted: list[Done] = []
        self.held = HeldSnapshots(driver, self.retain)
        applying.on_applied(self.applied)

    # -- our own --

    def applied(self, index: Index, size_bytes: int, jumped: bool) -> None:
        """Count what was applied since the last snapshot; take one when it is due."""
        self._bytes = size_bytes if jumped else self._bytes + size_bytes
        if not self._running and self._is_due(index):
            self._take()

    def for_room(self) -> None:
        """Room is short on the disk: a snapshot lets segments of the log go, if it has any news."""
        state = self._driver.state()
        if self._running or self._pausing or self._differs:
            return
        if not self._knows_members(state.applied_index):
            return
        if state.applied_index > state.snapshot_index:
            self._take()

    def _knows_members(self, index: Index) -> bool:
        """A node that joins takes none before it has heard who the members are: whoever started
        from it would not know either.
        """
        return bool(self._core.configuration_at(index).voters)

    @property
    def _differs(self) -> bool:
        """What is wrong in memory would be what a restart begins with: no snapshot of it."""
        core = self._core
        return bool(core.verdict.differing) and bool(core.verdict.about(core.identity.node))

    def _is_due(self, applied: Index) -> bool:
        if self._differs:
            return False
        if self._rotten:  # also if nothing is new
            return not self._pausing
        entries = applied - self._core.snapshot.index
        if entries <= 0 or not self._knows_members(applied):
            return False
        if self._wanted or self._pausing:
            return bool(self._wanted)
        settings, scale = self._settings, self._scale
        return (
            entries >= settings.snapshot_entries * scale
            or self._bytes >= settings.snapshot_bytes * scale
            or self._must_make_room(applied)
        )

    def _must_make_room(self, applied: Index) -> bool:
        """The log is at its limit: only a snapshot makes room, and nothing else will ask for one.

        A slow machine is not asked for one after each entry, though: for the last of them, or for a
        good part of the limit.
        """
        limit = self._settings.log_memory_limit_bytes
        if self._core.log.bytes <= limit:
            return False
        return applied >= self._core.commit_index or self._bytes >= limit // 8

    @property
    def failing(self) -> bool:
        """The last snapshot could not be written."""
        return self._pausing

    def _take(self) -> None:
        self._running = True
        self._bytes_taken, self._bytes = self._bytes, 0

        def captured(what: Captured) -> None:
            configuration = self._driver.configuration_at(what[0])
            self._snapshot_worker.take(what, configuration, self._taken, self._failed)

        self._applying.put(Capture(captured))
        self._driver.soon(self._applying.resume)

    def _taken(self, meta: SnapshotMeta) -> None:
        self._running = self._told = False
        if self._driver.stopped:
            return
        wanted, self._wanted = self._wanted, []
        if self._differs:  # it was found while this was written
            self._bytes += self._bytes_taken
            answer(wanted, Refused(Refusal.UNAVAILABLE, DIFFERS))
            return
        core = self._core
        self._driver.enter(lambda now: core.snapshot_taken(meta, now))
        self._rotten = False
        self.retain()
        answer(wanted, Applied(meta.index, meta.term, b""))

    def _failed(self, error: Exception) -> None:
        self._running = False
        self._bytes += self._bytes_taken
        self._pausing = True
        self._driver.later(RETRY_SECONDS, self._retry)
        message = f"the snapshot could not be written: {error}"
        wanted, self._wanted = self._wanted, []
        answer(wanted, Refused(Refusal.UNAVAILABLE, message))
        if not self._told:  # once, not at every attempt
            self._told = True
            self._applying.announce(EventKind.SNAPSHOT_FAILED, message)

    def _found_rotten(self, meta: SnapshotMeta, what: str) -> None:
        """A restart would rest on that file, and followers get it: take another one at once."""
        driver, core = self._driver, self._core
        if driver.stopped:
            return
        driver.enter(lambda now: core.snapshot_is_rotten(meta, what, now))
        self._rotten, self._pausing = True, False
        if not self._running and not self._differs:
            self._take()

    def _retry(self) -> None:
        """Nothing may be applied until then: a full log takes no proposals, so nobody would ask."""
        self._pausing = False
        if not self._driver.stopped:
            self.applied(self._applying.worker.applied_index, 0, jumped=False)

    def handed_in(
        self, what: Captured, configuration: Configuration, written: Callable[[], None]
    ) -> None:
        """Store a snapshot that the machine made itself, at an index that it had marked.

        written: called when it is over, well or not. The outcome is an event.
        """
        index = what[0]
        if self._driver.stopped:
            return

        def failed(why: object) -> None:
            written()
            text = f"the snapshot handed in at {index} {why}"
            self._applying.announce(EventKind.SNAPSHOT_FAILED, text)

        def taken(meta: SnapshotMeta) -> None:
            if self._differs:  # it was found while this was written
                failed(f"is not kept: {DIFFERS}")
                return
            if index <= (newer := self._core.snapshot.index):  # than one written meanwhile
                failed(f"is not newer than that at {newer}")
                self.retain()
                return
            written()
            if not self._driver.stopped:
                self._bytes = 0
                self._driver.enter(lambda now: self._core.snapshot_taken(meta, now))
                self.retain()

        if not configuration.voters:
            failed("is of members that are not known here: hand in a later one")
        elif self._differs:
            failed(f"is not kept: {DIFFERS}")
        elif index <= (newer := self._core.snapshot.index):
            failed(f"is not newer than that at {newer}")
        else:
            self._snapshot_worker.take(
                what, configuration, taken, lambda error: failed(f"could not be written: {error}")
            )

    def snapshot_now(self, done: Done) -> None:
        """Applied(index, term, b"") of the newest snapshot: of one taken now, if anything is
        new.
        """
        if self._driver.stopped or self._differs:
            done(Refused(Refusal.UNAVAILABLE, self._driver.stopped or DIFFERS))
            return
        state = self._driver.state()
        if state.applied_index <= state.snapshot_index:
            done(Applied(state.snapshot_index, state.snapshot_term, b""))
            return
        if not self._knows_members(state.applied_index):
            done(Refused(Refusal.UNAVAILABLE, "this node joins, and has not heard of the members"))
            return
        self._wanted.append(done)
        if not self._running:
            self._take()

    def retain(self) -> None:
        """Drop the files of snapshots that nobody needs any more."""
        self._snapshot_worker.retain((*self._driver.snapshots_in_use(), *self.held.metas))

    def stop(self, why: str) -> None:
        self.scrubber.stop()
        waiting, self._wanted = self._wanted, []
        answer(waiting, Refused(Refusal.UNAVAILABLE, why))

    # -- a leader's, and for a follower --

    def store_chunk(self, token: Callable[[Reply], None], request: SnapshotRequest) -> None:
        core, driver = self._core, self._driver

        def stored(offset: int) -> None:
            if not driver.stopped:
                driver.enter(lambda now: core.chunk_stored(token, request, offset, now))

        def received(meta: SnapshotMeta) -> None:
            self._refused = ""
            if not driver.stopped:
                driver.enter(lambda now: core.snapshot_received(meta, token, request, now))
                self.retain()

        def refused(error: Exception) -> None:
            """Once as long as it stays the same: the leader tries again and again."""
            text = f"a snapshot of {request.leader} is not taken: {error}"
            if not driver.stopped and text != self._refused:
                self._refused = text
                self._applying.announce(EventKind.SNAPSHOT_REFUSED, text)

        self._snapshot_worker.store_chunk(request, stored, received, refused)

    def suspect(self, meta: SnapshotMeta) -> None:
        """A follower would not take this file: read it again now."""
        self.scrubber.suspect(meta)

    async def read_chunk(self, request: SnapshotRequest) -> SnapshotRequest:
        """`request` with its data. Raises FileNotFoundError if that snapshot is gone, OSError."""
        future: asyncio.Future[SnapshotRequest] = asyncio.get_running_loop().create_future()

        def done(result: SnapshotRequest | OSError) -> None:
            if future.done():
                return
            if isinstance(result, OSError):
                self.scrubber.suspect(request.meta)
                future.set_exception(result)
            else:
                future.set_result(result)

        self._snapshot_worker.read_chunk(request, done)
        return await future
