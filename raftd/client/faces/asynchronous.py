"""The asyncio callers' way into the engine: tasks wait on futures of their own loop.

The engine lives on the callers' loop where gRPC allows that, and else on the process's loop thread
(see `event_loop`); then answers come back many with one wake-up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from raftd.client.delivery import answers, event_loop
from raftd.client.delivery.answers import Done
from raftd.client.delivery.calls import Backpressure, Countdown, PendingCall, Wake
from raftd.client.delivery.engine import Engine, make_engine
from raftd.client.errors import NotDone, Overloaded, RaftdError, WrongProcess
from raftd.client.faces.going_on import go_on
from raftd.client.faces.unsent import Unsent
from raftd.client.operations import Bulk, Operation
from raftd.client.recipes.feed import EngineEnded, next_of
from raftd.client.recipes.leases import NOT_GRANTED, LeaseKeeper, end, give_up_all
from raftd.client.settings import Settings

Answer = TypeVar("Answer")


class AsyncCallers(Unsent):
    """The callers of one client, and its engine, which begins with the first call. One loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._room = Backpressure(settings.queue_commands_max, settings.queue_bytes_max)
        self._engine: Engine | None = None
        self._starting = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batcher: WakeBatcher | None = None
        self._thread: event_loop.LoopThread | None = None
        self._keepers: set[LeaseKeeper] = set()
        self._closed = False

    async def close(self) -> None:
        """See AsyncClient.close."""
        if self._closed:
            return
        self._closed = True
        held = give_up_all(self._keepers)
        if self._engine is not None and not _is_forked():
            await asyncio.shield(go_on(self._end(self._engine, held)))

    async def _end(self, engine: Engine, held: list[int]) -> None:
        """Goes on when the caller is cancelled, or the connections would stay for ever."""
        with suppress(TimeoutError):
            await self._there(end(engine, held))
        event_loop.leave(rider=self._batcher is not None)

    async def ready(self) -> Engine:
        """Start the engine if need be. Raises RuntimeError on another loop than the first."""
        event_loop.check()
        if self._engine is None:
            async with self._starting:
                if self._engine is None:
                    await self._start()
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("this AsyncClient belongs to another event loop: make one for each")
        assert self._engine is not None
        return self._engine

    async def _start(self) -> None:
        self.seconds(None)
        self._loop = loop = asyncio.get_running_loop()
        if event_loop.join(loop):
            self._engine = Engine(self._settings, self._room)
            return
        self._batcher, self._thread = WakeBatcher(loop), event_loop.shared_thread()
        self._engine = await self._there(make_engine(self._settings, self._room))

    # -- calls --------------------------------------------------------------------------------

    async def run(self, operation: Operation[Answer], timeout: float | None) -> Answer:
        """One command or query; its answer. Raises the errors of raftd.client.errors."""
        call = await self._settled_call(operation, timeout)
        return answers.decoded(operation.decode, answers.answer_of(call))

    async def execute(
        self, operation: Operation[Answer], timeout: float | None, session: bool = True
    ) -> Done[Answer]:
        """As `run`, with the answer's place in the log. session: see `Engine.execute_once`."""
        if session:
            return answers.done(operation, await self._settled_call(operation, timeout))
        return await self.ask(lambda engine, left: engine.execute_once(operation, left), timeout)

    async def _settled_call(
        self, operation: Operation[Answer], timeout: float | None
    ) -> PendingCall:
        engine = await self.ready()
        seconds = self.seconds(timeout)
        future, wake = self._waiter()
        call = answers.single(operation, wake)
        if not self._room.enter(1, call.size):
            begun = self._settings.clock()
            await self._wait_for_room(1, call.size, seconds)
            seconds = max(0.0, seconds - (self._settings.clock() - begun))
        call.counted = True
        queue = engine.lane(operation.lane).queue
        if self._batcher is None:
            queue.put_here(call)
        else:
            queue.put(call)
        await self._wait(engine, [call], future, seconds)
        return call

    async def run_many(self, bulk: Bulk[Answer], timeout: float | None) -> list[Answer]:
        """Many commands in large frames; answers in order. Raises BulkError if some failed."""
        engine = await self.ready()
        seconds = self.seconds(timeout)
        if not bulk.commands:
            return []
        future, wake = self._waiter()
        pending = answers.cut(bulk, wake)
        countdown = Countdown(len(pending), wake)
        for call in pending:
            call.wake = countdown
        feeding = asyncio.ensure_future(self._feed(engine, pending, seconds))
        try:
            await self._wait(engine, pending, future, seconds)
        finally:
            feeding.cancel()
        return answers.answers_of(bulk, pending)

    async def ask(
        self,
        question: Callable[[Engine, float], Coroutine[Any, Any, Answer]],
        timeout: float | None,
    ) -> Answer:
        """Run a coroutine of the engine's, on its loop. It ends by itself within `timeout`."""
        engine = await self.ready()
        return await self._there(question(engine, self.seconds(timeout)))

    async def persist(
        self, work: Callable[[Engine], Coroutine[Any, Any, Answer]], timeout: float | None
    ) -> Answer:
        """Run something on the engine's loop that may take long.

        Raises TimeoutError after `timeout` seconds (None: never), NotDone after `close`.
        """
        self.seconds(None)
        engine = await self.ready()
        try:
            async with asyncio.timeout(timeout):
                return await self._there(work(engine))
        except EngineEnded:
            raise NotDone("this client is closed") from None

    def soon(self, call: Callable[[], None]) -> None:
        """Have it called on the engine's loop, if there is one."""
        if self._engine is not None:
            self._engine.tell(call)

    async def keep(self, keeper: LeaseKeeper, ttl_s: int, timeout: float | None) -> None:
        """Have a lease granted, and keep it alive until `drop`."""
        try:
            await self.ask(lambda engine, left: keeper.grant(engine, ttl_s, left), timeout)
        except BaseException:  # cancelled, perhaps, as it came: it must not be kept for ever
            keeper.give_up(NOT_GRANTED)
            self.drop(keeper)
            raise
        self._keepers.add(keeper)

    def drop(self, keeper: LeaseKeeper) -> None:
        """Keep it no longer."""
        self._keepers.discard(keeper)
        self.soon(keeper.close)

    async def iterate(
        self, make: Callable[[Engine], AsyncIterator[Answer]]
    ) -> AsyncIterator[Answer]:
        """An iterator of the engine's, item by item; waits for the next as long as it takes."""
        self.seconds(None)
        items = make(await self.ready())
        while True:
            try:
                yield await self._there(next_of(items))
            except StopAsyncIteration:
                return

    async def _there(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a coroutine of the engine on the engine's loop."""
        if self._thread is None:
            return await coroutine
        there = self._thread.loop
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, there))

    async def _feed(self, engine: Engine, pending: list[PendingCall], seconds: float) -> None:
        deadline = self._settings.clock() + seconds
        for number, call in enumerate(pending):
            count = len(call.commands)
            if not self._room.enter(count, call.size):
                left = deadline - self._settings.clock()
                try:
                    await self._wait_for_room(count, call.size, left)
                except RaftdError as error:
                    self._tell(partial(engine.context.turn_away, pending[number:], error))
                    return
            call.counted = True
            engine.bulk.queue.put(call)

    async def _wait_for_room(self, commands: int, size: int, seconds: float) -> None:
        """Back-pressure. Raises Overloaded at the deadline."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    wake = self._from_any_thread(room)
                    if self._room.enter(commands, size, wake):
                        return
                    try:
                        await room
                    finally:
                        self._room.forget(wake)
        except TimeoutError:
            text = "the client's own queue stayed full until the deadline; send slower"
            raise Overloaded(text) from None

    def _from_any_thread(self, future: asyncio.Future[None]) -> Wake:
        loop = future.get_loop()
        return lambda: loop.call_soon_threadsafe(event_loop.resolve, future)

    def _waiter(self) -> tuple[asyncio.Future[None], Wake]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._batcher is None:
            return future, partial(event_loop.resolve, future)
        return future, self._batcher.waker(future)

    async def _wait(
        self,
        engine: Engine,
        pending: list[PendingCall],
        future: asyncio.Future[None],
        seconds: float,
    ) -> None:
        """Until they are settled; at the deadline the engine settles them."""
        expire = partial(engine.context.expire, pending)
        timer = future.get_loop().call_later(seconds, self._tell, expire)
        try:
            await future
        except asyncio.CancelledError:
            self._tell(partial(engine.context.expire, pending, "the caller was cancelled"))
            raise
        finally:
            timer.cancel()

    def _tell(self, call: Wake) -> None:
        """On the engine's loop; at once if that is ours."""
        if self._batcher is None:
            call()
        elif self._engine is not None:
            self._engine.loop.call_soon_threadsafe(call)

    def seconds(self, timeout: float | None) -> float:
        if self._closed:
            raise NotDone("this client is closed")
        return answers.seconds(timeout, self._settings.timeout)


def _is_forked() -> bool:
    """In a child: what its parent holds, and the parent's connections, are not its own to end."""
    try:
        event_loop.check()
    except WrongProcess:
        return True
    except NotDone:  # the process ends
        pass
    return False


class WakeBatcher:
    """Brings answers from the thread's loop to another loop, many with one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._settled: deque[asyncio.Future[None]] = deque()
        self._woken = False

    def waker(self, future: asyncio.Future[None]) -> Callable[[], None]:
        """What a parcel calls, on the thread's loop."""

        def wake() -> None:
            self._settled.append(future)
            if not self._woken:
                self._woken = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:  # the caller's loop is closed: nobody waits any more
                    self._settled.clear()

        return wake

    def _deliver(self) -> None:
        self._woken = False  # first: an answer that comes now must wake us again
        while self._settled:
            event_loop.resolve(self._settled.popleft())
