"""Simulated time: a heap of events, named streams of randomness, counters and a trace.

Every part of the simulator draws from its own stream, so that one more draw in one place does not
change what happens in the others.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from raftd.core import describe

TRACE_LINES = 4_000
"""How many of the last trace lines a failure can show."""


class Violation(AssertionError):
    """An invariant does not hold. `name` is the invariant's, as in tests/sim/checkers.py."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


class World:
    """The heap. `now` is true time in seconds; nodes see it through their own clocks."""

    def __init__(self, seed: int, *, hashing: bool = False, trace_lines: int = TRACE_LINES) -> None:
        self.seed = seed
        self.now = 0.0
        self.events = 0
        self.stats: Counter[str] = Counter()
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._trace: deque[tuple[float, str, str, Any]] = deque(maxlen=trace_lines)
        self.watch: Callable[[float, str, str, Any], None] | None = None
        """Sees every line of the trace, as `trace` does. It must not change anything."""
        self._sha = hashlib.sha256() if hashing else None

    def stream(self, name: str) -> random.Random:
        """A source of randomness of its own for each part of the simulator."""
        return random.Random(f"{self.seed}/{name}")

    def at(self, time: float, call: Callable[..., None], *args: Any) -> None:
        self._order += 1
        heappush(self._heap, (time, self._order, call, args))

    def after(self, delay: float, call: Callable[..., None], *args: Any) -> None:
        self._order += 1
        heappush(self._heap, (self.now + delay, self._order, call, args))

    def step(self) -> bool:
        """Run the next event. False: there is none."""
        heap = self._heap
        if not heap:
            return False
        time, _, call, args = heappop(heap)
        if time > self.now:
            self.now = time
        call(*args)
        return True

    def next_time(self) -> float:
        return self._heap[0][0] if self._heap else float("inf")

    def trace(self, node: str, what: str, value: Any = None) -> None:
        """Remember a line. It is formatted only when somebody reads it, or when the run is
        hashed.
        """
        item = (self.now, node, what, value)
        self._trace.append(item)
        if self.watch is not None:
            self.watch(*item)
        if self._sha is not None:
            self._sha.update(describe.line(*item).encode())
            self._sha.update(b"\n")

    def last_lines(self, count: int) -> list[str]:
        items = list(self._trace)[-count:]
        return [describe.line(*item) for item in items]

    def trace_hash(self) -> str:
        if self._sha is None:
            raise RuntimeError("this world was not made with hashing=True")
        return self._sha.hexdigest()
