"""Callers who are turned away because a limit is reached: counted, and told while it goes on."""

from __future__ import annotations

from collections.abc import Iterator

from raftd.node.health import Ailment
from raftd.node.outcomes import Refusal, Refused
from raftd.node.ports import Clock

TOLD_SECONDS = 5.0
"""For so long after the last one."""


class Overload:
    """Network thread, but `ailments`: any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = self._began = float("-inf")
        self._count = 0
        self._why = ""

    def note(self, refused: Refused) -> Refused:
        """Every refusal of a caller passes here; only those for want of room count."""
        if refused.refusal is Refusal.OVERLOADED:
            now = self._clock.now()
            if now - self._last > TOLD_SECONDS:
                self._count, self._began = 0, now
            self._count, self._last, self._why = self._count + 1, now, refused.message
        return refused

    def ailments(self) -> Iterator[Ailment]:
        now = self._clock.now()
        if now - self._last <= TOLD_SECONDS:
            yield Ailment(
                f"overloaded: {self._count} requests were turned away in the last "
                f"{now - self._began:.0f} s: {self._why}"
            )
