"""A bounded ring of numbered items that any thread can read, each reader at its own pace.

One thread adds. A reader has a place in the ring and takes what is there; who falls behind further
than the ring is long sees a gap in the numbers. Readers are counted by whoever lets them in:
streams at the ports have limits of their own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Ring(Generic[T]):
    """Any thread, but `put`: one thread. The lock is held for a few steps only."""

    def __init__(self, items_max: int) -> None:
        self._lock = threading.Lock()
        self._ring: deque[tuple[int, float, T]] = deque(maxlen=items_max)
        self._next = 1
        self._readers: dict[Reader[T], Callable[[], None]] = {}

    def put(self, now: float, item: T) -> None:
        """Keep it, as of `now` in seconds, and wake the readers."""
        with self._lock:
            self._ring.append((self._next, now, item))
            self._next += 1
            wakes = list(self._readers.values())
        for wake in wakes:
            wake()

    def read(self, after: int | None, wake: Callable[[], None]) -> Reader[T]:
        """A reader of the items after this number (0: all that are kept); None: of new ones.

        A number that this ring has not come to is of an earlier life: then all are read. wake:
        called after each further item, on the thread that puts; quick, and never raises.
        """
        with self._lock:
            if after is None:
                position = self._next
            else:
                position = after + 1 if after < self._next else 1
            reader = Reader(self, position)
            self._readers[reader] = wake
        return reader

    def leave(self, reader: Reader[T]) -> None:
        """Wake it no more."""
        with self._lock:
            self._readers.pop(reader, None)

    def at_least(self, number: int) -> tuple[int, float, T] | None:
        """The oldest kept item whose number is `number` or more."""
        with self._lock:
            if not self._ring or number >= self._next:
                return None
            first = self._ring[0][0]
            return self._ring[max(0, number - first)]


class Reader(Generic[T]):
    """One place in the ring. One thread at a time."""

    def __init__(self, ring: Ring[T], position: int) -> None:
        self._ring = ring
        self._position = position

    def take(self) -> tuple[int, float, T] | None:
        """The next (number, monotonic seconds, item), or None: wait to be woken."""
        found = self._ring.at_least(self._position)
        if found is not None:
            self._position = found[0] + 1
        return found

    def close(self) -> None:
        """Wake nobody any more. Harmless again."""
        self._ring.leave(self)
