"""A thread that notices when the network thread answers nothing, and says where it is stuck."""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import threading

from raftd.admin.vitals import Vitals

LOG = logging.getLogger("raftd.watchdog")

FRAME = re.compile(r'File "(.*)", line (\d+) in (.*)')
FRAMES = 6
"""How much of the stack a warning shows, innermost last."""


class Watchdog:
    """Thread raft-watchdog. A stall is logged when it is noticed and when it is over."""

    def __init__(self, vitals: Vitals, thread_id: int, limit: float) -> None:
        """thread_id: of the network thread. limit: seconds of silence that count as a stall."""
        self._vitals = vitals
        self._thread_id = thread_id
        self._limit = limit
        self._stop = threading.Event()
        self._since: float | None = None
        self._due: float | None = None
        self.stalls = 0
        self._thread = threading.Thread(target=self._run, name="raft-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(1)

    def step(self) -> float:
        """Look once. Returns the seconds until the next look: half of the limit after it is over,
        by what is known now. With a look every half of the limit most of them found it fresh.
        """
        now = self._vitals.now()
        late = now - self._due if self._due is not None else 0.0
        pause = max(0.0, self._limit - self._vitals.silence()) + self._limit / 2
        self._due = now + pause
        if late > self._limit:
            # We did not run either: the process was stopped, or the machine is very busy.
            LOG.warning("the whole process stood still for %.2f s", late)
            self._since = None
        elif self._vitals.silence() <= self._limit:
            if self._since is not None:
                LOG.warning("the network thread goes on after %.2f s", now - self._since)
            self._since = None
        elif self._since is None:
            self._since = self._vitals.beat
            self.stalls += 1
            LOG.warning(
                "the network thread has not turned for %.2f s: %s",
                self._vitals.silence(),
                self._where(),
            )
        return pause

    def _run(self) -> None:
        while not self._stop.wait(self.step()):
            pass

    def _where(self) -> str:
        return " > ".join(stack_of(self._thread_id)[-FRAMES:]) or "where it is cannot be told"


def stack_of(thread_id: int) -> list[str]:
    """What another thread is at, innermost last; empty if it has ended, or not on Linux.

    Not by its frames: it goes on between two steps of ours, and Python 3.11 ends with a
    segmentation fault when one is looked at that has just returned. faulthandler writes all of it
    without letting anybody else run.
    """
    if not hasattr(os, "memfd_create"):
        return []
    # In memory: a disk may be what the thread waits for, and a pipe holds too little.
    with open(os.memfd_create("stack"), "r+b") as file:
        faulthandler.dump_traceback(file.fileno())
        file.seek(0)
        _, _, rest = file.read().decode(errors="replace").partition(f"0x{thread_id:016x}")
    lines = rest.partition("\n\n")[0].splitlines()[1:]
    frames = [found.groups() for line in lines[::-1] if (found := FRAME.search(line))]
    return [f"{file_name}:{number} {name}" for file_name, number, name in frames]
