"""Answers that take long to be made, in pieces: one a turn of the loop, whoever's it is.

To make etcd's message of 300,000 keys takes three seconds of the thread that also sends heartbeats.
So that is done some keys at a time, and however many callers wait for such an answer, a turn of the
loop makes a piece of one of them. Network thread only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Final, TypeVar

T = TypeVar("T")

LONG: Final = 1 << 20
SMALL_BYTES: Final = 1024
"""What is made of so few waits for nobody: it takes less time than a turn."""


class LongAnswers:
    """Of all services of a node. As many wait as there are calls."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def made(self, work: Generator[None, None, T], size_bytes: int) -> T:
        """What `work` returns. size_bytes: of what it is made of. Raises what it raises."""
        if size_bytes > SMALL_BYTES:
            await self._turn()
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            await self._turn()

    async def _turn(self) -> None:
        """Return when a piece may be done in the present turn of the loop."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._next)
            return
        mine = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _next(self) -> None:
        """A turn of the loop is over."""
        self._taken = False
        while self._waiting:
            mine = self._waiting.popleft()
            if not mine.done():  # its caller may have gone
                self._taken = True
                mine.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return


TURN_SECONDS: Final = 0.001
"""Of this thread's time: what a turn of the loop has taken when streams of watches begin nothing
more in it."""


class Shares:
    """What streams of watches do in a turn of the loop, all together.

    The story without it: a put under a key that ten thousand watch made ten thousand answers in one
    turn, and so did a thousand streams with some watchers each. Work is measured, for it cannot be
    told beforehand: where events were counted, a hundred of ten kilobytes were as good as a hundred
    small ones, and two thousand watchers that read them made every turn ten times as long.
    """

    def __init__(self, cpu: Callable[[], float] = time.thread_time) -> None:
        """cpu: seconds that this thread has worked; other processes' time is nobody's share."""
        self._cpu = cpu
        self._began = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counts = False

    async def turn(self) -> None:
        """Return when a step may be done in the present turn."""
        if not self._counts:
            self._counts = True
            self._began = self._cpu()
            asyncio.get_running_loop().call_soon(self._next)
        elif self._waiting or self._cpu() - self._began >= TURN_SECONDS:
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
            await mine

    def _next(self) -> None:
        """A turn of the loop is over. One goes on, however long the next one lasts."""
        self._counts = False
        while self._waiting:
            mine = self._waiting.popleft()
            if not mine.done():  # its stream may have ended
                self._counts = True
                self._began = self._cpu()
                mine.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return


class Bench:
    """There is room for one at work."""

    def __init__(self) -> None:
        self._who: object = None

    def take(self, who: object) -> bool:
        """May it begin, or go on?"""
        if self._who is None:
            self._who = who
        return self._who is who

    def leave(self, who: object) -> None:
        if self._who is who:
            self._who = None
