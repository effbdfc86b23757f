"""The asyncio client: the same logic as the blocking one, with coroutines as its face."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from types import TracebackType
from typing import Self

from raftd.client import admin, calls, loops
from raftd.client.admin import Digest, NodeStatus, Question
from raftd.client.calls import Answer, Consistency, Data
from raftd.client.engine import BULK_BYTES, BULK_COUNT, Engine, start
from raftd.client.errors import NotDone, Overloaded, RaftdError
from raftd.client.parcels import Countdown, Gate, Parcel, Wake
from raftd.client.pipeline import Lane
from raftd.client.routing import parse_endpoints
from raftd.client.settings import Clock, checked_settings
from raftd.wire import kv


class AsyncClient:
    """A client of one cluster for the tasks of one asyncio loop. Settings and errors: see `Client`.

    Made anywhere, it starts with `async with` or the first call, on the loop that runs then, and
    stays there. Cancelling a call ends the wait, not the command: its outcome is unknown then.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        timeout: float = 5.0,
        attempt_timeout: float = 1.0,
        connect_timeout: float = 0.5,
        queue_commands_max: int = 65_536,
        queue_bytes_max: int = 64 << 20,
        clock: Clock = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self._settings = checked_settings(
            endpoints,
            clock,
            random,
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            connect_timeout=connect_timeout,
            queue_commands_max=queue_commands_max,
            queue_bytes_max=queue_bytes_max,
        )
        self._gate = Gate(queue_commands_max, queue_bytes_max)
        self._engine: Engine | None = None
        self._starting = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rider: loops.Rider | None = None
        self._thread: loops.LoopThread | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what still waits (unknown if it was sent), closes the session."""
        if self._closed:
            return
        self._closed = True
        if self._engine is not None:
            with suppress(TimeoutError):
                await self._there(self._engine.close())
            loops.leave(rider=self._rider is not None)

    # -- any state machine --------------------------------------------------------------------

    async def submit(self, command: Data, *, timeout: float | None = None) -> bytes:
        engine = await self._ready()
        return await self._one(engine.small, calls.checked(command), timeout)

    async def query(
        self,
        query: Data,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> bytes:
        engine = await self._ready()
        lane = engine.stale if calls.is_stale(consistency) else engine.queries
        return await self._one(lane, calls.checked(query), timeout)

    async def submit_many(
        self, commands: Iterable[Data], *, timeout: float | None = None
    ) -> list[bytes]:
        return await self._many(list(commands), calls.same, timeout)

    # -- the built-in store -------------------------------------------------------------------

    async def put(self, key: Data, value: Data, *, timeout: float | None = None) -> kv.PutResult:
        command = calls.encoded(kv.encode_put, calls.data("key", key), calls.data("value", value))
        return calls.decoded(kv.decode_put, await self.submit(command, timeout=timeout))

    async def put_many(
        self, pairs: Iterable[tuple[Data, Data]], *, timeout: float | None = None
    ) -> list[kv.PutResult]:
        commands = calls.pairs_of(pairs)
        return await self._many(commands, kv.decode_put, timeout)

    async def delete(self, key: Data, *, timeout: float | None = None) -> kv.DeleteResult:
        command = calls.encoded(kv.encode_delete, calls.data("key", key))
        return calls.decoded(kv.decode_delete, await self.submit(command, timeout=timeout))

    async def cas(
        self, key: Data, value: Data | None, expect: kv.Expect, *, timeout: float | None = None
    ) -> kv.CasResult:
        new = None if value is None else calls.data("value", value)
        command = calls.encoded(kv.encode_cas, calls.data("key", key), new, expect)
        return calls.decoded(kv.decode_cas, await self.submit(command, timeout=timeout))

    async def batch(
        self, operations: Iterable[tuple[Data, Data | None]], *, timeout: float | None = None
    ) -> kv.BatchResult:
        command = calls.encoded(kv.encode_batch_ops, calls.operations_of(operations))
        return calls.decoded(kv.decode_batch_ops, await self.submit(command, timeout=timeout))

    async def get(
        self,
        key: Data,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.GetResult:
        query = calls.encoded(kv.encode_get, calls.data("key", key))
        answer = await self.query(query, consistency=consistency, timeout=timeout)
        return calls.decoded(kv.decode_get, answer)

    async def range(
        self,
        prefix: Data = b"",
        *,
        limit: int = 0,
        after: Data = b"",
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.RangeResult:
        query = calls.encoded(
            kv.encode_range, calls.data("prefix", prefix), limit, calls.data("after", after)
        )
        answer = await self.query(query, consistency=consistency, timeout=timeout)
        return calls.decoded(kv.decode_range, answer)

    # -- the nodes ----------------------------------------------------------------------------

    async def status(
        self, endpoint: str | None = None, *, timeout: float | None = None
    ) -> NodeStatus:
        return await self._ask(admin.status_at, endpoint, timeout)

    async def health(self, endpoint: str | None = None, *, timeout: float | None = None) -> bool:
        return await self._ask(admin.health_at, endpoint, timeout)

    async def digest(self, endpoint: str | None = None, *, timeout: float | None = None) -> Digest:
        return await self._ask(admin.digest_at, endpoint, timeout)

    async def _ask(
        self, question: Question[Answer], endpoint: str | None, timeout: float | None
    ) -> Answer:
        engine = await self._ready()
        if endpoint is not None:
            (endpoint,) = parse_endpoints([endpoint])
        return await self._there(engine.ask(question, endpoint, self._seconds(timeout)))

    # -- the waiting part ---------------------------------------------------------------------

    async def _ready(self) -> Engine:
        loops.check()
        if self._engine is None:
            async with self._starting:
                if self._engine is None:
                    await self._start()
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("this AsyncClient belongs to another event loop: make one for each")
        assert self._engine is not None
        return self._engine

    async def _start(self) -> None:
        self._seconds(None)
        self._loop = loop = asyncio.get_running_loop()
        if loops.join(loop):
            self._engine = Engine(self._settings, self._gate)
            return
        self._rider, self._thread = loops.Rider(loop), loops.shared_thread()
        self._engine = await self._there(start(self._settings, self._gate))

    async def _there(self, coroutine: calls.Job[Answer]) -> Answer:
        """Run a coroutine of the engine on the engine's loop."""
        if self._thread is None:
            return await coroutine
        there = self._thread.loop
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, there))

    async def _one(self, lane: Lane, command: bytes, timeout: float | None) -> bytes:
        seconds = self._seconds(timeout)
        size = len(command)
        if not self._gate.enter(1, size):
            begun = self._settings.clock()
            await self._wait_for_room(1, size, seconds)
            seconds = max(0.0, seconds - (self._settings.clock() - begun))
        future, wake = self._waiter()
        parcel = Parcel((command,), size, wake)
        parcel.counted = True
        if self._rider is None:
            lane.inbox.put_here(parcel)
        else:
            lane.inbox.put(parcel)
        await self._wait([parcel], future, seconds)
        return calls.answer_of(parcel)

    async def _many(
        self, commands: Sequence[Data], decode: Callable[[bytes], Answer], timeout: float | None
    ) -> list[Answer]:
        engine = await self._ready()
        seconds = self._seconds(timeout)
        if not commands:
            return []
        future, wake = self._waiter()
        parcels = calls.cut(commands, BULK_COUNT, BULK_BYTES, wake)
        countdown = Countdown(len(parcels), wake)
        for parcel in parcels:
            parcel.wake = countdown
        feeding = asyncio.ensure_future(self._feed(engine, parcels, seconds))
        try:
            await self._wait(parcels, future, seconds)
        finally:
            feeding.cancel()
        return calls.answers_of(parcels, decode)

    async def _feed(self, engine: Engine, parcels: list[Parcel], seconds: float) -> None:
        deadline = self._settings.clock() + seconds
        for number, parcel in enumerate(parcels):
            count = len(parcel.commands)
            if not self._gate.enter(count, parcel.size):
                left = deadline - self._settings.clock()
                try:
                    await self._wait_for_room(count, parcel.size, left)
                except RaftdError as error:
                    self._tell(partial(engine.turn_away, parcels[number:], error))
                    return
            parcel.counted = True
            engine.bulk.inbox.put(parcel)

    async def _wait_for_room(self, commands: int, size: int, seconds: float) -> None:
        """Back-pressure. Raises Overloaded at the deadline."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    wake = self._from_any_thread(room)
                    if self._gate.enter(commands, size, wake):
                        return
                    try:
                        await room
                    finally:
                        self._gate.forget(wake)
        except TimeoutError:
            text = "the client's own queue stayed full until the deadline; send slower"
            raise Overloaded(text) from None

    def _from_any_thread(self, future: asyncio.Future[None]) -> Wake:
        loop = future.get_loop()
        return lambda: loop.call_soon_threadsafe(loops.resolve, future)

    def _waiter(self) -> tuple[asyncio.Future[None], Wake]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._rider is None:
            return future, partial(loops.resolve, future)
        return future, self._rider.waker(future)

    async def _wait(
        self, parcels: list[Parcel], future: asyncio.Future[None], seconds: float
    ) -> None:
        """Until they are settled; at the deadline the engine settles them."""
        engine = self._engine
        assert engine is not None
        expire = partial(engine.expire, parcels)
        timer = future.get_loop().call_later(seconds, self._tell, expire)
        try:
            await future
        except asyncio.CancelledError:
            self._tell(partial(engine.expire, parcels, "the caller was cancelled"))
            raise
        finally:
            timer.cancel()

    def _tell(self, call: Wake) -> None:
        """On the engine's loop; at once if that is ours."""
        if self._rider is None:
            call()
        elif self._engine is not None:
            self._engine.loop.call_soon_threadsafe(call)

    def _seconds(self, timeout: float | None) -> float:
        if self._closed:
            raise NotDone("this client is closed")
        return calls.seconds(timeout, self._settings.timeout)
