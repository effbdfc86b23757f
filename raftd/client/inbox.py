"""What waits in front of a lane, and the wake-up of the lane's task.

Callers append and look at one flag; the lane's task sets the flag *before* it looks at the queue
once more
and sleeps. So either the caller sees the flag, or the task sees the parcel (the interpreter runs
one thread
at a time). While a batch is in flight the flag is down, and callers need not wake the loop at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from raftd.client.parcels import Parcel


class Inbox:
    """`put` from any thread, everything else on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[Parcel] = deque()
        self._idle = False
        self._waiter: asyncio.Future[None] | None = None
        self._order = 0
        self.blocked = False
        """The last `take` ended at a parcel that was not admitted."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, parcel: Parcel) -> None:
        """Any thread."""
        self._queue.append(parcel)
        if self._idle:
            self._idle = False
            self._loop.call_soon_threadsafe(self.rouse)

    def put_here(self, parcel: Parcel) -> None:
        """From the loop itself: other tasks of this turn still get into the same batch."""
        self._queue.append(parcel)
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

    def take(self, count_max: int, bytes_max: int, admit: Callable[[Parcel], bool]) -> list[Parcel]:
        """From the front, what fits in one frame: one parcel at least, if `admit` lets it."""
        parcels: list[Parcel] = []
        count = size = 0
        queue = self._queue
        self.blocked = False
        while queue:
            parcel = queue[0]
            if not parcel.settled:
                count += len(parcel.commands)
                size += parcel.size
                if parcels and (parcel.alone or count > count_max or size > bytes_max):
                    break
                if not admit(parcel):
                    self.blocked = True
                    break
                if not parcel.settled:  # admission may find that it cannot be sent any more
                    parcels.append(parcel)
                    if not parcel.order:
                        self._order += 1
                        parcel.order = self._order
            queue.popleft()
            if parcel.alone and parcels:
                break
        return parcels

    def back(self, parcels: list[Parcel]) -> None:
        """To the front, in the order in which they first left."""
        queue = self._queue
        while queue and queue[0].order:
            parcels.append(queue.popleft())
        waiting = [parcel for parcel in parcels if not parcel.settled]
        waiting.sort(key=_order, reverse=True)
        queue.extendleft(waiting)

    def prune(self, reason: str, code: int) -> None:
        """Drop what callers gave up meanwhile, tell the others why they wait."""
        queue = self._queue
        for _ in range(len(queue)):
            parcel = queue.popleft()
            if not parcel.settled:
                parcel.reason, parcel.code = reason, code
                queue.append(parcel)

    def waiting(self) -> list[Parcel]:
        return [parcel for parcel in list(self._queue) if not parcel.settled]

    def empty(self) -> list[Parcel]:
        """All that wait, taken out."""
        parcels = self.waiting()
        self._queue.clear()
        return parcels

    def _trimmed(self) -> bool:
        """Drop settled parcels at the front. True: there is something to send."""
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


def _order(parcel: Parcel) -> int:
    return parcel.order
