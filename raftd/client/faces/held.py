"""What a program holds for a while: leases, locks, leaderships. The blocking face."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from raftd.client import operations as ops
from raftd.client.errors import Invalid, LockLost, NotAcquired, RaftdError, Unavailable
from raftd.client.faces.blocking import BlockingCallers
from raftd.client.faces.streams import Stream
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


class Lease:
    """A lease that is kept alive in the background until `revoke`. Keys put with it end with it.

    As a context manager it is revoked at the end. All methods: any thread.
    """

    def __init__(self, callers: BlockingCallers, clock: Clock, on_lost: OnLost | None) -> None:
        """on_lost: called with the reason if the lease ends before `revoke`, on a thread of its
        own. Raises Invalid for what is no function.
        """
        self._callers = callers
        self._on_lost = checked_on_lost(on_lost, coroutines=False)
        self._revoked = False
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

    def grant(self, ttl_s: int, timeout: float | None) -> Self:
        """Have it granted and keep it alive. Once."""
        self._callers.keep(self.keeper, ttl_s, timeout)
        return self

    def revoke(self, *, timeout: float | None = None) -> None:
        """End it now, and the keys with it. Harmless if it has ended."""
        lost = self.keeper.why_lost not in ("", REVOKED)
        self.keeper.give_up(REVOKED)
        self._callers.drop(self.keeper)
        if not (lost or self._revoked):
            self._callers.run(ops.lease_revoke(self.id), timeout)
            self._revoked = True

    def give_up(self) -> None:
        """As `revoke`, but if nobody hears of it the lease ends by itself."""
        with suppress(RaftdError):
            self.revoke(timeout=GIVE_UP_SECONDS)

    def _lost(self, why: str) -> None:
        """On the loop, where nobody may wait: so the callback gets a thread of its own."""
        if self._on_lost is not None:
            name = "raftd-lease-lost"
            threading.Thread(target=self._on_lost, args=(why,), name=name, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_up()


class Queue:
    """Where owners of one name wait for their turn, and under what lease."""

    def __init__(
        self,
        callers: BlockingCallers,
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

    def wait(self, value: bytes, timeout: float | None) -> tuple[Lease, Ownership] | None:
        """None: it was not our turn within `timeout` seconds; nothing is left of the attempt.

        Having a lease takes no part of these seconds, nor does the first look: they have the
        client's own timeout, and raise Unavailable after it.
        """
        patience = self.callers.seconds(None)
        seconds = None if timeout is None else self.callers.seconds(timeout)
        lease = Lease(self.callers, self._clock, self._on_lost).grant(self._ttl_s, None)
        prefix = self.name + b"/"
        deadline = None if seconds is None else self._clock() + seconds
        try:
            owner = self.callers.persist(
                lambda engine: acquire(engine, prefix, value, lease.keeper, deadline),
                None if seconds is None else min(seconds + patience, TIMEOUT_MAX),
            )
        except BaseException as error:
            lease.give_up()
            if isinstance(error, TimeoutError):
                raise Unavailable(f"{self.name!r}: {NO_TURN}") from None
            raise
        if owner is None:
            lease.give_up()
            return None
        return lease, owner


class Lock:
    """A lock of the cluster, held under a lease of its own.

    `with client.lock("name") as owner` waits for it and releases it at the end; then it raises
    LockLost if it was lost meanwhile. Not reentrant; one thread at a time.
    """

    def __init__(self, queue: Queue, timeout: float | None) -> None:
        self._queue = queue
        self._timeout = timeout
        self._held: tuple[Lease, Ownership] | None = None
        self._acquiring = threading.Lock()

    def acquire(self, timeout: float | None = None) -> Ownership | None:
        """Wait for the lock. None: others held it for `timeout` seconds (None: for ever).

        timeout 0: have it if it is free.
        """
        if not self._acquiring.acquire(blocking=False):
            raise Invalid(f"lock {self._queue.name!r}: another thread {WAITS}")
        try:
            if self._held is not None:
                raise Invalid(f"lock {self._queue.name!r}: it is held already; release it first")
            self._held = self._queue.wait(b"", timeout)
            return self._held[1] if self._held else None
        finally:
            self._acquiring.release()

    def release(self) -> None:
        """Let the next one have it. Harmless if it is not held."""
        held, self._held = self._held, None
        if held is not None:
            held[0].give_up()

    def __enter__(self) -> Ownership:
        owner = self.acquire(self._timeout)
        if owner is None:
            name, seconds = self._queue.name, self._timeout
            raise NotAcquired(f"lock {name!r}: others held it for {seconds:g} s; try again later")
        return owner

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lost = self._held is not None and not self._held[1]
        self.release()
        if lost and error is None:
            raise LockLost(f"lock {self._queue.name!r}: it was lost before the block ended")


class Leadership(Ownership):
    """A leadership that was won. As a context manager it is resigned at the end."""

    def __init__(self, queue: Queue, lease: Lease, owner: Ownership) -> None:
        super().__init__(owner.key, owner.token, lease.keeper)
        self._queue = queue
        self._lease = lease

    def proclaim(self, value: Data, *, timeout: float | None = None) -> None:
        """Tell another value to those who observe. Raises LockLost if we lead no more."""
        operation = proclamation(self, data("value", value))
        if not self._queue.callers.run(operation, timeout):
            raise LockLost(f"election {self._queue.name!r}: another one leads")

    def resign(self) -> None:
        """Let the next one lead. Harmless if we do not lead any more."""
        self._lease.give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lost = not self
        self.resign()
        if lost and error is None:
            raise LockLost(f"election {self._queue.name!r}: it was lost before the block ended")


class Election:
    """Who leads among those that campaign under one name."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def campaign(self, value: Data = b"", *, timeout: float | None = None) -> Leadership:
        """Wait until we lead. value: what those who observe see of us.

        Raises NotAcquired if others led for `timeout` seconds (None: wait for ever).
        """
        won = self._queue.wait(data("value", value), timeout)
        if won is None:
            raise NotAcquired(f"election {self._queue.name!r}: others led for {timeout:g} s")
        return Leadership(self._queue, *won)

    def leader(self, *, timeout: float | None = None) -> Leader | None:
        """Who leads now; None: nobody."""
        prefix, run = self._queue.name + b"/", self._queue.callers.run
        answer = run(leader(prefix, FEW), timeout)
        if not is_told(prefix, found(answer, 0)):
            answer = run(leader(prefix, ALL), timeout)
        return leader_of(prefix, answer)

    def observe(self) -> Stream[Leader | None]:
        """Who leads now, and every change of it; None: nobody."""
        return Stream(self._queue.callers, LeaderFeed(self._queue.name + b"/"))
