"""What hands items over from the client's loop, and how it reads on while nobody waits."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from raftd.client.delivery.engine import Engine

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class EngineEnded(Exception):
    """The engine was put down for a fork, or closed."""


class Feed(Protocol[Item_co]):
    """Something that hands items over from the client's loop, a batch at a time."""

    async def take(self, engine: Engine, timeout: float | None) -> Sequence[Item_co]:
        """The next ones; none after `timeout` seconds without any. The engine's loop."""
        ...

    def close(self) -> None:
        """Harmless if repeated. The engine's loop."""
        ...


async def next_of(items: AsyncIterator[Item]) -> Item:
    """A coroutine, which `anext` alone is not."""
    return await anext(items)


class ReadingFeed(ABC, Generic[Item]):
    """A `Feed` that reads in a task of its own, one batch ahead.

    Whoever waits for the batch may give up at any moment, and the next one gets it. What is read
    and not taken when the engine ends is read again on the next engine.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._reading: asyncio.Task[list[Item]] | None = None

    async def take(self, engine: Engine, timeout: float | None) -> list[Item]:
        """See `Feed`. Raises what the reading raised."""
        while True:
            reading = self._read_through(engine)
            await asyncio.wait({reading}, timeout=timeout)
            if not reading.done():
                return []
            if reading is self._reading:
                break
            if engine is not self._engine:  # closed meanwhile, and rewound: it is read again
                raise EngineEnded
        items = self._result_of(reading)
        self._hand_over(items)
        return items

    def close(self) -> None:
        """See `Feed`."""
        reading, self._reading = self._reading, None
        if reading is not None and not reading.cancel() and not reading.cancelled():
            reading.exception()  # nobody will ask for it any more
        self._rewind()
        if self._engine is not None:
            self._engine.residents.discard(self)
            self._engine = None

    def _read_through(self, engine: Engine) -> asyncio.Task[list[Item]]:
        if engine is not self._engine:  # the first time, or the process has forked meanwhile
            self.close()
            self._engine = engine
            engine.residents.add(self)
        self._reading = self._reading or asyncio.ensure_future(self._read(engine))
        return self._reading

    def _result_of(self, reading: asyncio.Task[list[Item]]) -> list[Item]:
        self._reading = None
        if reading.cancelled():
            raise EngineEnded
        return reading.result()

    @abstractmethod
    async def _read(self, engine: Engine) -> list[Item]:
        """The next batch, at least one item, however long it takes."""

    @abstractmethod
    def _hand_over(self, items: list[Item]) -> None:
        """The batch is taken: it will not be read again."""

    @abstractmethod
    def _rewind(self) -> None:
        """Let go of all streams; go on after the last batch that was handed over."""
