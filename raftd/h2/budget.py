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


FRAME_BYTES_MAX = 9 + (16 << 10)


class Beside:
    """Bytes that belong to no message, of one connection.

    The engine tells of a frame when all of it is there, so of each reading the beginning of one may
    seem to belong to nothing. Without room for that, a backup of 100 MB was cut as a flood.
    """

    def __init__(self, most: float, each_second: float, at: float) -> None:
        self._bucket = Bucket(most, each_second, at=at)
        self._begun = 0

    def add(self, read_bytes: int, now: float) -> bool:
        """What was read, less what was told of it; below 0 if the rest of a frame came. As of
        Bucket.add."""
        beside = max(0, self._begun + read_bytes)
        self._begun = min(beside, FRAME_BYTES_MAX)
        beside -= self._begun
        return not beside or self._bucket.add(beside, now)


class Budget:
    """Bytes held in memory for all connections of one owner."""

    __slots__ = ("held", "most")

    def __init__(self, most_bytes: int) -> None:
        self.most = most_bytes
        self.held = 0

    def room(self, size_bytes: int) -> bool:
        return self.held + size_bytes <= self.most
