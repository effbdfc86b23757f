"""Is the store in one piece? While a snapshot is restored, on a thread of its own, it is not.

The machine's thread goes on meanwhile: streams of watchers take, and an operator may want a copy.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from raftd.machine.protocol import MachineError
from raftd.wire import refusals


class Whole:
    """apart: to be read with the lock held. Who reads the store holds it as long, so that a restore
    begins when nobody does.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.apart = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raises MachineError while it is apart."""
        with self.lock:
            if self.apart:
                raise MachineError(refusals.RESTORING_NOW)
            yield

    @contextmanager
    def taken_apart(self) -> Iterator[None]:
        """Waits for who reads, which takes milliseconds. What fails leaves it apart for good: the
        node has to stop.
        """
        with self.lock:
            self.apart = True
        yield
        with self.lock:
            self.apart = False
