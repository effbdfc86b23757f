"""Whether the disk is quick enough to be waited for on the network thread.

One slow sync says little: on a busy machine it was the process that waited, not the disk, and a
way through the loop would have waited longer. So the judge is a running average: syncs that
are slow on the whole, or one that takes as long as many, end the waiting for a while.
"""

from __future__ import annotations

SYNC_SECONDS_MAX = 0.005
"""What syncs may take on average. A single sync of 40 ms after fast ones keeps the average just
below this."""

WEIGHT = 1 / 8
"""The share of the newest sync in the average."""

PAUSE_SECONDS_MIN = 1.0
PAUSE_SECONDS_MAX = 60.0
"""How long the network thread then does not wait for writes. Each time that it waits again and the
disk is still slow, the pause doubles; when it goes well, the pause halves."""


class DiskPace:
    """Whoever has claimed the log store may call it: one thread at a time."""

    def __init__(self) -> None:
        self._average = 0.0
        self._inline_from = 0.0
        self._pause = PAUSE_SECONDS_MIN

    @property
    def average_seconds(self) -> float:
        """Of the last syncs, each with the write before it. Any thread."""
        return self._average

    def quick(self, now: float) -> bool:
        """May the network thread wait for the next sync? `now`: seconds, monotonic. Any thread."""
        return now >= self._inline_from

    def took(self, seconds: float, now: float) -> None:
        """A write and its sync took so long, and ended at `now`."""
        self._average += (seconds - self._average) * WEIGHT
        paused = now < self._inline_from
        if self._average > SYNC_SECONDS_MAX:
            if paused:  # still slow: not before it has been quick again
                self._inline_from = max(self._inline_from, now + PAUSE_SECONDS_MIN)
                return
            self._inline_from = now + self._pause
            self._pause = min(2 * self._pause, PAUSE_SECONDS_MAX)
        elif not paused:
            self._pause = max(self._pause / 2, PAUSE_SECONDS_MIN)
