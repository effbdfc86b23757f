"""The clock of a real node."""

from __future__ import annotations

import time


class MonotonicClock:
    """Any thread."""

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def epoch_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000
