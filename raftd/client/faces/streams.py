"""What callers iterate over: changes of keys, changes of who leads. Both faces."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from raftd.client.delivery.engine import Engine
from raftd.client.errors import NotDone, Unavailable
from raftd.client.faces.asynchronous import AsyncCallers
from raftd.client.faces.blocking import BlockingCallers
from raftd.client.faces.unsent import Unsent
from raftd.client.recipes.feed import Feed
from raftd.client.recipes.watch import Watcher, WatchEvent

Item = TypeVar("Item")


class Stream(Unsent, Generic[Item]):
    """An iterator over what happens, for ever; it survives any fault. One thread iterates.

    A `with` block ends it, or `close`, or being forgotten.
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
            self._take(None)
        return self._items.popleft()

    def take(self, timeout: float | None) -> list[Item]:
        """The next items, at least one; none after `timeout` seconds without any, or if closed."""
        if not (self._items or self._closed):
            self._take(timeout)
        return [self._items.popleft() for _ in range(len(self._items))]

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

    def __del__(self) -> None:
        """`for change in client.watch(...): break` would keep a stream at a node for ever."""
        if not self._closed:
            self._callers.soon(self._feed.close)

    def _take(self, timeout: float | None) -> None:
        """Fill `_items`, on the client's loop: whoever waits for that may be interrupted."""
        seconds = None if timeout is None else self._callers.seconds(timeout)

        async def take(engine: Engine) -> None:
            if not (self._items or self._closed):
                self._items.extend(await self._feed.take(engine, seconds))

        self._callers.persist(take, None)


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

        seconds = self._callers.seconds(timeout)
        try:
            self._callers.persist(begin, seconds)
        except BaseException as error:
            self._callers.soon(self._feed.close)  # else it would look for a node for ever
            if isinstance(error, TimeoutError):
                raise _not_begun(self._watcher) from None
            raise
        return self

    def __enter__(self) -> Self:
        return self.begin()

    @property
    def revision(self) -> int:
        """Everything up to it has been handed over: start_revision + 1 to go on from here."""
        return self._items[0].revision - 1 if self._items else self._watcher.revision


class AsyncStream(Unsent, Generic[Item]):
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
            await self._take(None)
        return self._items.popleft()

    async def take(self, timeout: float | None) -> list[Item]:
        if not (self._items or self._closed):
            await self._take(timeout)
        return [self._items.popleft() for _ in range(len(self._items))]

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

    def __del__(self) -> None:
        """As of `Stream`."""
        if not self._closed:
            self._callers.soon(self._feed.close)

    async def _take(self, timeout: float | None) -> None:
        seconds = None if timeout is None else self._callers.seconds(timeout)

        async def take(engine: Engine) -> None:
            if not (self._items or self._closed):
                self._items.extend(await self._feed.take(engine, seconds))

        await self._persist(take, None)

    async def _persist(
        self, work: Callable[[Engine], Coroutine[Any, Any, None]], timeout: float | None
    ) -> None:
        """Returns early if it is closed meanwhile."""
        try:
            await self._callers.persist(work, timeout)
        except NotDone:
            if not self._closed:
                raise


class AsyncWatch(AsyncStream[WatchEvent]):
    """As `Watch`."""

    def __init__(self, callers: AsyncCallers, watcher: Watcher) -> None:
        super().__init__(callers, watcher)
        self._watcher = watcher

    async def begin(self, timeout: float | None = None) -> Self:
        async def begin(engine: Engine) -> None:
            if not self._closed:
                await self._watcher.begin(engine)

        seconds = self._callers.seconds(timeout)
        try:
            await self._persist(begin, seconds)
        except BaseException as error:
            self._callers.soon(self._feed.close)
            if isinstance(error, TimeoutError):
                raise _not_begun(self._watcher) from None
            raise
        return self

    async def __aenter__(self) -> Self:
        return await self.begin()

    @property
    def revision(self) -> int:
        return self._items[0].revision - 1 if self._items else self._watcher.revision


def _not_begun(watcher: Watcher) -> Unavailable:
    last = f"; last: {watcher.trouble}" if watcher.trouble else ""
    return Unavailable(f"the deadline has passed before any node could be asked to watch{last}")
