"""Two limits: a bucket that leaks, and bytes that several hold together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """What comes in bursts and may not go on for ever: it fills by `add` and leaks with time."""

    most: float
    each_second: float
    level: float = 0.0
    at: float = 0.0

    def add(self, amount: float, now: float) -> bool:
        """False: the bucket has run over. `now`: a monotonic clock, seconds."""
        self.level = max(0.0, self.level - (now - self.at) * self.each_second) + amount
        self.at = now
        return self.level <= self.most


class Budget:
    """Bytes held in memory for all connections of one owner."""

    __slots__ = ("held", "most")

    def __init__(self, most_bytes: int) -> None:
        self.most = most_bytes
        self.held = 0

    def room(self, size_bytes: int) -> bool:
        return self.held + size_bytes <= self.most
