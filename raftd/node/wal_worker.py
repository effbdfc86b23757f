"""Everything that becomes durable in the log goes through here: one queue, in the core's order.

While one batch syncs, the next ones gather; they become one write and one sync. The queue is filled
under the driver's lock (never blocking) and started by `kick` outside it. The network thread may
wait for the write, which saves the way of its end through the loop: only when nothing is being
written, not while the disk is slow (disk_pace.py), and never for long. A sync that hangs holds up
the raft-wal thread alone: heartbeats go on, and the core hears by the clock that its disk stalls.

A disk without room is waited for. A node that stops meanwhile gives up what it could not write, and
everything that comes after it: no later write may stand on one that is not there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from raftd.core.types import Index, Write, WriteSeq
from raftd.node.disk_pace import DiskPace
from raftd.node.ports import Clock, FatalPort, LogStore
from raftd.node.supervision import Worker

IDLE_SECONDS = 0.010
"""Without a write for this long the last batch is marked as synced, so that damage to it is
noticed.
"""

NO_SPACE_RETRY_SECONDS = 1.0

PACE_SECONDS = 10.0
"""For so long after a write the disk's pace is worth telling."""

WAIT_SECONDS_MAX = 0.03
"""The network thread waits no longer for one write: well below a heartbeat interval."""

SPENT = (
    "the disk is full: the log goes on in the room that was kept back, nothing new is taken; make "
    "room on the disk of data_dir"
)

RoomChanged = Callable[[str, bool], None]
"""(why nothing new can be taken, or "": it can; whether room is short)"""


class WalWorker:
    def __init__(
        self,
        log: LogStore,
        clock: Clock,
        fatal: FatalPort,
        persisted: Callable[[WriteSeq], None],
        post: Callable[[Callable[[], None]], None],
        inline: bool = True,
        measure: Callable[[float], None] = lambda seconds: None,
        room_changed: RoomChanged | None = None,
    ) -> None:
        """persisted: called on the network thread, through `post` unless that waits. room_changed:
        through `post`. inline: False: the network thread never waits for a write. measure: called
        on the raft-wal thread with the seconds that each write and its sync took.
        """
        self._room_changed = room_changed
        self._measure = measure
        self._log = log
        self._clock = clock
        self._persisted = persisted
        self._post = post
        self._ready = threading.Condition(threading.Lock())
        self._writes: deque[Write] = deque()
        self._release: Index = 0
        self._busy = False
        self._idle_due = False
        self._last_write = 0.0
        self._stopping = False
        self._inline = inline
        self._given_up = False
        self._awaited = False
        """The network thread waits; whoever finishes first clears it under the condition."""
        self._done = threading.Lock()  # released once for each wait that was in time
        self._done.acquire()
        self._done_seq: WriteSeq = 0
        self._pace = DiskPace()
        self._looked_at = 0.0
        self.no_space = ""
        """Why nothing is written, or nothing new is to be taken: one line. Any thread."""
        self.tight = False
        """The log had no room for a full segment. Any thread."""
        self.worker = Worker("raft-wal", self.run, fatal)

    # -- network thread --

    def put(self, writes: list[Write], release: Index) -> None:
        """Requires the driver's lock. Enqueues only; `kick` starts the work."""
        with self._ready:
            if self._given_up:
                return
            self._writes.extend(writes)
            self._release = max(self._release, release)

    def kick(self, inline: bool) -> None:
        """Start the thread on what was queued; if `inline` and it may be, wait for it a little."""
        wait = inline and self._may_wait()
        with self._ready:
            self._awaited = wait and not self._busy and bool(self._writes)
            if not self._awaited:
                if self._writes or self._release:
                    self._ready.notify()
                return
        if self._is_done_in_time():
            self._persisted(self._done_seq)

    def _may_wait(self) -> bool:
        """Not on a full disk either: looking for room takes time."""
        return self._inline and not self.no_space and self._pace.quick(self._clock.now())

    def _is_done_in_time(self) -> bool:
        """The thread takes all of the queue, and so what this one waits for."""
        with self._ready:
            self._ready.notify()
        in_time = self._done.acquire(timeout=WAIT_SECONDS_MAX)
        return in_time or self._comes_late()

    def _comes_late(self) -> bool:
        """Wait no longer: its end goes through the loop. True if it has just come."""
        with self._ready:
            if self._awaited:
                self._awaited = False
                return False
            return self._done.acquire(blocking=False)

    # -- raft-wal thread --

    def run(self) -> None:
        while self.step():
            pass

    def step(self) -> bool:
        """Wait for work and do it; False when stopped and nothing is left to write."""
        with self._ready:
            timed_out = False
            while not self._is_due(timed_out):
                timed_out = not self._ready.wait(self._patience())
            if self._stopping and not self._writes:
                return False
            writes, release = self._take()
        while not self.work(writes, release):
            self._wait_for_space()
        return True

    def _patience(self) -> float | None:
        if self._idle_due:
            return IDLE_SECONDS
        return NO_SPACE_RETRY_SECONDS if self.no_space else None

    def _wait_for_space(self) -> None:
        """Nothing is acknowledged until there is room, or something may go, or the node stops."""
        with self._ready:
            self._ready.wait_for(lambda: self._stopping or self._release, NO_SPACE_RETRY_SECONDS)

    def claim(self, timed_out: bool = False) -> tuple[list[Write], Index] | None:
        """Claim the next work without blocking; None if nothing is due. For the simulator, which
        has no thread here.

        Never waits; `timed_out` says that IDLE_SECONDS have passed since it was None. Then `work`,
        until that says True.
        """
        with self._ready:
            return self._take() if self._is_due(timed_out) else None

    def _is_due(self, timed_out: bool) -> bool:
        """Requires the condition. timed_out: nothing was written for IDLE_SECONDS."""
        if self._busy:
            return False
        idle = timed_out and bool(self._idle_due or self.no_space)
        return bool(self._writes or self._release or self._stopping or idle)

    def _take(self) -> tuple[list[Write], Index]:
        """Requires the condition. The log store is claimed until `work` has done with these."""
        self._busy = True
        writes, release = list(self._writes), self._release
        self._writes.clear()
        self._release = 0
        return writes, release

    def work(self, writes: list[Write], release: Index) -> bool:
        """Do what was claimed. False: there is no room, nothing was done, it is claimed still."""
        done = not writes or self._try_commit(writes)
        if not done and (release := max(release, self._take_release())):
            self._log.release(release)  # what may go, goes: that may be the room
            done = self._try_commit(writes)
        if done:
            self._is_done(writes, release)
        elif not self._stopping:
            return False
        with self._ready:
            self._busy = False
            if not done:
                self._give_up()
        return True

    def _is_done(self, writes: list[Write], release: Index) -> None:
        if writes:
            self._report(writes[-1].seq)
        elif not release:
            self._mark_idle()
        if release:
            self._log.release(release)
        if self.no_space:
            self._look_for_room()

    def _report(self, seq: WriteSeq) -> None:
        with self._ready:
            if self._awaited:
                # Not busy any more: what its end brings about may be waited for at once.
                self._awaited, self._busy, self._done_seq = False, False, seq
                self._done.release()
                return
        self._post(lambda: self._persisted(seq))

    def _give_up(self) -> None:
        """Requires the condition. What found no room was promised to nobody; nor is what follows,
        which would stand on it: it must not be written, though it be small enough.
        """
        self._given_up = True
        self._writes.clear()
        self._release = 0

    def _take_release(self) -> Index:
        with self._ready:
            release, self._release = self._release, 0
            return release

    def _look_for_room(self) -> None:
        """Is what was kept back to be had again? Then the disk is not full any more."""
        now = self._clock.now()
        if now - self._looked_at >= NO_SPACE_RETRY_SECONDS:
            self._looked_at = now
            self._log.make_room()
            self._note_room("")

    def _mark_idle(self) -> None:
        if self._idle_due and self._clock.now() - self._last_write >= IDLE_SECONDS / 2:
            self._log.idle()
            self._idle_due = False

    def _try_commit(self, writes: list[Write]) -> bool:
        """False: there is no room for the next segment, and nothing was written."""
        started = self._clock.now()
        try:
            self._log.commit(writes)
        except Exception as error:
            if not getattr(error, "retryable", False):
                raise
            self._note_room(f"nothing is acknowledged: {error}")
            return False
        self._note_room("")
        ended = self._clock.now()
        self._last_write, self._idle_due = ended, True
        self._measure(ended - started)
        self._pace.took(ended - started, ended)
        return True

    def _note_room(self, lacking: str) -> None:
        """lacking: what the log said when it found no room; "": it found some."""
        lacking = lacking or (SPENT if self._log.spent else "")
        tight = self._log.tight
        known = bool(self.no_space), self.tight
        self.no_space, self.tight = lacking, tight
        changed = self._room_changed
        if changed is not None and known != (bool(lacking), tight):
            self._post(lambda: changed(lacking, tight))

    @property
    def waiting(self) -> int:
        """Writes that wait for the one under way. Any thread; a moment's value."""
        return len(self._writes)

    def sync_seconds(self, now: float) -> float:
        """What a write and its sync take on average; 0 if none was made lately. Any thread."""
        return self._pace.average_seconds if now - self._last_write < PACE_SECONDS else 0.0

    def progress(self) -> object:
        """Differs whenever a write has ended; None without one, or without room. Any thread."""
        return self._last_write if self._busy and not self.no_space else None

    def stop(self) -> None:
        """Write what is queued, unless there is no room for it; then end the thread. Any
        thread.
        """
        with self._ready:
            self._stopping = True
            self._ready.notify()
