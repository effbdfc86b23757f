"""An orderly stop that takes its time: what ships waits for its workers, and the world goes on.

`raftd.node.node.Node.stop` runs on a thread of its own, which goes to sleep where it joins a
worker, until that has ended or its patience is over. One of the two threads runs at a time, so a
run is the same every time. Meanwhile disks turn, faults come, and the process may be killed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.sim.bell import Died

if TYPE_CHECKING:
    from tests.sim.process import Process

GRACE_SECONDS = 10.0
"""A supervisor's patience; then it kills."""


class Stop:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._resume = threading.Semaphore(0)
        self._paused = threading.Semaphore(0)
        self._killed = False
        self._ended = False
        self._error: BaseException | None = None
        self._good = False
        self._ready: Callable[[], bool] = bool
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._body, name="stop", daemon=True)

    def begin(self) -> None:
        self._thread.start()
        self._process.world.after(GRACE_SECONDS, self._out_of_patience)
        self._wait_for_it()

    def _body(self) -> None:
        try:
            self._good = self._process.raftd.stop("stopping")
        except BaseException as error:  # noqa: BLE001 - raised again where the world turns
            self._error = error
        self._ended = True
        self._paused.release()

    def join(self, ready: Callable[[], bool], timeout: float) -> bool:
        """On the stopping thread: sleep until `ready`. False: not within `timeout` seconds."""
        world = self._process.world
        self._ready, self._deadline = ready, world.now + timeout
        world.at(self._deadline, self.look)
        while not ready() and world.now < self._deadline:
            self._paused.release()
            self._resume.acquire()
            if self._killed:
                raise Died
        return ready()

    def look(self) -> None:
        """Something may be ready, or time is up. A world's event."""
        over = self._process.world.now >= self._deadline
        if not self._ended and (over or self._ready()):
            self._resume.release()
            self._wait_for_it()

    def kill(self) -> None:
        """The process dies: nobody waits any more."""
        if not self._ended and threading.current_thread() is not self._thread:
            self._killed = True
            self._resume.release()
            self._paused.acquire()

    def _wait_for_it(self) -> None:
        self._paused.acquire()
        if self._error is not None and not isinstance(self._error, Died):
            raise self._error
        if self._ended and self._process.alive:
            self._process.stopped(good=self._good and self._error is None)

    def _out_of_patience(self) -> None:
        process = self._process
        if process.alive:
            process.node.cluster.crash(
                process.node, "killed, it would not stop", lose_unsynced=False
            )
