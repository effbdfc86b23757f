"""What travels through the client: parcels, and the gate that bounds how many wait.

A parcel is made by a caller (any thread), handed to the loop, and settled there exactly once: then
`wake` is called, and the caller reads `results` or `error`. A single put is a parcel of one
command, a bulk call is cut into parcels of hundreds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from raftd.client.errors import RaftdError

Wake = Callable[[], object]


class Parcel:
    """Commands (or queries) that travel, are answered and fail together.

    commands: those without an answer yet, at least one. count, size: of all, in commands and bytes.
    first_seq, session: the first command's place in its session, 0 and empty before it has one.
    answered: (status, bytes) of those before, if a session had no room for all at once.
    in_flight: an attempt has been written and not been answered. unknown: an earlier attempt had no
    certain end. order: in which it first left the queue, 0 before. alone: never share a frame
    again. counted: the gate has let it in. reason, code: of the last failure. results: (status,
    bytes) a command, once settled without error. index: the log entry, or the applied index that a
    query read.
    """

    __slots__ = (
        "alone",
        "answered",
        "code",
        "commands",
        "count",
        "counted",
        "error",
        "first_seq",
        "in_flight",
        "index",
        "order",
        "reason",
        "results",
        "session",
        "settled",
        "size",
        "term",
        "unknown",
        "wake",
    )

    def __init__(self, commands: Sequence[bytes], size: int, wake: Wake) -> None:
        self.commands = commands
        self.count = len(commands)
        self.answered: list[tuple[int, bytes]] = []
        self.size = size
        self.wake = wake
        self.first_seq = 0
        self.session = b""
        self.in_flight = False
        self.unknown = False
        self.alone = False
        self.counted = False
        self.settled = False
        self.results: list[tuple[int, bytes]] | None = None
        self.error: RaftdError | None = None
        self.order = 0
        self.reason = ""
        self.code = 0
        self.index = 0
        self.term = 0


class Countdown:
    """Wakes once, after `count` parcels of one call were settled. Used on the loop only."""

    __slots__ = ("_left", "_wake")

    def __init__(self, count: int, wake: Wake) -> None:
        self._left = count
        self._wake = wake

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._wake()


class Gate:
    """Bounds what waits in the client, in commands and bytes: the back-pressure. Any thread.

    One caller is always let in when nobody else is, so that nothing is too big for ever.
    """

    def __init__(self, commands_max: int, bytes_max: int) -> None:
        self._commands_max = commands_max
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._commands = 0
        self._bytes = 0
        self._waiting: deque[Wake] = deque()

    def enter(self, commands: int, size: int, wake: Wake | None = None) -> bool:
        """True: in. False: full; `wake` (if given) is called once when it is worth trying again."""
        with self._lock:
            if self._commands and (
                self._commands + commands > self._commands_max
                or self._bytes + size > self._bytes_max
            ):
                if wake is not None:
                    self._waiting.append(wake)
                return False
            self._commands += commands
            self._bytes += size
            return True

    def leave(self, commands: int, size: int) -> None:
        """Wakes all that wait: they try again, and most find room.

        Called where parcels are settled.
        """
        with self._lock:
            self._commands -= commands
            self._bytes -= size
            if not self._waiting:
                return
            woken, self._waiting = self._waiting, deque()
        for wake in woken:
            wake()

    def forget(self, wake: Wake) -> None:
        """The waiter gave up. Harmless if it has been woken."""
        with self._lock:
            if wake in self._waiting:
                self._waiting.remove(wake)
