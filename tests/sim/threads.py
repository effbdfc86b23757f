"""What stands for the worker threads of raftd/node: the same workers, run by events.

A thread here is asleep until its condition is notified, or a wait of its own is over; then it runs,
a little later, does one thing that takes simulated time, and looks again. A notification that comes
while it is awake is lost, as on a real condition. Nothing ever blocks. What is on a disk that hangs
is done when that goes on, or, when the process dies first, up to some point.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from raftd.core.types import Index, Write
from raftd.node.apply_worker import ApplyWorker
from raftd.node.job_worker import JobWorker
from raftd.node.wal_worker import (
    IDLE_SECONDS,
    NO_SPACE_RETRY_SECONDS,
    WAIT_SECONDS_MAX,
    WalWorker,
)
from raftd.storage.errors import StorageError
from tests.sim.bell import Bell
from tests.storage.memory_fs import PowerCut

if TYPE_CHECKING:
    from tests.sim.process import Process

CUT_SHORT_CALLS = 14
"""A crash in the middle of an operation comes at one of its first so many file system calls."""


class Thread(ABC):
    """In the place of raftd.node.supervision.Worker."""

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._world = process.world
        self._disk = process.node.disk
        self._name = name
        self._asleep = True
        self._dead = False
        self._ended = False
        self.hangs = False
        """What it does is on a disk that hangs."""

    @property
    def at_work(self) -> bool:
        return not (self._asleep or self._dead or self._ended)

    def start(self) -> None:
        self.rung()

    def rung(self) -> None:
        if self._asleep:
            self._asleep = False
            self._after(self._process.wake_seconds(), self._look)

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._world.after(seconds, self._process.turn, self._body, call)

    def _on_disk(self, seconds: float, call: Callable[[], None]) -> None:
        """`call` once the disk has worked for `seconds`; if it hangs, not before it goes on."""
        if not self._disk.hung:
            self._after(seconds, call)
            return
        self.hangs = True
        self._world.stats["hung syncs"] += 1
        self._disk.park(lambda: self._goes_on(call))

    def _goes_on(self, call: Callable[[], None]) -> None:
        self.hangs = False
        self._process.turn(self._body, call)

    def _body(self, call: Callable[[], None]) -> None:
        if self._dead or self._ended:
            return
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - as Worker does: nothing may be swallowed
            self._dead = True
            self._process.stop_goes_on()
            self._process.fatal(f"thread {self._name} died", error)

    def _end(self) -> None:
        self._ended = True
        self._process.stop_goes_on()

    @abstractmethod
    def _look(self) -> None:
        """Awake: begin what there is to do, or go to sleep, or end."""

    def join(self, timeout: float) -> bool:
        """On the stopping thread: the worker was told to stop."""
        stop = self._process.stop_under_way
        assert stop is not None
        return stop.join(lambda: self._ended or self._dead, timeout)

    @abstractmethod
    def cut_short(self) -> None:
        """The process dies: what was under way is done up to some point."""

    def _cut(self, call: Callable[[], None], what: str) -> None:
        try:
            with self._process.node.image.crash_at(self._disk.rng.randint(0, CUT_SHORT_CALLS)):
                call()
        except (PowerCut, StorageError, OSError):
            self._world.stats[f"{what} cut short"] += 1


class WalThread(Thread):
    def __init__(self, process: Process, wal: WalWorker) -> None:
        super().__init__(process, "raft-wal")
        self._wal = wal
        wal._ready = Bell(self.rung)
        wal._is_done_in_time = self._is_done_in_time  # type: ignore[method-assign]
        self._taken: tuple[list[Write], Index] | None = None
        self._sleeps = 0
        self._waits = 0
        self.waits_for_room = False
        self.working = False
        self.seconds = 0.0
        """What the write under way takes."""

    @property
    def writes(self) -> bool:
        return self._taken is not None and bool(self._taken[0]) and not self.waits_for_room

    def rung(self) -> None:
        if self.waits_for_room and (self._wal._stopping or self._wal._release):
            self._again(self._waits)
        else:
            super().rung()

    def _look(self) -> None:
        if self._wal._stopping and not (self._wal._writes or self._wal._busy):
            self._end()
        else:
            self._begin(self._wal.claim())

    def _begin(self, taken: tuple[list[Write], Index] | None) -> None:
        if taken is None:
            self._asleep = True
            self._sleeps += 1
            patience = IDLE_SECONDS if self._wal._idle_due else NO_SPACE_RETRY_SECONDS
            if self._wal._idle_due or self._wal.no_space:
                sleep = self._sleeps
                self._after(patience, lambda: self._timed_out(sleep))
            return
        self._taken = taken
        if taken[0]:
            self._write(self._disk.sync_seconds())
        else:
            self.seconds = 0.0
            self._after(0.0, self._work)

    def _write(self, seconds: float) -> None:
        began = self._world.now

        def work() -> None:
            self.seconds = self._world.now - began
            self._work()

        self._on_disk(seconds, work)

    def _is_done_in_time(self) -> bool:
        """The network thread waits for the write: the disk may be quick enough, or not."""
        taken = self._wal.claim()
        assert taken is not None, "it waits for something that nobody can do"
        self._asleep, self.seconds = False, self._disk.sync_seconds()
        self._taken = taken
        if self._disk.hung or self.seconds > WAIT_SECONDS_MAX:
            self._process.checkers.network_waits(self._process.node.name, WAIT_SECONDS_MAX)
            self._process.costs(WAIT_SECONDS_MAX)
            self._write(self.seconds)
        elif self._wal.work(*taken):
            self._taken = None
            self._look()
            return self._wal._done.acquire(blocking=False)
        else:
            self._wait_for_room()
        return self._wal._comes_late()

    def _timed_out(self, sleep: int) -> None:
        if self._asleep and sleep == self._sleeps:
            self._asleep = False
            self._begin(self._wal.claim(timed_out=True))

    def _work(self) -> None:
        process = self._process
        assert self._taken is not None
        self._world.events += 1
        if self._taken[0] and process.node.doomed == "log":
            process.crash("in a commit")
        if not self._do(*self._taken):
            self._wait_for_room()
            return
        self._taken = None
        self._look()

    def _wait_for_room(self) -> None:
        self.waits_for_room = True
        self._waits += 1
        wait = self._waits
        process = self._process
        if self._disk.full and not self._disk.no_files:  # to let go makes room, not descriptors
            process.checkers.waits_for_room(process.node.name, process.stores.wal)
        self._after(NO_SPACE_RETRY_SECONDS, lambda: self._again(wait))

    def _again(self, wait: int) -> None:
        if self.waits_for_room and wait == self._waits:
            self.waits_for_room = False
            self._after(self._process.wake_seconds(), self._work)

    def _do(self, writes: list[Write], release: Index) -> bool:
        """Its clock began when the write did."""
        process = self._process
        process.spent = -self.seconds
        self.working = True
        try:
            return self._wal.work(writes, release)
        finally:
            self.working = False
            process.spent = 0.0

    def cut_short(self) -> None:
        writes = self._taken[0] if self._taken is not None else []
        if writes and not self._dead:
            self._process.checkers.nothing_after_a_gap(self._process.node.name, writes)
            self._cut(lambda: self._process.stores.wal.commit(writes), "writes")


class JobThread(Thread):
    def __init__(self, process: Process, name: str, worker: JobWorker) -> None:
        super().__init__(process, name)
        self._worker = worker
        worker._ready = Bell(self.rung, process.costs)

    def _look(self) -> None:
        if self._worker._stopping:
            self._end()
        elif self._worker._jobs:
            seconds = self._disk.sync_seconds() + self._process.machine.restore_seconds()
            self._on_disk(seconds, self._work)
        else:
            self._asleep = True

    def _work(self) -> None:
        process, node, worker = self._process, self._process.node, self._worker
        self._world.events += 1
        if node.doomed == "snapshot":
            process.crash("in a snapshot")
        with process.disk.ill_will():
            if worker._stopping:  # it was begun before
                worker._jobs.popleft()()
            else:
                worker.step()
        # What it waited in the middle of its job it cannot use for the next one.
        self._after(process.spent, self._look)

    def cut_short(self) -> None:
        if self.at_work and self._worker._jobs:
            self._cut(self._worker._jobs[0], "snapshots")


class DigestThread(JobThread):
    """What it does is in memory: no disk holds it up, and nothing is lost with it."""

    def _look(self) -> None:
        if self._worker._stopping:
            self._end()
        elif self._worker._jobs:
            self._after(self._process.wake_seconds(), self._work)
        else:
            self._asleep = True

    def _work(self) -> None:
        self._world.events += 1
        self._world.stats["states digested"] += 1
        if self._worker._stopping:
            self._end()
        else:
            self._worker.step()
            self._after(self._process.spent, self._look)

    def cut_short(self) -> None:
        """A hash in memory has nothing to cut."""


class ApplyThread(Thread):
    """The owner of a machine that is not quick."""

    def __init__(self, process: Process, worker: ApplyWorker) -> None:
        super().__init__(process, "raft-apply")
        self._worker = worker
        worker._ready = Bell(self.rung, lock=worker._lock)

    def start(self) -> None:
        self._worker.begin()
        self.rung()

    def _look(self) -> None:
        worker = self._worker
        if worker._stopping:
            self._end()
        elif worker.has_work():
            self._world.events += 1
            worker.step()
            self._after(self._process.spent, self._look)
        else:
            self._asleep = True

    def cut_short(self) -> None:
        """A machine in memory has nothing to cut."""
