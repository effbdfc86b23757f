"""The machine's work as the network thread sees it: when it gets its slices, and what came of them.

All methods: network thread, except where a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from raftd.core.comparing import Mark
from raftd.core.effects import Effects
from raftd.core.events import EventKind
from raftd.core.types import Index, SnapshotMeta
from raftd.node.apply_jobs import Parts
from raftd.node.apply_worker import ApplyWorker, Job, Slice
from raftd.node.driver import CoreDriver
from raftd.node.measures import Measures
from raftd.node.outcomes import Refusal, Refused
from raftd.node.ownership import Ownership
from raftd.node.ports import Clock, FatalPort
from raftd.node.snapshot_worker import SnapshotWorker
from raftd.node.waiters import Waiters

Applied = Callable[[Index, int, bool], None]


class Applying:
    """A quick machine works here, on the network thread; any other on raft-apply reports here."""

    def __init__(
        self,
        driver: CoreDriver,
        ownership: Ownership,
        snapshot_worker: SnapshotWorker,
        clock: Clock,
        fatal: FatalPort,
        digest: Callable[[Mark, Parts], None],
        measures: Measures,
    ) -> None:
        self._slow = measures.slow_applies
        self.waiters = Waiters()
        """Who waits for an entry to be applied."""
        self.worker = ApplyWorker(ownership, clock, fatal, self._report, self._restore, digest)
        self._driver = driver
        self._snapshot_worker = snapshot_worker
        self._busy = False
        self._listeners: list[Applied] = []

    def on_applied(self, call: Applied) -> None:
        """Call this with (index, bytes applied, whether a snapshot was restored) after each slice.

        Before start.
        """
        self._listeners.append(call)

    # -- for the driver --

    def take(self, fx: Effects) -> None:
        """Requires the driver's lock. Enqueues only."""
        self.worker.take(fx)

    def jump(self, index: Index) -> None:
        """A snapshot takes the place of all entries up to `index`."""
        self.waiters.fail_up_to(index, "a snapshot jumped over the entry")

    def go_on(self) -> None:
        """A quick machine works right here; the rest of a long slice waits for the next turn."""
        if not self.worker.quick or self._busy:
            return
        self._busy = True
        try:
            more = self._driver.guarded("the state machine", self.worker.step)
        finally:
            self._busy = False
        if more:
            self._driver.soon(self.resume)

    # -- for the node's other duties --

    def put(self, job: Job) -> None:
        """Enqueue work between entries; then call `go_on`, or `resume` in a later turn."""
        self.worker.put(job)

    def resume(self) -> None:
        """The machine is free again, or there is more to do."""
        if not self._driver.stopped:
            self.go_on()

    def announce(self, kind: EventKind, text: str) -> None:
        """An event of the node's own, for its listeners and for a machine that watches."""
        event = self._driver.event(kind, text)
        self.worker.tell(event)
        self._driver.tell([event])
        self._driver.soon(self.resume)

    # -- for the worker --

    def _restore(self, meta: SnapshotMeta, then: Callable[[], None]) -> None:
        """Thread: the machine's owner."""

        def restored() -> None:
            then()
            self._driver.post(self.resume)

        self._snapshot_worker.restore(meta, restored)

    def _report(self, done: Slice) -> None:
        """What a slice of applying did. Thread: the machine's owner."""
        if self.worker.quick:
            self._applied(done)
        else:
            self._driver.post(lambda: self._applied(done))

    def _applied(self, done: Slice) -> None:
        driver = self._driver
        if driver.stopped:
            refused = Refused(Refusal.UNAVAILABLE, driver.stopped)
            for callback, _ in done.answers:
                callback(refused)
            return
        if done.seconds >= self._slow.limit_seconds:
            self._slow.note(done.seconds, _in_words(done))
        driver.applied(done.index)
        for entry, results in done.applied:
            self.waiters.applied(entry, results)
        for callback, outcome in done.answers:
            callback(outcome)
        if done.jumped_to:
            driver.soon(self.resume)
        for call in self._listeners:
            call(done.index, done.bytes, bool(done.jumped_to))


def _in_words(done: Slice) -> str:
    """What the machine did in it."""
    parts = []
    if done.applied:
        first, last = done.applied[0][0].index, done.applied[-1][0].index
        of = f"entry {last}" if first == last else f"entries {first} to {last}"
        parts.append(f"{of} ({done.bytes} bytes)")
    if done.answers:
        parts.append(f"{len(done.answers)} frames of queries")
    return " and ".join(parts) or f"a snapshot at {done.jumped_to}"
