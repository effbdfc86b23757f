"""How fast a long transfer goes beside other work: fully while there is none, at a pace otherwise.

One thread serves everybody, and all nodes may share one machine's cores. A file of hundreds of
megabytes that is sent as fast as it is read takes both for seconds, and each put waits behind it.
"""

from __future__ import annotations

PACE_BYTES_PER_SECOND = 16 << 20
"""Beside other work: some 15 % of a core, and a gigabyte a minute."""

QUIET_SECONDS = 1.0
"""Without an entry for so long, there is no other work."""


class Pace:
    """Of one transfer. One thread; times are of one monotonic clock, in seconds."""

    def __init__(self, bytes_per_second: float, now: float) -> None:
        """Until it is known better, others are at work."""
        self._rate = bytes_per_second
        self._worked_at = now
        self._work = -1
        self._due = now

    def rest(self, size: int, work: int, now: float) -> float:
        """Seconds until the next piece may go, after one of `size` bytes.

        work: a number that moves when others' work is done, as the commit index does. What a slow
        reader or disk costs counts as rest.
        """
        if work != self._work:
            self._work, self._worked_at = work, now
        if now - self._worked_at >= QUIET_SECONDS:
            self._due = now
            return 0.0
        self._due = max(self._due + size / self._rate, now)
        return self._due - now
