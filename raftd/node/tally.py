"""How often something took too long, and how long at the worst, until somebody asks."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Taken:
    """What was noted since the last time. about: of the longest one."""

    count: int
    longest_seconds: float
    about: str


class Tally:
    """Any thread. Only what is over the limit takes the lock, so the ordinary case is a look."""

    def __init__(self, limit_seconds: float) -> None:
        self.limit_seconds = limit_seconds
        self.total = 0
        """Since the start."""
        self._lock = threading.Lock()
        self._taken = Taken(0, 0.0, "")

    def note(self, seconds: float, about: str = "") -> None:
        """It took so long, which is over the limit."""
        with self._lock:
            before = self._taken
            self.total += 1
            if seconds < before.longest_seconds:
                seconds, about = before.longest_seconds, before.about
            self._taken = Taken(before.count + 1, seconds, about)

    def take(self) -> Taken:
        """What was noted since the last call; it is forgotten here."""
        with self._lock:
            taken, self._taken = self._taken, Taken(0, 0.0, "")
            return taken
