"""A thread for what may take long: snapshot files, restoring a large state, hashing it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from raftd.node.ports import FatalPort
from raftd.node.supervision import Worker

JOBS_MAX = 256
"""Jobs waiting. Each comes from a bounded source; more than this is a bug, not a load."""


class JobWorker:
    """Runs jobs in order, one at a time.

    An exception in a job is fatal: jobs catch what they expect.
    """

    def __init__(self, name: str, fatal: FatalPort) -> None:
        self._ready = threading.Condition(threading.Lock())
        self._jobs: deque[Callable[[], None]] = deque()
        self._stopping = False
        self._steps = 0
        self._working = False
        self.worker = Worker(name, self.run, fatal)

    @property
    def stopping(self) -> bool:
        """For a long job that may as well be given up. Any thread."""
        return self._stopping

    def put(self, job: Callable[[], None]) -> None:
        """Never blocks. Any thread. Raises OverflowError past JOBS_MAX."""
        with self._ready:
            if len(self._jobs) >= JOBS_MAX:
                raise OverflowError(f"{len(self._jobs)} jobs are waiting")
            self._jobs.append(job)
            self._ready.notify()

    def run(self) -> None:
        while self.step():
            pass

    def step(self) -> bool:
        """Wait for a job and do it; False when stopped."""
        with self._ready:
            while not (self._jobs or self._stopping):
                self._ready.wait()
            if self._stopping:
                return False
            job = self._jobs.popleft()
        self.moved()
        self._working = True
        job()
        self._working = False
        return True

    def moved(self) -> None:
        """Called within a long job whenever it has come further."""
        self._steps += 1

    def progress(self) -> object:
        """Differs whenever a job has come further; None without one. Any thread."""
        return self._steps if self._working else None

    def pause(self, seconds: float) -> None:
        """For a job that must wait: so long, or until the worker is stopped."""
        with self._ready:
            self._ready.wait_for(lambda: self._stopping, seconds)

    def stop(self) -> None:
        """End after the job in progress; what waits is dropped. Any thread."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
