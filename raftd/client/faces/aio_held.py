"""What a program holds for a while: leases, locks, leaderships. The asyncio face."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import suppress
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self

from raftd.client import operations as ops
from raftd.client.errors import Invalid, LockLost, NotAcquired, RaftdError, Unavailable
from raftd.client.faces.asynchronous import AsyncCallers
from raftd.client.faces.going_on import go_on
from raftd.client.faces.streams import AsyncStream
from raftd.client.operations import Data, data
from raftd.client.recipes.leases import (
    GIVE_UP_SECONDS,
    REVOKED,
    LeaseKeeper,
    OnLost,
    checked_on_lost,
    draw_id,
)
from raftd.client.recipes.locks import (
    ALL,
    FEW,
    NO_TURN,
    WAITS,
    Leader,
    LeaderFeed,
    Ownership,
    acquire,
    found,
    is_told,
    leader,
    leader_of,
    proclamation,
)
from raftd.client.settings import TIMEOUT_MAX, Clock


def _tell(on_lost: OnLost, why: str) -> None:
    """On the caller's loop."""
    told = on_lost(why)
    if isawaitable(told):
        go_on(told)


class AsyncLease:
    """A lease that is kept alive in the background until `revoke`. Keys put with it end with it.

    Granted by `await`, or by `async with`, which revokes it at the end.
    """

    def __init__(
        self,
        callers: AsyncCallers,
        clock: Clock,
        ttl_s: int,
        timeout: float | None,
        on_lost: OnLost | None,
    ) -> None:
        """on_lost: called on the caller's loop, with the reason, if it ends before `revoke`; what
        it returns is awaited, if that can be. Raises Invalid for what is no function.
        """
        self._callers = callers
        self._clock = clock
        self._ttl_s = ttl_s
        self._timeout = timeout
        self._on_lost = checked_on_lost(on_lost, coroutines=True)
        self._revoked = False
        self._granting = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.keeper = LeaseKeeper(draw_id(), clock, self._lost)

    @property
    def id(self) -> int:
        return self.keeper.id

    @property
    def ttl_s(self) -> int:
        """As granted: the cluster may give more than was asked for."""
        return self.keeper.ttl_s

    def __bool__(self) -> bool:
        """Is it alive? By this client's own clock, so False no later than the cluster ends it."""
        return self.keeper.alive

    def check(self) -> None:
        """Raises LockLost if it is not alive."""
        self.keeper.check()

    def __await__(self) -> Generator[Any, None, Self]:
        """Have it granted, and kept alive from now on."""
        return self._granted().__await__()

    async def _granted(self) -> Self:
        async with self._granting:
            if not self.keeper.ttl_s:
                self._loop = asyncio.get_running_loop()
                try:
                    await self._callers.keep(self.keeper, self._ttl_s, self._timeout)
                except BaseException:  # it may exist all the same: ask for another one then
                    self.keeper = LeaseKeeper(draw_id(), self._clock, self._lost)
                    raise
        return self

    async def revoke(self, *, timeout: float | None = None) -> None:
        """End it now, and the keys with it. Harmless if it has ended."""
        lost = self.keeper.why_lost not in ("", REVOKED)
        self.keeper.give_up(REVOKED)
        self._callers.drop(self.keeper)
        if not (lost or self._revoked):
            await self._callers.run(ops.lease_revoke(self.id), timeout)
            self._revoked = True

    async def give_up(self) -> None:
        """As `revoke`, but if nobody hears of it the lease ends by itself.

        It goes on if the caller is cancelled meanwhile: others may wait for what ends with it.
        """
        await asyncio.shield(go_on(self._give_up()))

    async def _give_up(self) -> None:
        with suppress(RaftdError):
            await self.revoke(timeout=GIVE_UP_SECONDS)

    def _lost(self, why: str) -> None:
        """On the engine's loop, which may be another."""
        if self._on_lost is not None and self._loop is not None:
            with suppress(RuntimeError):  # the caller's loop is closed: nobody wants to know
                self._loop.call_soon_threadsafe(_tell, self._on_lost, why)

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.give_up()


class AsyncQueue:
    """Where owners of one name wait for their turn, and under what lease."""

    def __init__(
        self,
        callers: AsyncCallers,
        clock: Clock,
        name: bytes,
        ttl_s: int,
        on_lost: OnLost | None,
    ) -> None:
        self.callers = callers
        self.name = name
        self._clock = clock
        self._ttl_s = ttl_s
        self._on_lost = on_lost

    async def wait(
        self, value: bytes, timeout: float | None
    ) -> tuple[AsyncLease, Ownership] | None:
        """None: it was not our turn within `timeout` seconds; nothing is left of the attempt.

        Having a lease takes no part of these seconds, nor does the first look: they have the
        client's own timeout, and raise Unavailable after it.
        """
        patience = self.callers.seconds(None)
        seconds = None if timeout is None else self.callers.seconds(timeout)
        lease = await AsyncLease(self.callers, self._clock, self._ttl_s, None, self._on_lost)
        prefix = self.name + b"/"
        deadline = None if seconds is None else self._clock() + seconds
        try:
            owner = await self.callers.persist(
                lambda engine: acquire(engine, prefix, value, lease.keeper, deadline),
                None if seconds is None else min(seconds + patience, TIMEOUT_MAX),
            )
        except BaseException as error:
            await lease.give_up()
            if isinstance(error, TimeoutError):
                raise Unavailable(f"{self.name!r}: {NO_TURN}") from None
            raise
        if owner is None:
            await lease.give_up()
            return None
        return lease, owner


class AsyncLock:
    """A lock of the cluster, held under a lease of its own.

    `with client.lock("name") as owner` waits for it and releases it at the end; then it raises
    LockLost if it was lost meanwhile. Not reentrant; one thread at a time.
    """

    def __init__(self, queue: AsyncQueue, timeout: float | None) -> None:
        self._queue = queue
        self._timeout = timeout
        self._held: tuple[AsyncLease, Ownership] | None = None
        self._acquiring = False

    async def acquire(self, timeout: float | None = None) -> Ownership | None:
        """Wait for the lock. None: others held it for `timeout` seconds (None: for ever).

        timeout 0: have it if it is free.
        """
        if self._acquiring:
            raise Invalid(f"lock {self._queue.name!r}: another task {WAITS}")
        if self._held is not None:
            raise Invalid(f"lock {self._queue.name!r}: it is held already; release it first")
        self._acquiring = True
        try:
            self._held = await self._queue.wait(b"", timeout)
            return self._held[1] if self._held else None
        finally:
            self._acquiring = False

    async def release(self) -> None:
        """Let the next one have it. Harmless if it is not held."""
        held, self._held = self._held, None
        if held is not None:
            await held[0].give_up()

    async def __aenter__(self) -> Ownership:
        owner = await self.acquire(self._timeout)
        if owner is None:
            name, seconds = self._queue.name, self._timeout
            raise NotAcquired(f"lock {name!r}: others held it for {seconds:g} s; try again later")
        return owner

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lost = self._held is not None and not self._held[1]
        await self.release()
        if lost and error is None:
            raise LockLost(f"lock {self._queue.name!r}: it was lost before the block ended")


class AsyncLeadership(Ownership):
    """A leadership that was won. As a context manager it is resigned at the end."""

    def __init__(self, queue: AsyncQueue, lease: AsyncLease, owner: Ownership) -> None:
        super().__init__(owner.key, owner.token, lease.keeper)
        self._queue = queue
        self._lease = lease

    async def proclaim(self, value: Data, *, timeout: float | None = None) -> None:
        """Tell another value to those who observe. Raises LockLost if we lead no more."""
        operation = proclamation(self, data("value", value))
        if not await self._queue.callers.run(operation, timeout):
            raise LockLost(f"election {self._queue.name!r}: another one leads")

    async def resign(self) -> None:
        """Let the next one lead. Harmless if we do not lead any more."""
        await self._lease.give_up()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lost = not self
        await self.resign()
        if lost and error is None:
            raise LockLost(f"election {self._queue.name!r}: it was lost before the block ended")


class AsyncElection:
    """Who leads among those that campaign under one name."""

    def __init__(self, queue: AsyncQueue) -> None:
        self._queue = queue

    async def campaign(self, value: Data = b"", *, timeout: float | None = None) -> AsyncLeadership:
        """Wait until we lead. value: what those who observe see of us.

        Raises NotAcquired if others led for `timeout` seconds (None: wait for ever).
        """
        won = await self._queue.wait(data("value", value), timeout)
        if won is None:
            raise NotAcquired(f"election {self._queue.name!r}: others led for {timeout:g} s")
        return AsyncLeadership(self._queue, *won)

    async def leader(self, *, timeout: float | None = None) -> Leader | None:
        """Who leads now; None: nobody."""
        prefix, run = self._queue.name + b"/", self._queue.callers.run
        answer = await run(leader(prefix, FEW), timeout)
        if not is_told(prefix, found(answer, 0)):
            answer = await run(leader(prefix, ALL), timeout)
        return leader_of(prefix, answer)

    def observe(self) -> AsyncStream[Leader | None]:
        """Who leads now, and every change of it; None: nobody."""
        return AsyncStream(self._queue.callers, LeaderFeed(self._queue.name + b"/"))
