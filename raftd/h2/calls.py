"""Calls as generated stubs hand them out: grpc.aio's methods on a `ClientCall`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable
from typing import Any, Protocol

import grpc
import grpc.aio

from raftd.h2.client_call import ClientCall
from raftd.h2.headers import MetadataLike


class Caller(Protocol):
    """What is asked of a channel."""

    def call(
        self,
        path: bytes,
        *,
        timeout: float | None = None,
        metadata: MetadataLike = None,
        wait_for_ready: bool = False,
    ) -> ClientCall: ...


def same(value: Any) -> Any:
    return value


class AioCall:
    """One class for all four kinds: which methods make sense follows from the kind.

    A call that this side cancelled raises CancelledError where it is awaited; every other end than
    OK raises grpc.aio.AioRpcError.
    """

    def __init__(
        self,
        call: ClientCall,
        serialize: Callable[[Any], bytes] | None,
        parse: Callable[[bytes], Any] | None,
    ) -> None:
        self.raw = call
        self._serialize = serialize or same
        self._parse = parse or same
        self._waiting: set[asyncio.Future[None]] = set()
        self._callbacks: list[Callable[[Any], None]] = []
        self._feeder: asyncio.Task[None] | None = None
        self._broken = False
        self._done = False
        call.on_done = self._on_done
        call.on_initial = call.on_started = call.on_status = self._stir

    # --- waiting ----------------------------------------------------------------------------

    def _stir(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _on_done(self) -> None:
        self._done = True
        if self._feeder is not None:
            self._feeder.cancel()
        self._stir()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self.raw.loop.call_soon(callback, self)

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            future: asyncio.Future[None] = self.raw.loop.create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    async def _settled(self) -> None:
        """Until there is a status, whatever messages still wait to be read."""
        await self._until(lambda: self.raw.code is not None)

    def error(self) -> BaseException:
        """How a call that has its status ended."""
        raw = self.raw
        if raw.cancelled:
            return asyncio.CancelledError()
        assert raw.code is not None
        return grpc.aio.AioRpcError(
            raw.code,
            grpc.aio.Metadata(*(raw.initial or ())),
            grpc.aio.Metadata(*raw.trailing),
            raw.details,
        )

    def _parsed(self, message: bytes) -> Any:
        """None for what cannot be parsed, which is what gRPC makes of it."""
        try:
            return self._parse(message)
        except Exception:  # noqa: BLE001  whatever the given parser raises
            return None

    # --- unary responses --------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Any]:
        return self._response().__await__()

    async def _response(self) -> Any:
        raw = self.raw
        try:
            message = await raw.read()
            if message is not None and raw.code is None:
                await self._settled()
        except asyncio.CancelledError:
            raw.cancel()
            raise
        if raw.code is not grpc.StatusCode.OK:
            raw.inbox.clear()
            raise self.error()
        if message is None:
            raw.details, raw.code = "the response has no message", grpc.StatusCode.INTERNAL
            raise self.error()
        return self._parsed(message)

    def settle(self, told: Callable[[Any, BaseException | None], None]) -> None:
        """In place of awaiting a unary call: `told(answer, None)` or `told(None, error)`, once.

        Before anything is awaited. It may be called while the call is being cancelled.
        """
        raw = self.raw

        def over() -> None:
            raw.on_status = None
            if raw.code is grpc.StatusCode.OK and raw.inbox:
                told(self._parsed(raw.take()), None)
                return
            raw.inbox.clear()
            if raw.code is grpc.StatusCode.OK:
                raw.details, raw.code = "the response has no message", grpc.StatusCode.INTERNAL
            told(None, self.error())

        if raw.code is None:
            raw.on_status = over
        else:
            raw.loop.call_soon(over)

    # --- streams ----------------------------------------------------------------------------

    async def read(self) -> Any:
        """The next message, or grpc.aio.EOF."""
        try:
            message = await self.raw.read()
            if message is not None:
                return self._parsed(message)
            await self._settled()
        except asyncio.CancelledError:
            self.raw.cancel()
            raise
        if self.raw.code is not grpc.StatusCode.OK:
            raise self.error()
        return grpc.aio.EOF

    async def write(self, message: Any) -> None:
        """Returns when little of what was sent waits."""
        raw = self.raw
        if raw.code is not None:
            if raw.code is grpc.StatusCode.OK:
                raise asyncio.InvalidStateError("RPC already finished.")
            raise self.error()
        if raw.sent_all:
            raise asyncio.InvalidStateError("RPC is half closed after calling done_writing().")
        raw.put(self._serialize(message))
        raw.flush()
        await raw.room_to_send()
        if raw.code not in (None, grpc.StatusCode.OK):
            raise self.error()

    def send(self, message: Any) -> None:
        """As `write`, at once and whether there is room or not: for few messages, of known size.

        Does nothing when the call is over.
        """
        self.raw.put(self._serialize(message))
        self.raw.flush()

    def deliver(self, on_message: Callable[[Any], None]) -> None:
        """In place of `read`: each message goes to `on_message` as soon as it has arrived.

        None: it could not be parsed. Call it before anything is awaited.
        """
        self.raw.on_message = lambda data: on_message(self._parsed(data))
        self.raw.resume()

    async def done_writing(self) -> None:
        self.raw.put_end()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    def feed(self, requests: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Send what an iterator gives."""
        self._feeder = self.raw.loop.create_task(self._feed(requests))

    async def _feed(self, requests: AsyncIterable[Any] | Iterable[Any]) -> None:
        try:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    await self.write(request)
            else:
                for request in requests:
                    await self.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return
        except asyncio.CancelledError:
            raise
        except Exception:
            self.raw.cancel()
            raise
        self.raw.put_end()

    # --- about the call ---------------------------------------------------------------------

    def cancel(self) -> bool:
        return self.raw.cancel()

    def cancelled(self) -> bool:
        return self.raw.cancelled or self.raw.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        return self.raw.code is not None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._done:
            self.raw.loop.call_soon(callback, self)
        else:
            self._callbacks.append(callback)

    def time_remaining(self) -> float | None:
        deadline = self.raw.deadline
        return None if deadline is None else max(0.0, deadline - self.raw.loop.time())

    async def code(self) -> grpc.StatusCode:
        await self._settled()
        assert self.raw.code is not None
        return self.raw.code

    async def details(self) -> str:
        await self._settled()
        return self.raw.details

    async def debug_error_string(self) -> str:
        return await self.details()

    async def initial_metadata(self) -> grpc.aio.Metadata:
        await self._until(lambda: self.raw.initial is not None)
        return grpc.aio.Metadata(*(self.raw.initial or ()))

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await self._settled()
        return grpc.aio.Metadata(*self.raw.trailing)

    async def wait_for_connection(self) -> None:
        """Until the server has answered with its first header fields. Raises as `read`."""
        await self._until(lambda: self.raw.initial is not None or self.raw.code is not None)
        if self.raw.code not in (None, grpc.StatusCode.OK):
            raise self.error()


class Method:
    """What a stub calls: one method of one kind."""

    def __init__(
        self,
        channel: Caller,
        path: str,
        serialize: Callable[[Any], bytes] | None,
        parse: Callable[[bytes], Any] | None,
        stream_in: bool,
    ) -> None:
        self._channel = channel
        self._path = path.encode()
        self._serialize = serialize or same
        self._parse = parse or same
        self._stream_in = stream_in

    def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> AioCall:
        """request: the message, or what iterates over messages, or None to `write` them.

        credentials, compression: not for this channel; whoever gives them is told so.
        """
        if credentials is not None or compression is not None:
            raise NotImplementedError("credentials and compression of a single call")
        data = b"" if self._stream_in else self._serialize(request)
        raw = self._channel.call(
            self._path, timeout=timeout, metadata=metadata, wait_for_ready=bool(wait_for_ready)
        )
        call = AioCall(raw, self._serialize, self._parse)
        if not self._stream_in:
            raw.put(data, last=True)
        elif request is not None:
            call.feed(request)
        return call
