"""What waits in front of a stream, and the wake-up of the stream's task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from raftd.client.delivery.calls import PendingCall

GATHER_SECONDS = 0.002
"""For how long a stream that got its answers waits for their callers to come again."""


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
        self._enough = 1
        self.blocked = False
        """The last `take` ended at a call that was not admitted."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, call: PendingCall) -> None:
        """Any thread."""
        self._queue.append(call)
        if self._idle and len(self._queue) >= self._enough:
            self._idle = False
            self._loop.call_soon_threadsafe(self.rouse)

    def put_here(self, call: PendingCall) -> None:
        """From the loop itself: other tasks of this turn still get into the same frame."""
        self._queue.append(call)
        if self._idle and len(self._queue) >= self._enough:
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

    async def gather(self, answered: int) -> None:
        """So many callers have just been answered: wait until most of those we know are here.

        Those are the answered ones and those that wait already. Without this the first ones to wake
        leave as a frame of their own, and the nodes pay for two frames where one would do. One
        caller alone waits for nobody.
        """
        enough = (answered + len(self._queue)) * 3 // 4
        if len(self._queue) >= enough:
            return
        self._enough = enough
        timer = self._loop.call_later(GATHER_SECONDS, self.rouse)
        try:
            await self._sleep(wanted=True)
        finally:
            timer.cancel()
            self._enough = 1

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
            # See above: the flag first, then the queue.
            if not (wanted and len(self._queue) >= self._enough):
                await self._waiter
        finally:
            self._idle = False


def _order(call: PendingCall) -> int:
    return call.order
