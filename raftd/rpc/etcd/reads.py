"""Queries of many callers, asked together. Network thread only.

Those of one turn of the loop are one batch, and what comes while a batch is under way is the next
one: many callers then share one read index, which costs a message to the leader and one from there
to each member. A batch that takes long holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from raftd.node.outcomes import Answered, Applied, Done, Outcome
from raftd.wire.leases import encode_status
from raftd.wire.principal import OWN

QUERIES_MAX = 256
PATIENCE_SECONDS = 0.005
"""So long the next batch waits for the one before."""
NEXT_SECONDS = 0.01
LOOK_SECONDS = 0.002
"""So long, and so often, the next message is waited for that tells how far the leader is."""
TOLD_SECONDS = 0.5
"""So long a look waits for what was told before, where the leader does not answer."""


class Ask(Protocol):
    """Takes queries of one principal; may call back at once."""

    def __call__(self, queries: Sequence[bytes], *, done: Done, principal: bytes) -> None: ...


class _Read(NamedTuple):
    query: bytes
    principal: bytes
    deadline: float
    answer: asyncio.Future[Outcome]


class Reads:
    """Queries of two principals are never asked together. Made in the running loop."""

    def __init__(self, ask: Ask, queries_max: int) -> None:
        """queries_max: that `ask` takes at a time."""
        self._ask = ask
        self._most = min(QUERIES_MAX, queries_max)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Read] = []
        self._timer: asyncio.Handle | None = None
        self._under_way = 0

    def add(self, query: bytes, principal: bytes, deadline: float) -> asyncio.Future[Outcome]:
        """What becomes of it: an Answered with one result, or what ended the batch.

        deadline: on the loop's clock; the answer is a TimeoutError then.
        """
        read = _Read(query, principal, deadline, self._loop.create_future())
        self._waiting.append(read)
        if self._timer is None:
            if self._under_way:
                self._timer = self._loop.call_later(PATIENCE_SECONDS, self._send)
            else:
                self._timer = self._loop.call_soon(self._send)
        return read.answer

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            reads, others = self._of_one_principal()
            self._waiting = others
            if reads:
                self._begin(reads)

    def _of_one_principal(self) -> tuple[list[_Read], list[_Read]]:
        """(the next batch, the others), without those that nobody waits for any more."""
        waiting = [read for read in self._waiting if not read.answer.done()]
        whose = waiting[0].principal if waiting else b""
        reads: list[_Read] = []
        others: list[_Read] = []
        for read in waiting:
            mine = read.principal == whose and len(reads) < self._most
            (reads if mine else others).append(read)
        return reads, others

    def _begin(self, reads: list[_Read]) -> None:
        self._under_way += 1
        timer: asyncio.TimerHandle | None = None

        def expire() -> None:
            nonlocal timer
            now = self._loop.time()
            for read in reads:
                if read.deadline <= now and not read.answer.done():
                    read.answer.set_exception(TimeoutError())
            late = [read.deadline for read in reads if read.deadline > now]
            timer = self._loop.call_at(min(late), expire) if late else None

        def done(outcome: Outcome) -> None:
            if timer is not None:
                timer.cancel()
            self._under_way -= 1
            self._waiting[:0] = _tell(reads, outcome)
            if self._waiting and not self._under_way:
                self._send()
            elif self._waiting and self._timer is None:
                self._timer = self._loop.call_later(PATIENCE_SECONDS, self._send)

        timer = self._loop.call_at(min(read.deadline for read in reads), expire)
        try:
            self._ask([read.query for read in reads], done=done, principal=reads[0].principal)
        except Exception as error:  # noqa: BLE001  whoever asked is told
            timer.cancel()
            self._under_way -= 1
            for read in reads:
                if not read.answer.done():
                    read.answer.set_exception(error)


class Told:
    """What callers here were told is done, and may not be applied here yet.

    A member of etcd answers a write once it has applied it itself; ours does once the leader has,
    and hears with the next message how far that is. The story without it: a put was answered, and
    for a tenth of a second a serializable read, a watch from now on or a snapshot at the same
    member knew nothing of it. Whoever looks waits for that, as writes have no need to; while others
    write the next message is there soon, and nobody has to be asked. Made in the running loop.
    """

    def __init__(self, applied: Callable[[], int], reads: Reads) -> None:
        """applied: up to which entry, here. reads: linearizable ones."""
        self._applied = applied
        self._reads = reads
        self._loop = asyncio.get_running_loop()
        self._index = self._seen = 0
        self._at = 0.0
        self._look: asyncio.Task[None] | None = None
        self._closed = False

    def note(self, outcome: Outcome) -> None:
        """Of a write that another member did."""
        if isinstance(outcome, Applied):
            self._index = max(self._index, outcome.index)
            self._at = self._loop.time()

    async def seen(self) -> None:
        """Returns once it is applied here; soon, if that is not to be had."""
        index = self._index
        while self._seen < index:
            if self._look is None:
                self._look = self._loop.create_task(self._looks())
            await asyncio.shield(self._look)

    async def _looks(self) -> None:
        """For all who wait."""
        index, patience = self._index, self._at + NEXT_SECONDS
        try:
            while self._applied() < index and not self._closed:
                if self._loop.time() < patience:
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                deadline = self._loop.time() + TOLD_SECONDS
                with suppress(TimeoutError):
                    await self._reads.add(encode_status(), OWN, deadline)
                break
        finally:  # also if it was in vain: the next one is not to wait again
            self._seen, self._look = index, None

    def close(self) -> None:
        """The member stops: who waits is let go."""
        self._closed = True


def _tell(reads: Sequence[_Read], outcome: Outcome) -> Sequence[_Read]:
    """Returns whose answer had no room beside those before."""
    if not isinstance(outcome, Answered):
        for read in reads:
            if not read.answer.done():
                read.answer.set_result(outcome)
        return ()
    for read, result in zip(reads, outcome.results, strict=False):
        if not read.answer.done():
            read.answer.set_result(Answered(outcome.applied_index, [result]))
    return reads[len(outcome.results) :]
