"""File descriptors kept back, so that the log and the snapshots go on when there are none left.

Whoever else opens files in this process (connections, first of all) may have taken the last one.
Then one of these is closed and the call made again; they are had again as soon as that is possible.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from raftd.storage.errors import is_no_files

T = TypeVar("T")


class Spares:
    """Any thread."""

    def __init__(self, count: int) -> None:
        """As many as there are to be had, up to `count`."""
        self._count = count
        self._lock = threading.Lock()
        self._spares: list[int] = []
        self._refill()

    def use(self, call: Callable[[], T]) -> T:
        """`call`, which opens a file. Raises what it raises; EMFILE only when no spare helped."""
        while True:
            try:
                made = call()
            except OSError as error:
                if not is_no_files(error) or not self._give_one_up():
                    raise
            else:
                if len(self._spares) < self._count:
                    self._refill()
                return made

    def _give_one_up(self) -> bool:
        with self._lock:
            if not self._spares:
                return False
            os.close(self._spares.pop())
            return True

    def _refill(self) -> None:
        with self._lock:
            try:
                while len(self._spares) < self._count:
                    self._spares.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:  # none to be had now: the next call tries again
                return

    def close(self) -> None:
        with self._lock:
            self._count = 0
            for spare in self._spares:
                os.close(spare)
            self._spares.clear()
