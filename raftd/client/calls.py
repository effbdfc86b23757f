"""Calls that wait for an answer: each one, the queue of a stream, the bound on them all.

A caller (any thread) makes a `PendingCall` and puts it into the `SendQueue` of a stream. The
stream's task takes it out on the client's loop and settles it there exactly once: then `wake` is
called, and the caller reads `results` or `error`. A single put is a pending call of one command, a
bulk call is cut into pending calls of hundreds.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

from raftd.client.errors import RaftdError

Wake = Callable[[], object]


class PendingCall:
    """Commands (or queries) that travel, are answered and fail together.

    commands: those without an answer yet, at least one. count, size: of all, in commands and bytes.
    first_seq, session: the first command's place in its session, 0 and empty before it has one.
    answered: (status, bytes) of those before, if a session had no room for all at once.
    in_flight: an attempt has been written and not been answered. unknown: an earlier attempt had no
    certain end. order: in which it first left the queue, 0 before. alone: never share a frame
    again. counted: it holds room in Backpressure. reason, code: of the last failure. results:
    (status, bytes) a command, once settled without error. index, term: the log entry; for a query,
    index is the applied index that it read. endpoint: the node that answered.
    """

    __slots__ = (
        "alone",
        "answered",
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


class SendQueue:
    """What waits for a stream. `put` from any thread, everything else on the loop.

    Callers append and look at one flag. The stream's task sets the flag first, then looks at the
    queue once more, and sleeps. So either the caller sees the flag, or the task sees the call (the
    interpreter runs one thread at a time). While a frame is in flight the flag is down, and callers
    need not wake the loop at all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[PendingCall] = deque()
        self._idle = False
        self._waiter: asyncio.Future[None] | None = None
        self._order = 0
        self.blocked = False
        """The last `take` ended at a call that was not admitted."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, call: PendingCall) -> None:
        """Any thread."""
        self._queue.append(call)
        if self._idle:
            self._idle = False
            self._loop.call_soon_threadsafe(self.rouse)

    def put_here(self, call: PendingCall) -> None:
        """From the loop itself: other tasks of this turn still get into the same frame."""
        self._queue.append(call)
        if self._idle:
            self._idle = False
            self._loop.call_soon(self.rouse)

    def rouse(self) -> None:
        """End `work` or `change` early."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def work(self) -> None:
        """Wait until there is something to send."""
        while not self._trimmed():
            await self._sleep(wanted=True)

    async def change(self, *, wanted: bool) -> None:
        """Wait for `rouse` or, if work is wanted, for something to send."""
        if not (wanted and self._queue):
            await self._sleep(wanted=wanted)

    def take(
        self, count_max: int, bytes_max: int, admit: Callable[[PendingCall], bool]
    ) -> list[PendingCall]:
        """From the front, what fits in one frame: one call at least, if `admit` lets it."""
        calls: list[PendingCall] = []
        count = size = 0
        queue = self._queue
        self.blocked = False
        while queue:
            call = queue[0]
            if not call.settled:
                count += len(call.commands)
                size += call.size
                if calls and (call.alone or count > count_max or size > bytes_max):
                    break
                if not admit(call):
                    self.blocked = True
                    break
                if not call.settled:  # admission may find that it cannot be sent any more
                    calls.append(call)
                    if not call.order:
                        self._order += 1
                        call.order = self._order
            queue.popleft()
            if call.alone and calls:
                break
        return calls

    def back(self, calls: list[PendingCall]) -> None:
        """To the front, in the order in which they first left."""
        queue = self._queue
        while queue and queue[0].order:
            calls.append(queue.popleft())
        waiting = [call for call in calls if not call.settled]
        waiting.sort(key=_order, reverse=True)
        queue.extendleft(waiting)

    def prune(self, reason: str, code: int) -> None:
        """Drop what callers gave up meanwhile, tell the others why they wait."""
        queue = self._queue
        for _ in range(len(queue)):
            call = queue.popleft()
            if not call.settled:
                call.reason, call.code = reason, code
                queue.append(call)

    def waiting(self) -> list[PendingCall]:
        return [call for call in list(self._queue) if not call.settled]

    def empty(self) -> list[PendingCall]:
        """All that wait, taken out."""
        calls = self.waiting()
        self._queue.clear()
        return calls

    def _trimmed(self) -> bool:
        """Drop settled calls at the front. True: there is something to send."""
        queue = self._queue
        while queue and queue[0].settled:
            queue.popleft()
        return bool(queue)

    async def _sleep(self, *, wanted: bool) -> None:
        self._waiter = self._loop.create_future()
        self._idle = wanted
        try:
            if not (wanted and self._queue):  # see above: the flag first, then the queue
                await self._waiter
        finally:
            self._idle = False


def _order(call: PendingCall) -> int:
    return call.order


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
