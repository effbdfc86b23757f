"""Leases that are kept alive: the part on the client's loop.

A `LeaseKeeper` renews its lease each third of the time to live. It trusts its own clock only from
the moment *before* a renewal was sent, so it calls the lease lost no later than the cluster ends
it. A fork in the parent's process only changes the engine that it works with; in the child the
lease is lost, because it stays with the parent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from inspect import iscoroutinefunction
from random import SystemRandom
from typing import TYPE_CHECKING

from raftd.client import operations as ops
from raftd.client.errors import Invalid, LockLost, RaftdError
from raftd.client.settings import Clock

if TYPE_CHECKING:
    from raftd.client.delivery.engine import Engine

RENEWALS_PER_TTL = 3
RETRY_SECONDS = 0.1
GIVE_UP_SECONDS = 1.0
"""For how long whoever gives up tries to say so; after that its lease ends by itself."""
FORKED = "this process was forked, and the lease stays with its parent"

REVOKED = "it was revoked"
NOT_GRANTED = "nobody heard that it was granted"
CLOSED = "the client was closed"

Lost = Callable[[str], None]
OnLost = Callable[[str], object]


def checked_on_lost(on_lost: OnLost | None, *, coroutines: bool) -> OnLost | None:
    """coroutines: what it returns will be awaited. Raises Invalid."""
    if on_lost is not None and not callable(on_lost):
        raise Invalid(f"on_lost: expected a function, not {type(on_lost).__name__}")
    if iscoroutinefunction(on_lost) and not coroutines:
        raise Invalid("on_lost: a coroutine function is for AsyncClient: no loop runs here")
    return on_lost


def draw_id() -> int:
    """A new lease's id: 62 random bits, never 0. Not of the client's own Random: two processes with
    one seed must not share a lease.
    """
    return SystemRandom().randrange(1, 1 << 62)


class LeaseKeeper:
    """deadline: on the client's clock; the lease is certainly alive before it, unless revoked.

    id, ttl_s, deadline and `why_lost` may be read by any thread, the rest is for the loop.
    """

    def __init__(self, lease_id: int, clock: Clock, lost: Lost) -> None:
        """lost: called on the loop, once, with the reason in one line."""
        self.id = lease_id
        self.ttl_s = 0
        self.deadline = 0.0
        self.why_lost = ""
        self._clock = clock
        self._lost = lost
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Event | None = None

    @property
    def alive(self) -> bool:
        """Any thread."""
        return not self.why_lost and self._clock() < self.deadline

    def check(self) -> None:
        """Raises LockLost if it is not alive. Any thread."""
        if not self.alive:
            raise LockLost(f"lease {self.id:x}: {self.why_lost or 'it was not renewed in time'}")

    async def grant(self, engine: Engine, ttl_s: int, timeout: float) -> None:
        """Have the lease granted, and keep it from now on. Raises as `Engine.run`."""
        sent = self._clock()
        granted = await engine.run(ops.lease_grant(self.id, ttl_s), timeout)
        self.ttl_s = granted.ttl_s
        self.deadline = sent + granted.ttl_s
        self.attach(engine)

    def attach(self, engine: Engine) -> None:
        """Renew through this engine from now on. Harmless when the lease is lost."""
        if not self.why_lost:
            self._ended = asyncio.Event()  # of this loop; who waited on another is gone with it
            self._task = engine.loop.create_task(self._keep(engine))
            engine.residents.add(self)
            self._task.add_done_callback(lambda _: engine.residents.discard(self))

    def close(self) -> None:
        """Renew no more: it is given up, or the engine ends."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def give_up(self, why: str) -> None:
        """From now on it is not held any more; nobody is called."""
        self.why_lost = self.why_lost or why

    async def until_lost(self) -> None:
        """Raises LockLost when the lease is lost."""
        if self._ended is not None:
            await self._ended.wait()
        self.check()

    async def _keep(self, engine: Engine) -> None:
        # From the last renewal on, not from now: forks may come more often than renewals.
        due = self.deadline - self.ttl_s + self.ttl_s / RENEWALS_PER_TTL
        pause = due - self._clock()
        while True:
            await asyncio.sleep(max(0.0, min(pause, self.deadline - self._clock())))
            sent = self._clock()
            if sent >= self.deadline:
                self._end("it was not renewed in time: no leader could be reached")
                return
            try:
                renewed = await engine.run(ops.lease_renew(self.id), self.deadline - sent)
            except Invalid as error:
                self._end(error.message)
                return
            except RaftdError:
                pause = RETRY_SECONDS
                continue
            if not renewed:
                self._end("it has expired, or was revoked")
                return
            self.deadline = sent + renewed.ttl_s
            pause = renewed.ttl_s / RENEWALS_PER_TTL

    def _end(self, why: str) -> None:
        given_up = self.why_lost
        self.why_lost = given_up or why
        if self._ended is not None:
            self._ended.set()
        if not given_up:
            self._lost(why)


def give_up_all(keepers: Iterable[LeaseKeeper]) -> list[int]:
    """The client is closed: it holds nothing any more. The ids of those that were not lost."""
    held = [keeper.id for keeper in keepers if not keeper.why_lost]
    for keeper in keepers:
        keeper.give_up(CLOSED)
    return held


async def end(engine: Engine, leases: Iterable[int]) -> None:
    """Revoke them, all in one frame, and close the engine. Never raises RaftdError.

    Without it others wait for their whole time to live. A lease that no leader hears of within
    GIVE_UP_SECONDS ends by itself.
    """

    async def revoke(lease: int) -> None:
        with suppress(RaftdError):
            await engine.run(ops.lease_revoke(lease), GIVE_UP_SECONDS)

    await asyncio.gather(*(revoke(lease) for lease in leases))
    await engine.close()
