"""Whether this node can do its work, looked at four times a second, and what follows if it cannot.

A log may be fine and heartbeats in time while the machine, or a thread, stands still: then nothing
that clients ask is answered, and nobody else would notice. So: standing still for long is said (in
words, by an event, by /readyz), callers are refused at once, and the core is told that this node
should not lead. What is merely slow moves, and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from raftd.core.events import EventKind
from raftd.node import health
from raftd.node.applying import Applying
from raftd.node.driver import CoreDriver
from raftd.node.health import Ailment
from raftd.node.settings import NodeSettings
from raftd.node.slow_signs import SlowSigns
from raftd.node.snapshot_policy import SnapshotPolicy
from raftd.node.snapshot_worker import SnapshotWorker
from raftd.node.state_digests import StateDigests
from raftd.node.wal_worker import WalWorker

LOOK_SECONDS = 0.25
LATE_SECONDS = 1.0
"""A look that comes so late says that this process stood still, not what it looks at."""

WORKER_STALL_SECONDS = 10.0
"""A worker's single step: a chunk read or written, a file synced. It ends, or a disk hangs."""


SLOW_SYNC_SECONDS = 0.1
"""Ten times what a disk should need; docs/operations.md has it among what to be woken for."""


class Standstill:
    """For how long something has been at the same place. Network thread."""

    def __init__(self, progress: Callable[[], object]) -> None:
        """progress: anything that differs whenever it has moved; None while there is no work."""
        self._progress = progress
        self._mark: object = None
        self._since = 0.0
        self.seconds = 0.0

    def look(self, now: float, excused_seconds: float) -> None:
        mark = self._progress()
        if mark is None or mark != self._mark:
            self._mark, self._since = mark, now
        else:
            self._since += excused_seconds
        self.seconds = now - self._since


class Wellbeing:
    """Network thread, but problems: any thread."""

    def __init__(
        self,
        driver: CoreDriver,
        applying: Applying,
        snapshot_policy: SnapshotPolicy,
        wal: WalWorker,
        snapshot_worker: SnapshotWorker,
        settings: NodeSettings,
        digests: StateDigests,
        slow_signs: SlowSigns,
    ) -> None:
        self._slow_signs = slow_signs
        self._driver = driver
        self._digests = digests
        self._core = driver.core
        self._clock = clock = driver.clock
        self._worker = applying.worker
        self._snapshot_policy = snapshot_policy
        self._limit = settings.machine_stall_unready_seconds
        self._log_limit = settings.log_memory_limit_bytes
        self._machine = Standstill(applying.worker.progress)
        self._log_full = Standstill(lambda: self._log_is_full() or None)
        self._sync_seconds = wal.sync_seconds
        self._threads = {
            "raft-wal": Standstill(wal.progress),
            "raft-snapshot": Standstill(snapshot_worker.slow.progress),
            "raft-bulk": Standstill(snapshot_worker.bulk.progress),
            "raft-digest": Standstill(digests.jobs.progress),
        }
        self._looked = clock.now()
        self._stalled = False
        self._unready_until = 0.0
        self._unfit = self._caught_up = False
        self._sources: list[Callable[[], Iterator[Ailment]]] = [
            self._of_machine,
            self._of_log,
            self._of_threads,
            self._of_disk,
            self._of_catching_up,
            digests.ailments,
        ]

    def add(self, source: Callable[[], Iterator[Ailment]]) -> None:
        """Something else that may be wrong. `source` is called on any thread and never blocks."""
        self._sources.append(source)

    @property
    def machine_busy_seconds(self) -> float:
        """For how long the machine has been in one call; 0 while it moves or has nothing to do."""
        return self._machine.seconds

    def ailments(self) -> list[Ailment]:
        return [ailment for source in self._sources for ailment in source()]

    def problems(self) -> Sequence[str]:
        """Why this node is not healthy, worst first; empty when it is. Any thread."""
        driver = self._driver
        found = health.problems(driver.state(), driver.stopped)
        return [*(ailment.text for ailment in self.ailments()), *found]

    def serving(self) -> bool:
        """May clients be sent here? It takes part, knows a leader, and is not unready."""
        lost = self._driver.stopped or self._core.leader_id is None
        return not lost and not self.unready()

    def unready(self) -> list[str]:
        """Why clients had better go to another node, in sentences."""
        return [ailment.text for ailment in self.ailments() if ailment.unready]

    def refusal(self) -> str:
        """Why nothing that is asked now would be answered; empty when it would."""
        return self._machine_text() if self._stalled else self._digests.refusal()

    # -- the look --

    def look(self) -> None:
        """Look once, act on what changed, and come back."""
        driver = self._driver
        if driver.stopped:
            return
        now = self._clock.now()
        gap, self._looked = now - self._looked, now
        excused = gap if gap > LATE_SECONDS else 0.0
        for standstill in (self._machine, self._log_full, *self._threads.values()):
            standstill.look(now, excused)
        self._note_machine(now)
        self._slow_signs.look(now)
        if self._log_is_full():
            # Only a snapshot makes room, and nothing may be applied that would ask for one.
            self._snapshot_policy.applied(self._worker.applied_index, 0, jumped=False)
        unfit = any(ailment.unfit for ailment in self.ailments())
        if unfit != self._unfit:
            self._unfit = unfit
            driver.enter(lambda now: self._core.fit_to_lead(not unfit))
        driver.on_beat(LOOK_SECONDS, self.look)

    def _note_machine(self, now: float) -> None:
        was, self._stalled = self._stalled, self._machine.seconds >= self._limit
        if self._stalled:
            self._unready_until = now + self._limit  # one that hangs again and again: no flapping
        if self._stalled and not was:
            self._tell(EventKind.MACHINE_STALLED, self._machine_text())
        elif was and not self._stalled:
            self._tell(EventKind.MACHINE_GOES_ON, "the state machine moves again")

    def _tell(self, kind: EventKind, text: str) -> None:
        self._driver.tell([self._driver.event(kind, text)])

    def _log_is_full(self) -> bool:
        return self._core.log.bytes > self._log_limit

    # -- what may be wrong --

    def _machine_text(self) -> str:
        doing = self._worker.doing()
        return (
            f"the state machine has been {doing} for {self._machine.seconds:.0f} s "
            f"(machine_stall_unready: {self._limit:g} s): what clients ask is not answered here"
        )

    def _of_machine(self) -> Iterator[Ailment]:
        if self._stalled:
            yield Ailment(self._machine_text(), unready=True, unfit=True)
        elif self._looked < self._unready_until:
            yield Ailment("the state machine stood still a moment ago", unready=True)

    def _of_log(self) -> Iterator[Ailment]:
        if not self._log_is_full():
            return
        failing = self._snapshot_policy.failing
        why = "snapshots cannot be written" if failing else "no snapshot has made room yet"
        yield Ailment(
            f"the log in memory is past log_memory_limit ({self._log_limit}), and {why}: "
            "new entries are refused or held back",
            unready=self._log_full.seconds >= self._limit,
            unfit=failing,
        )

    def _of_disk(self) -> Iterator[Ailment]:
        seconds = self._sync_seconds(self._clock.now())
        if seconds >= SLOW_SYNC_SECONDS:
            yield Ailment(
                f"a write to the log and its sync take {seconds * 1000:.0f} ms on average: "
                "the disk is slow, and every command waits for it"
            )

    def _of_catching_up(self) -> Iterator[Ailment]:
        """Who sent callers to a node that cannot tell yet who they are had them refused."""
        if self._caught_up:  # for as long as this process lives
            return
        state = self._driver.state()
        self._caught_up = bool(state.caught_up)
        if state.leader is not None and not state.caught_up:
            yield Ailment(
                "catching up: what was committed before this node was back is not applied yet "
                f"(applied {state.applied_index}, commit index {state.commit_index})",
                unready=True,
            )

    def _of_threads(self) -> Iterator[Ailment]:
        for name, standstill in self._threads.items():
            if standstill.seconds >= WORKER_STALL_SECONDS:
                yield Ailment(
                    f"thread {name} has not moved for {standstill.seconds:.0f} s: "
                    "its disk, or what it reads, does not answer"
                )
