"""What callers iterate over: changes of keys, changes of who leads. Both faces."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from raftd.client.asynchronous import AsyncCallers
from raftd.client.blocking import BlockingCallers
from raftd.client.engine import Engine
from raftd.client.errors import NotDone, Unavailable
from raftd.client.watch import Feed, Watcher, WatchEvent

Item = TypeVar("Item")


class Stream(Generic[Item]):
    """An iterator over what happens, for ever; it survives any fault. One thread iterates.

    A `with` block ends it, or `close`.
    """

    def __init__(self, callers: BlockingCallers, feed: Feed[Item]) -> None:
        self._callers = callers
        self._feed = feed
        self._items: deque[Item] = deque()
        self._closed = False

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        while not self._items:
            if self._closed:
                raise StopIteration
            self._items.extend(self._take(None))
        return self._items.popleft()

    def take(self, timeout: float | None) -> list[Item]:
        """The next items, at least one; none after `timeout` seconds without any, or if closed."""
        items = list(self._items) or ([] if self._closed else self._take(timeout))
        self._items.clear()
        return items

    def close(self) -> None:
        """End the iteration, also of a thread that waits. Any thread."""
        self._closed = True
        self._callers.soon(self._feed.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, timeout: float | None) -> list[Item]:
        async def take(engine: Engine) -> list[Item]:
            return [] if self._closed else list(await self._feed.take(engine, timeout))

        return self._callers.persist(take, None)


class Watch(Stream[WatchEvent]):
    """The changes of one key, or of all keys with a prefix.

    Every change once, in order, through any fault. Raises Compacted when the next changes are no
    longer kept. A `with` block begins and ends it; without one it begins with `begin`, or when the
    first item is wanted.
    """

    def __init__(self, callers: BlockingCallers, watcher: Watcher) -> None:
        super().__init__(callers, watcher)
        self._watcher = watcher

    def begin(self, timeout: float | None = None) -> Self:
        """Whatever happens after this is not missed, however late it is asked for.

        timeout: seconds; None: the client's. Raises Unavailable if no node could be asked, and as
        `take`.
        """

        async def begin(engine: Engine) -> None:
            if not self._closed:
                await self._watcher.begin(engine)

        try:
            self._callers.persist(begin, self._callers.seconds(timeout))
        except TimeoutError:
            raise _not_begun(self._watcher) from None
        return self

    def __enter__(self) -> Self:
        return self.begin()

    @property
    def revision(self) -> int:
        """Everything up to it has been handed over: start_revision + 1 to go on from here."""
        return self._items[0].revision - 1 if self._items else self._watcher.revision


class AsyncStream(Generic[Item]):
    """As `Stream`, for the tasks of one loop: `async for`, `async with`."""

    def __init__(self, callers: AsyncCallers, feed: Feed[Item]) -> None:
        self._callers = callers
        self._feed = feed
        self._items: deque[Item] = deque()
        self._closed = False

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._items.extend(await self._take(None))
        return self._items.popleft()

    async def take(self, timeout: float | None) -> list[Item]:
        items = list(self._items) or ([] if self._closed else await self._take(timeout))
        self._items.clear()
        return items

    async def close(self) -> None:
        self._closed = True
        self._callers.soon(self._feed.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _take(self, timeout: float | None) -> list[Item]:
        async def take(engine: Engine) -> list[Item]:
            return list(await self._feed.take(engine, timeout))

        try:
            return await self._callers.persist(take, None)
        except NotDone:
            if self._closed:
                return []
            raise


class AsyncWatch(AsyncStream[WatchEvent]):
    """As `Watch`."""

    def __init__(self, callers: AsyncCallers, watcher: Watcher) -> None:
        super().__init__(callers, watcher)
        self._watcher = watcher

    async def begin(self, timeout: float | None = None) -> Self:
        try:
            await self._callers.persist(self._watcher.begin, self._callers.seconds(timeout))
        except TimeoutError:
            raise _not_begun(self._watcher) from None
        return self

    async def __aenter__(self) -> Self:
        return await self.begin()

    @property
    def revision(self) -> int:
        return self._items[0].revision - 1 if self._items else self._watcher.revision


def _not_begun(watcher: Watcher) -> Unavailable:
    last = f"; last: {watcher.trouble}" if watcher.trouble else ""
    return Unavailable(f"the deadline has passed before any node could be asked to watch{last}")
