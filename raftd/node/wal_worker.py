"""Everything that becomes durable in the log goes through here: one queue, in the core's order.

While one batch syncs, the next ones gather; they become one write and one sync. The queue is filled
under the replica's lock (never blocking) and started by `kick` outside it. A write may be done
inline, on the network thread, which saves two thread hand-overs on the way to the acknowledgement:
only when nothing is queued or being written, and not while the disk is slow (disk_pace.py).
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
    ) -> None:
        """persisted: called through `post`, on the network thread. inline: False for ever on the
        thread. measure: told how long each write and its sync took, by whoever did them.
        """
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
        self._pace = DiskPace()
        self.no_space = False
        self.worker = Worker("raft-wal", self.run, fatal)

    # -- network thread --

    def put(self, writes: list[Write], release: Index) -> None:
        """Requires the replica's lock. Enqueues only; `kick` starts the work."""
        with self._ready:
            self._writes.extend(writes)
            self._release = max(self._release, release)

    def kick(self, inline: bool) -> None:
        """Do what was queued: here, if `inline` and it may be, else on the raft-wal thread."""
        if inline and self._inline and self._pace.quick(self._clock.now()):
            writes = self._claim()
            if writes:
                was_due = self._idle_due
                if self._try_commit(writes):
                    self._unclaim(wake=not was_due)
                    self._persisted(writes[-1].seq)
                else:
                    self._give_back(writes)
                return
        with self._ready:
            if self._writes or self._release:
                self._ready.notify()

    def _claim(self) -> list[Write]:
        """Take the queue and the log store, unless the thread has them."""
        with self._ready:
            if self._busy or not self._writes:
                return []
            self._busy = True
            writes = list(self._writes)
            self._writes.clear()
            return writes

    def _unclaim(self, wake: bool) -> None:
        """wake: the thread sleeps without a timeout and must begin to watch for idleness."""
        with self._ready:
            self._busy = False
            if wake or self._writes or self._stopping:
                self._ready.notify()

    def _give_back(self, writes: list[Write]) -> None:
        """No room: the thread waits for some, the network thread must go on turning."""
        with self._ready:
            self._busy = False
            self._writes.extendleft(reversed(writes))
            self._ready.notify()

    # -- raft-wal thread --

    def run(self) -> None:
        while self.step():
            pass

    def step(self) -> bool:
        """Wait for work and do it; False when stopped and nothing is left to write."""
        with self._ready:
            timed_out = False
            while not self._is_due(timed_out):
                timed_out = not self._ready.wait(IDLE_SECONDS if self._idle_due else None)
            if self._stopping and not self._writes:
                return False
            writes, release = self._take()
        while not self.work(writes, release):
            self._wait_for_space()
        return True

    def _wait_for_space(self) -> None:
        """Nothing is acknowledged until there is room, or the node stops."""
        with self._ready:
            self._ready.wait_for(lambda: self._stopping, NO_SPACE_RETRY_SECONDS)

    def claim(self, timed_out: bool = False) -> tuple[list[Write], Index] | None:
        """What `step` would do next, taken, or None: for who drives this without a thread.

        Never waits; `timed_out` says that IDLE_SECONDS have passed since it was None. Then `work`,
        until that says True.
        """
        with self._ready:
            return self._take() if self._is_due(timed_out) else None

    def _is_due(self, timed_out: bool) -> bool:
        """Requires the condition. timed_out: nothing was written for IDLE_SECONDS."""
        if self._busy:
            return False
        idle = timed_out and self._idle_due
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
        if writes:
            if self._try_commit(writes):
                seq = writes[-1].seq
                self._post(lambda: self._persisted(seq))
            elif not self._stopping:
                return False
            else:
                release = 0  # given up: nothing was promised on these
        elif not release:
            self._mark_idle()
        if release:
            self._log.release(release)
        with self._ready:
            self._busy = False
        return True

    def _mark_idle(self) -> None:
        if self._idle_due and self._clock.now() - self._last_write >= IDLE_SECONDS / 2:
            self._log.idle()
            self._idle_due = False

    # -- whoever has claimed the log store --

    def _try_commit(self, writes: list[Write]) -> bool:
        """False: there is no room for the next segment, and nothing was written."""
        started = self._clock.now()
        try:
            self._log.commit(writes)
        except Exception as error:
            if not getattr(error, "retryable", False):
                raise
            self.no_space = True
            return False
        self.no_space = False
        ended = self._clock.now()
        self._last_write, self._idle_due = ended, True
        self._measure(ended - started)
        self._pace.took(ended - started, ended)
        return True

    def stop(self) -> None:
        """Write what is queued, then end the thread. Any thread."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
