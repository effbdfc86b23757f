"""A lock with a fencing token: one owner at a time, and whoever comes too late is refused."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

from raftd.client.errors import NotAcquired, OutcomeUnknown, RaftdError
from raftd.client.faces.going_on import go_on
from raftd.objects.declaring import replicated
from raftd.objects.errors import CommandRefused
from raftd.objects.methods import Channel, command, handle_of, place_of, query

TTL_S: Final = 10.0
TTL_MIN_S: Final = 1.0
TTL_MAX_S: Final = 86_400.0
OWNER_CHARS_MAX: Final = 256
WAIT_SECONDS: Final = (0.02, 0.25)
"""Between two attempts to acquire: the first, and the longest."""
WITHDRAW_SECONDS: Final = 1.0
"""For how long whoever is cancelled or stops tries to leave nothing behind; then the lock ends by
itself.
"""

Object = TypeVar("Object")


class Owner(NamedTuple):
    owner: str
    token: int


@replicated
class Lock:
    """`with app.door.hold() as held:` owns it; `held.token` rises with every owner.

    An owner that does not renew for ttl_s seconds, by the leader's clock, has it no more.
    """

    owner: str = ""
    token: int = 0
    ttl_s: float = TTL_S
    renewals: int = 0

    @command
    def acquire(self, owner: str, ttl_s: float = TTL_S) -> int | None:
        """The fencing token, or None: another one has it. The owner itself gets its token again."""
        if not 0 < len(owner) <= OWNER_CHARS_MAX:
            raise CommandRefused(f"owner: 1 to {OWNER_CHARS_MAX} characters, not {len(owner)}")
        if not TTL_MIN_S <= ttl_s <= TTL_MAX_S:
            raise CommandRefused(f"ttl_s {ttl_s:g}: {TTL_MIN_S:g} to {TTL_MAX_S:g} seconds")
        if self.owner not in ("", owner):
            return None
        if not self.owner:
            self.owner, self.token = owner, self.token + 1
        self.ttl_s = ttl_s
        self.renewals += 1
        return self.token

    @command
    def renew(self, token: int) -> bool:
        """False: this token's time is over."""
        if not self.owner or token != self.token:
            return False
        self.renewals += 1
        return True

    @command
    def release(self, token: int) -> bool:
        """False: it was over already."""
        if not self.owner or token != self.token:
            return False
        self.owner = ""
        return True

    @command
    def expire(self, token: int, renewals: int) -> bool:
        """The leader's: the lock was as it is now for longer than ttl_s."""
        return (token, renewals) == (self.token, self.renewals) and self.release(token)

    @query
    def held_by(self) -> Owner | None:
        """Who owns it now."""
        return Owner(self.owner, self.token) if self.owner else None

    def hold(self, ttl_s: float = TTL_S, *, timeout: float | None = None) -> Hold:
        """`with` or `async with` it: waits for the lock, renews it, releases it.

        timeout: seconds to wait; None: for ever. Raises NotAcquired after that.
        """
        return Hold(self, ttl_s, timeout)


class Hold:
    """An ownership. Enter it once. The rest: any thread."""

    def __init__(self, lock: Lock, ttl_s: float, timeout: float | None) -> None:
        self._lock = lock
        self._ttl_s = ttl_s
        self._timeout = timeout
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"[-256:]
        self._over = threading.Event()
        self._renewer: threading.Thread | None = None
        self._renewed = 0.0
        self._ended = False
        self.token = 0
        """The fencing token; hand it to whatever the lock protects."""

    @property
    def lost(self) -> bool:
        """Somebody else may own it: it was not renewed in time. By this process's own clock."""
        held = self._renewer is not None and not self._over.is_set()
        return self._ended or (held and time.monotonic() - self._renewed >= self._ttl_s)

    def guard(self, handle: Object) -> Object:
        """A handle of the same object; its commands are refused once this ownership is over."""
        place, lock = place_of(handle), place_of(self._lock)
        if place is None or lock is None or place.channel is not lock.channel:
            raise ValueError("guard takes a handle of the same objects as the lock's")
        return handle_of(type(handle), replace(place, fence=(lock.name, self.token)))

    def __enter__(self) -> Self:
        try:
            for pause in _pauses(self._timeout):
                asked = time.monotonic()
                if token := self._lock.acquire(self._name, self._ttl_s):
                    return self._begin(token, asked)
                time.sleep(pause)
        except BaseException as error:
            if _may_have_it(error):
                _for_a_moment(self._withdraw_at_once)
            raise
        raise self._not_acquired()

    def _withdraw_at_once(self) -> None:
        """As `_withdraw`."""
        with suppress(RaftdError):
            if token := self._lock.acquire(self._name, self._ttl_s):
                self._lock.release(token)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._give_back()

    def give_up(self) -> None:
        """Its objects are stopped, and whoever entered it by hand does not leave it any more."""
        self._end()
        self._ended = True
        self._give_back()

    def _give_back(self) -> None:
        with suppress(RaftdError):  # then it runs out by itself
            self._lock.release(self.token)

    async def __aenter__(self) -> Self:
        try:
            for pause in _pauses(self._timeout):
                asked = time.monotonic()
                if token := await self._lock.acquire.aio(self._name, self._ttl_s):
                    return self._begin(token, asked)
                await asyncio.sleep(pause)
        except BaseException as error:
            if _may_have_it(error):
                await asyncio.shield(go_on(self._withdraw()))
            raise
        raise self._not_acquired()

    async def _withdraw(self) -> None:
        """What was sent may have the lock: the owner gets its token again, and gives it back."""
        with suppress(RaftdError, TimeoutError):
            async with asyncio.timeout(WITHDRAW_SECONDS):
                if token := await self._lock.acquire.aio(self._name, self._ttl_s):
                    await self._lock.release.aio(token)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        await asyncio.shield(go_on(self._release()))

    async def _release(self) -> None:
        with suppress(RaftdError):
            await self._lock.release.aio(self.token)

    def _not_acquired(self) -> NotAcquired:
        return NotAcquired(f"the lock was held by others for {self._timeout:g} s")

    def _begin(self, token: int, asked: float) -> Self:
        self.token, self._renewed = token, asked
        if (place := place_of(self._lock)) is not None:
            place.channel.held.add(self)
        self._renewer = threading.Thread(target=self._renew, name="raftd-hold", daemon=True)
        self._renewer.start()
        return self

    def _end(self) -> None:
        self._ended = self.lost
        self._over.set()
        if (place := place_of(self._lock)) is not None:
            place.channel.held.discard(self)

    def _renew(self) -> None:
        """Thread raftd-hold: until it is over, or somebody else's."""
        while not self._over.wait(self._ttl_s / 3):
            asked = time.monotonic()
            with suppress(RaftdError):  # then again; `lost` goes by the clock meanwhile
                if not self._lock.renew(self.token):
                    self._ended = True
                    return
                self._renewed = asked


def give_up(channel: Channel) -> None:
    """Give back what was entered through this channel and not left. Takes WITHDRAW_SECONDS at most.

    The story without it: a hold of a day that was entered by hand outlived the program by that day.
    """
    held = list(channel.held)

    def back() -> None:
        for each in held:
            each.give_up()

    if held:
        _for_a_moment(back)


def _may_have_it(error: BaseException) -> bool:
    """Whether an attempt that ended so may have got the lock: an interrupt, or no answer."""
    return isinstance(error, OutcomeUnknown) or not isinstance(error, RaftdError)


def _for_a_moment(work: Callable[[], object]) -> None:
    """Returns when it is done, or after WITHDRAW_SECONDS: it may wait for a leader that is gone."""
    thread = threading.Thread(target=work, name="raftd-give-up", daemon=True)
    thread.start()
    thread.join(WITHDRAW_SECONDS)


def _pauses(timeout: float | None) -> Iterator[float]:
    """How long to wait after each attempt; ends when there is no time for another."""
    pause, longest = WAIT_SECONDS
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        yield pause
        if deadline is not None and time.monotonic() >= deadline:
            return
        pause = min(2 * pause, longest)
