"""Answers that take long to be made, in pieces: one a turn of the loop, whoever's it is.

To make etcd's message of 300,000 keys takes three seconds of the thread that also sends heartbeats.
So that is done some keys at a time, and however many callers wait for such an answer, a turn of the
loop makes a piece of one of them. Network thread only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
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


SHARE: Final = 256
"""Of a turn of the loop, in events of watches: some 2 ms."""
STEP: Final = 256
ANSWER: Final = 4
"""What a step without an answer costs, for it may have looked at thousands of changes; and an
answer beside its events."""


class Shares:
    """What streams of watches do in a turn of the loop, all together.

    The story without it: a put under a key that ten thousand watch made ten thousand answers in one
    turn, and so did a thousand streams with some watchers each.
    """

    def __init__(self) -> None:
        self._left = SHARE
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._counts = False

    async def turn(self) -> None:
        """Return when a step may be done in the present turn; `spend` then says what it was."""
        if not self._counts:
            self._counts = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._left > 0 and not self._waiting:
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        await mine

    def spend(self, cost: int) -> None:
        self._left -= cost

    def _next(self) -> None:
        """A turn of the loop is over. One goes on: what its step costs is known after it."""
        self._counts = self._left < SHARE or bool(self._waiting)
        self._left = SHARE
        while self._waiting:
            mine = self._waiting.popleft()
            if not mine.done():  # its stream may have ended
                mine.set_result(None)
                break
        if self._counts:
            asyncio.get_running_loop().call_soon(self._next)


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
