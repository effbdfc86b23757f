"""The machine's owner: applies what is committed, in order and once, and answers queries between.

A quick machine lives on the network thread and is given slices of at most a millisecond, so that
heartbeats never wait for it; results then reach their callers without a hand-over between threads.
Any other machine lives on raft-apply. Either way one thread at a time touches the machine: while a
large snapshot is restored on the raft-snapshot thread, everything here waits (ownership.py).
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence

from raftd.core.comparing import Mark
from raftd.core.effects import Effects, Event
from raftd.core.types import Entry, EntryType, Index, SnapshotMeta, Term
from raftd.node.answering import Answering, Underway, pieces_of
from raftd.node.apply_jobs import (
    WITHIN_AN_ENTRY,
    ApplyEntries,
    Call,
    Capture,
    Captured,
    EventsWaiting,
    GoOn,
    Install,
    Job,
    Parts,
    Query,
    Slice,
    TakeParts,
    Tell,
    in_words,
    jobs_of,
)
from raftd.node.ownership import NOT_OURS, Ownership
from raftd.node.ports import Clock, FatalPort, NodeHandle
from raftd.node.supervision import Worker

__all__ = ["ApplyEntries", "ApplyWorker", "Capture", "Captured", "Install", "Job", "Slice", "Tell"]

SLICE_SECONDS = 0.001
"""How long a quick machine may hold the network thread at a time."""


class ApplyWorker:
    def __init__(
        self,
        ownership: Ownership,
        clock: Clock,
        fatal: FatalPort,
        report: Callable[[Slice], None],
        restore: Callable[[SnapshotMeta, Callable[[], None]], None],
        digest: Callable[[Mark, Parts], None] = lambda mark, parts: None,
    ) -> None:
        """report, and digest with the state at a mark: called on the owner's thread. restore(meta,
        then): put the snapshot into the machine, on any thread, then call `then` there.
        """
        self.ownership = ownership
        self._machine = NOT_OURS  # ours within a slice
        self._clock = clock
        self._report = report
        self._restore = restore
        self._digest = digest
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._jobs: deque[Job] = deque()
        self._waiting: list[tuple[Index, int, Query]] = []
        self._order = itertools.count()
        self._offset = 0  # entries of the first job that are done
        self._restoring: SnapshotMeta | None = None
        self._restored = self._more_queries = self._stopping = False
        self._handle: NodeHandle | None = None
        self._owner = self._slices = 0
        self._between_entries = True
        self._underway = Underway()
        self._doing: Job | None = None
        self._answering: Answering | None = None
        self._events = EventsWaiting()
        self.applied_index: Index = 0
        self.applied_term: Term = 0
        self.quick = ownership.quick
        self._watched = ownership.watches
        self.worker = None if self.quick else Worker("raft-apply", self.run, fatal)

    def offer(self, node: NodeHandle) -> None:
        """What the machine is attached to by `begin`. Before start."""
        self._handle = node

    def begin(self) -> None:
        """Once, on the owner's thread, before anything is applied or restored."""
        self._owner = threading.get_ident()
        if self._watched and self._handle is not None:
            self._machine = self.ownership.take()
            self._machine.attach(self._handle)
            self._give_back()

    def take(self, fx: Effects) -> None:
        """The machine's share of what the core wants, in order. Requires the driver's lock."""
        if fx.install is not None:
            self.put(Install(fx.install))
        for event in fx.events:
            self.tell(event)
        for job in jobs_of(fx):
            self.put(job)

    def tell(self, event: Event) -> None:
        """For a machine that watches. Network thread."""
        if self._watched and (told := self._events.told(event)) is not None:
            self.put(Tell(told))

    def mark(self) -> tuple[Index, Term, bytes]:
        """(applied index, its term, the sessions' bytes). Owner's thread, between two entries.

        Raises RuntimeError elsewhere: in the middle of an entry the sessions are of no index.
        """
        if threading.get_ident() != self._owner or self._machine is NOT_OURS:
            raise RuntimeError("mark_snapshot: call it on the machine's own thread, in a callback")
        if not self._between_entries:
            raise RuntimeError(WITHIN_AN_ENTRY)
        return self.applied_index, self.applied_term, self._machine.sessions()

    def put(self, job: Job, first: bool = False) -> None:
        """Enqueues only. Any thread; entries and installs under the driver's lock, so in order."""
        with self._lock:
            self._jobs.insert(0 if first else len(self._jobs), job)
            if self.worker is not None:
                self._ready.notify()

    def run(self) -> None:
        """raft-apply: only for a machine that is not quick."""
        self.begin()
        while True:
            with self._ready:
                while not (self._stopping or self.has_work()):
                    self._ready.wait()
                if self._stopping:
                    return
            self.step()

    def stop(self) -> None:
        with self._ready:
            self._stopping = True
            self._ready.notify()

    def has_work(self) -> bool:
        """Is there anything for `step` to do? A moment's value unless the lock is held."""
        if self._restoring is not None:
            return self._restored
        return bool(self._jobs) or self._more_queries

    def step(self) -> bool:
        """One slice of work on the owner's thread; True if there is more to do now."""
        if self._restoring is not None and not self._restored:
            return False
        self._slices += 1
        self._machine = self.ownership.take()
        self._take_restored()
        deadline, done = self._clock.now() + SLICE_SECONDS, Slice([], [])
        while self._restoring is None and (self._answering or self._jobs):
            if self._answering is not None:
                self._answer(self._answering, done, deadline)
            else:
                self._one(self._jobs[0], done, deadline)
            if (over := self._clock.now() - deadline) >= 0:
                done.seconds = over + SLICE_SECONDS
                break
        self._more_queries = self._release_waiting(done)
        self._give_back()
        done.index = self.applied_index
        if done.applied or done.answers or done.jumped_to:
            self._report(done)
        return self.has_work() and self._restoring is None

    def _give_back(self) -> None:
        if self._machine is not NOT_OURS:
            self._machine = NOT_OURS
            self.ownership.give_back()

    def progress(self) -> object:
        """Differs whenever the machine has moved; None while it has nothing to do. Any thread."""
        if self._restoring is not None:
            return self._restoring
        if self._machine is NOT_OURS:
            return None
        left = 0 if (answering := self._answering) is None else answering.left
        return self._slices, self.ownership.commands_left(), left

    def doing(self) -> str:
        """What the machine is at, in words: it "has been ...". Any thread."""
        restoring = self._restoring
        if restoring is not None:
            return f"restoring the snapshot at {restoring.index}"
        return in_words(self._doing, self.applied_index)

    def _one(self, job: Job, done: Slice, deadline: float) -> None:
        self._doing = job
        if isinstance(job, ApplyEntries):
            if not self._apply(job.entries, done, deadline):
                return
        elif isinstance(job, Query):
            self._query(job)
        elif isinstance(job, Capture):
            sessions, chunks = self._machine.capture()
            job.done((self.applied_index, self.applied_term, sessions, chunks))
        elif isinstance(job, TakeParts):
            if job.mark.index == self.applied_index:
                self._digest(job.mark, self._machine.parts())
        elif isinstance(job, Tell):
            self._events.seen += 1
            self._machine.on_event(job.event)
        elif isinstance(job, Call):
            job.call()
        elif isinstance(job, GoOn):
            if not self._underway.through(self._clock.now, deadline):
                return
        else:
            self._machine = NOT_OURS
            self.ownership.lend()
            self._restoring = job.meta
            self._restore(job.meta, self._restore_is_over)
        with self._lock:
            self._jobs.popleft()
            self._offset = 0

    def _apply(self, entries: Sequence[Entry], done: Slice, deadline: float) -> bool:
        """True when all of `entries` are applied; False when the slice is used up."""
        now, underway = self._clock.now, self._underway
        for place in range(self._offset, len(entries)):
            entry = entries[place]
            if not (
                (underway.after is not None or self._applied(entry, deadline))
                and underway.through(now, deadline)
            ):
                self._offset = place
                return False
            done.applied.append((entry, underway.results))
            done.bytes += len(entry.payload)
            if now() >= deadline and place + 1 < len(entries):
                self._offset = place + 1
                return False
        return True

    def _applied(self, entry: Entry, deadline: float) -> bool:
        """False: the slice is used up. True: what may be left is for `underway` to end."""
        underway, machine = self._underway, self._machine
        underway.results = b""
        if entry.type is EntryType.BATCH:
            self._between_entries = False
            if not underway.go_on(machine.apply_batch, entry, self._clock.now, deadline):
                return False
            self._between_entries = True
        self.applied_index, self.applied_term = entry.index, entry.term
        if self._watched:
            underway.after = pieces_of(machine.on_applied(entry.index))
        return True

    def _query(self, job: Query) -> None:
        if job.index > self.applied_index:
            heapq.heappush(self._waiting, (job.index, next(self._order), job))
        else:
            self._answering = Answering(job)

    def _answer(self, answering: Answering, done: Slice, deadline: float) -> None:
        self._doing = answering.job
        if answering.go_on(self._machine.query, self._clock.now, deadline):
            self._answering = None
            done.answers.append((answering.job.done, answering.answered(self.applied_index)))

    def _release_waiting(self, done: Slice) -> bool:
        """Answer the queries whose index is applied; True if some are left for the next slice.

        Those that are behind a restore wait for it: the machine is not ours until it is over. And
        while half of an entry is applied the state is of no index; what comes after is part of it.
        """
        if self._restoring is not None or self._underway.busy:
            return False
        deadline = self._clock.now() + SLICE_SECONDS
        while not self._answering and self._waiting and self._waiting[0][0] <= self.applied_index:
            if self._clock.now() >= deadline:
                return True
            self._answering = Answering(heapq.heappop(self._waiting)[2])
            self._answer(self._answering, done, deadline)
        return self._answering is not None

    @property
    def backlog(self) -> int:
        """Jobs that wait, and queries for their index. Any thread; a moment's value."""
        return len(self._jobs) + len(self._waiting)

    def take_queries(self) -> list[Query]:
        """Take all queries that are not answered. Owner's thread, or after it has ended."""
        waiting = [] if self._answering is None else [self._answering.job]
        waiting += [query for _, _, query in self._waiting]
        self._answering, self._waiting = None, []
        with self._lock:
            waiting += [job for job in self._jobs if isinstance(job, Query)]
            self._jobs.clear()
        return waiting

    def _restore_is_over(self) -> None:
        """Any thread: the machine is ours again; `step` goes on."""
        self.ownership.take_back()
        with self._ready:
            self._restored = True
            self._ready.notify()

    def _take_restored(self) -> None:
        if not self._restored or self._restoring is None:
            return
        meta = self._restoring
        self._restored, self._restoring = False, None
        self.applied_index, self.applied_term = meta.index, meta.term
        if self._watched:
            self._underway.after = pieces_of(self._machine.on_applied(meta.index))
            self.put(GoOn(), first=True)
        self._report(Slice([], [], index=meta.index, jumped_to=meta.index))
