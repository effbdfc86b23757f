"""Calls that wait for an answer: each one, who wakes its caller, and the bound on them all.

A caller (any thread) makes a `PendingCall` and puts it into the `SendQueue` of a stream. The
stream's task takes it out on the client's loop and settles it there exactly once: then `wake` is
called, and the caller reads `results` or `error`. A single put is a pending call of one command, a
bulk call is cut into pending calls of hundreds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from raftd.client.errors import RaftdError

Wake = Callable[[], object]

CHAIN_SECONDS = 0.01
"""After so long whoever waits for its turn in a chain is woken whatever the others do."""


class PendingCall:
    """Commands (or queries) that travel, are answered and fail together.

    commands: those without an answer yet, at least one. count, size: of all, in commands and bytes.
    first_seq, session: the first command's place in its session, 0 and empty before it has one.
    answered: (status, bytes) of those before, if a session had no room for all at once.
    in_flight: an attempt has been written and not been answered. unknown: an earlier attempt had no
    certain end. order: in which it first left the queue, 0 before. alone: never share a frame
    again. counted: it holds room in Backpressure. reason, code: of the last failure. results:
    (status, bytes) a command, once settled without error. index, term: the log entry; for a query,
    index is the applied index that it read. endpoint: the node that answered. chained: the caller
    calls `leave` when it waits no longer, so it may be woken by another (see `WakeChain`).
    """

    __slots__ = (
        "_chain",
        "_left",
        "_woken",
        "alone",
        "answered",
        "chained",
        "code",
        "commands",
        "count",
        "counted",
        "endpoint",
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
        self.endpoint = ""
        self.chained = False
        self._chain: WakeChain | None = None
        self._woken = False
        self._left = False

    def leave(self) -> None:
        """The caller waits no longer, for whatever reason: the next one's turn. Any thread."""
        self._left = True
        if self._woken and self._chain is not None:
            self._chain.next()


class WakeChain:
    """Wakes the callers of one frame one after another: each that leaves wakes the next.

    Woken all at once, 64 threads would fight for the interpreter's lock, and each would lose it
    once more to the loop. Whoever leaves says so first and looks then whether it was woken; whoever
    wakes does it the other way round. So a caller that is interrupted or gives up at the moment of
    its turn is skipped or passes its turn on, and never breaks the chain. `finish` is for threads
    that do not run: nobody waits for another longer than CHAIN_SECONDS.
    """

    __slots__ = ("_waiting",)

    def __init__(self, calls: Sequence[PendingCall]) -> None:
        self._waiting = deque(calls)
        for call in calls:
            call._chain = self

    def next(self) -> None:
        """Wake the next one that still waits. Any thread."""
        while True:
            try:
                call = self._waiting.popleft()
            except IndexError:
                return
            call._woken = True
            if not call._left:
                call.wake()
                return

    def finish(self) -> None:
        """Wake all that are left. Any thread."""
        while self._waiting:
            self.next()


class Countdown:
    """Wakes once, after `count` pending calls of one bulk call were settled. On the loop only."""

    __slots__ = ("_left", "_wake")

    def __init__(self, count: int, wake: Wake) -> None:
        self._left = count
        self._wake = wake

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._wake()


class Backpressure:
    """Bounds what waits in the client, in commands and bytes. Any thread.

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

        Called where calls are settled.
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
