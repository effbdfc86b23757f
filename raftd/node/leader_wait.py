"""What clients ask when a leader was lost: held for a moment, until there is the next one.

The story without it: after the death of a leader each client asked one node after the other, every
few milliseconds, and was refused; it heard of the new leader a third of the silence after it was
elected, and its questions took the CPU that the votes needed.

Only for a moment: while there is no majority, callers hear at once that nothing was done. One whose
time ends while its command is held here cannot tell.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from raftd.node.driver import CoreDriver
from raftd.node.outcomes import NodeStopped

HELD_MAX = 4096
HELD_BYTES_MAX = 16 << 20
"""What comes beyond is refused at once, as where nothing is held."""


class LeaderWait:
    """Network thread only."""

    def __init__(self, driver: CoreDriver, seconds: float) -> None:
        """seconds: nothing is held longer than this after the leader was lost; 0: nothing is."""
        self._driver = driver
        self._seconds = seconds
        self._until: float | None = None
        """Of the search that is on, in the driver's clock."""
        self._held: deque[tuple[int, Callable[[], None]]] = deque()
        self.bytes = 0
        """Of what is held."""
        if seconds:
            driver.on_role(self._role_changed)

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, size_bytes: int, go: Callable[[], None]) -> bool:
        """True: `go` is called once, when a leader is known here, or when time is up.

        False: none was lost just now, or there is no room.
        """
        until, driver = self._until, self._driver
        if until is None or driver.stopped or (left := until - driver.clock.now()) <= 0:
            return False
        if len(self._held) >= HELD_MAX or self.bytes + size_bytes > HELD_BYTES_MAX:
            return False
        if not self._held:
            driver.later(left, self.release)
        self._held.append((size_bytes, go))
        self.bytes += size_bytes
        return True

    def release(self) -> None:
        """Everything that is held goes on now, in the order in which it came."""
        while self._held:
            size_bytes, go = self._held.popleft()
            self.bytes -= size_bytes
            with contextlib.suppress(NodeStopped):  # told already; the others hear it as refusals
                self._driver.guarded("a client's call", go)

    def _role_changed(self) -> None:
        if not self._driver.core.seeks_leader:
            self._until = None
            if self._held:
                self._driver.soon(self.release)
        elif self._until is None:
            self._until = self._driver.clock.now() + self._seconds
