"""What stands for the worker threads of raftd/node: the same workers, run by events.

A thread here is asleep until its condition is notified, or a wait of its own is over; then it runs,
a little later, does one thing that takes simulated time, and looks again. A notification that comes
while it is awake is lost, as on a real condition. Nothing ever blocks.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

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
from tests.sim.disk_worker import CUT_SHORT_CALLS
from tests.storage.memory_fs import PowerCut

if TYPE_CHECKING:
    from tests.sim.shipped import ShippedProcess


T = TypeVar("T")


class Died(BaseException):
    """The process has ended: whoever is running in it stops where he is."""


class Bell(threading.Condition):
    """The condition of one worker: it wakes by an event, and never waits."""

    def __init__(
        self,
        rung: Callable[[], None],
        waited: Callable[[float], None] | None = None,
        lock: threading.Lock | None = None,
    ) -> None:
        super().__init__(lock or threading.Lock())
        self._rung = rung
        self._waited = waited

    def notify(self, n: int = 1) -> None:
        self._rung()

    def wait(self, timeout: float | None = None) -> bool:
        raise AssertionError("a worker was run with nothing to do")

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """A pause in the middle of work: what is posted after it comes so much later."""
        assert self._waited is not None
        assert timeout is not None
        self._waited(timeout)
        return predicate()


class Thread(ABC):
    """In the place of raftd.node.supervision.Worker."""

    def __init__(self, process: ShippedProcess, name: str) -> None:
        self._process = process
        self._world = process.world
        self._disk = process.node.disk
        self._name = name
        self._asleep = True
        self._dead = False

    def start(self) -> None:
        self.rung()

    def rung(self) -> None:
        if self._asleep:
            self._asleep = False
            self._after(self._process.wake_seconds(), self._look)

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._world.after(seconds, self._process.turn, self._body, call)

    def _body(self, call: Callable[[], None]) -> None:
        if self._dead:
            return
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - as Worker does: nothing may be swallowed
            self._dead = True
            self._process.fatal(f"thread {self._name} died", error)

    @abstractmethod
    def _look(self) -> None:
        """Awake: begin what there is to do, or go to sleep."""

    @abstractmethod
    def join(self, timeout: float) -> bool:
        """The worker was told to stop: do the rest now."""

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
    def __init__(self, process: ShippedProcess, wal: WalWorker) -> None:
        super().__init__(process, "raft-wal")
        self._wal = wal
        wal._ready = Bell(self.rung)
        wal._is_done_in_time = self._is_done_in_time  # type: ignore[method-assign]
        self._taken: tuple[list[Write], Index] | None = None
        self._sleeps = 0
        self.working = False
        self.seconds = 0.0
        """What the write under way takes."""
        self.inline: list[Write] = []
        """Being written on the network thread."""

    def _look(self) -> None:
        self._begin(self._wal.claim())

    def _begin(self, taken: tuple[list[Write], Index] | None) -> None:
        if taken is None:
            self._asleep = True
            self._sleeps += 1
            if self._wal._idle_due:
                sleep = self._sleeps
                self._after(IDLE_SECONDS, lambda: self._timed_out(sleep))
            return
        self._taken = taken
        self.seconds = self._disk.sync_seconds() if taken[0] else 0.0
        self._after(self.seconds, self._work)

    def _is_done_in_time(self) -> bool:
        """The network thread waits for the write: the disk may be quick enough, or not."""
        taken = self._wal.claim()
        assert taken is not None, "it waits for something that nobody can do"
        self._asleep, self.seconds = False, self._disk.sync_seconds()
        if self.seconds > WAIT_SECONDS_MAX:
            self._process.costs(WAIT_SECONDS_MAX)
        elif self._wal.work(*taken):
            self._look()
            return self._wal._done.acquire(blocking=False)
        self._taken = taken
        self._after(self.seconds, self._work)
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
            self._after(NO_SPACE_RETRY_SECONDS, self._work)
            return
        self._taken = None
        self._look()

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

    def join(self, timeout: float) -> bool:
        self.seconds = 0.0
        while self._taken is not None or self._wal._writes:
            self._do(*(self._taken or self._wal._take()))
            self._taken = None
        return not self._dead

    def cut_short(self) -> None:
        writes = self.inline or (self._taken[0] if self._taken is not None else [])
        if writes and not self._dead:
            self._cut(lambda: self._process.stores.wal.commit(writes), "writes")


class JobThread(Thread):
    def __init__(self, process: ShippedProcess, name: str, worker: JobWorker) -> None:
        super().__init__(process, name)
        self._worker = worker
        worker._ready = Bell(self.rung, process.costs)

    def _look(self) -> None:
        if self._worker._jobs:
            self._after(self._disk.sync_seconds(), self._work)
        else:
            self._asleep = True

    def _work(self) -> None:
        process, node = self._process, self._process.node
        self._world.events += 1
        if node.doomed == "snapshot":
            process.crash("in a snapshot")
        with process.ill_will():
            self._worker.step()
        # What it waited in the middle of its job it cannot use for the next one.
        self._after(process.spent, self._look)

    def join(self, timeout: float) -> bool:
        if not self._asleep and self._worker._jobs:
            self._worker._jobs.popleft()()
        return not self._dead

    def cut_short(self) -> None:
        if not self._asleep and not self._dead and self._worker._jobs:
            self._cut(self._worker._jobs[0], "snapshots")


class ApplyThread(Thread):
    """The owner of a machine that is not quick."""

    def __init__(self, process: ShippedProcess, worker: ApplyWorker) -> None:
        super().__init__(process, "raft-apply")
        self._worker = worker
        worker._ready = Bell(self.rung, lock=worker._lock)

    def start(self) -> None:
        self._worker.begin()
        self.rung()

    def _look(self) -> None:
        worker = self._worker
        if worker.has_work():
            self._world.events += 1
            worker.step()
            self._after(self._process.spent, self._look)
        else:
            self._asleep = True

    def join(self, timeout: float) -> bool:
        return not self._dead

    def cut_short(self) -> None:
        """A machine in memory has nothing to cut."""
