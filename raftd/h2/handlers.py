"""How a method is carried out: by a callback, or by a generated servicer's coroutine."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from raftd.h2.context import Context
from raftd.h2.running import Running
from raftd.h2.server_call import ServerCall
from raftd.quiet import QuietLog

LOG = logging.getLogger("raftd.h2")

OnUnary = Callable[[bytes, ServerCall], None]
OnStream = Callable[[ServerCall], None]
Begin = Callable[[ServerCall, Callable[[], None]], None]
"""When does a call with one request begin? It calls the callback, now or later, or ends the call.
"""


def at_once(call: ServerCall, go: Callable[[], None]) -> None:
    go()


class UnaryCallback:
    """`on_request(message, call)` once the request is whole; it calls `call.answer` or `finish`."""

    def __init__(self, on_request: OnUnary, begin: Begin = at_once) -> None:
        self._on_request = on_request
        self._begin = begin

    def begin(self, call: ServerCall) -> None:
        call.on_whole = lambda: self._begin(call, lambda: self._whole(call))

    def _whole(self, call: ServerCall) -> None:
        if call.over:
            return  # its caller gave it up while it waited
        request = only_message(call)
        if request is not None:
            self._on_request(request, call)


class StreamCallback:
    """`on_open(call)` at the call's header fields; it sets `on_message` and the ends it wants."""

    def __init__(self, on_open: OnStream) -> None:
        self._on_open = on_open

    def begin(self, call: ServerCall) -> None:
        self._on_open(call)


def only_message(call: ServerCall) -> bytes | None:
    """The request of a unary call; None ends the call: it was none, or more than one."""
    if len(call.inbox) != 1:
        found = len(call.inbox)
        call.finish(grpc.StatusCode.INTERNAL, f"the method takes one request, and {found} came")
        return None
    return call.take()


class Servicer:
    """A method of a generated service, as gRPC's own asyncio server would carry it out.

    A unary request is parsed when it is whole, and its coroutine begins at once, without a task.
    """

    def __init__(self, path: str, handler: Any, begin: Begin = at_once) -> None:
        """handler: a grpc.RpcMethodHandler."""
        self._path = path
        self._quiet = QuietLog(LOG)
        self._begin = begin
        self._parse = handler.request_deserializer or _same
        self._serialize = handler.response_serializer or _same
        self._stream_in = bool(handler.request_streaming)
        self._stream_out = bool(handler.response_streaming)
        self._behaviour: Any = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )
        self._generates = inspect.isasyncgenfunction(self._behaviour)

    def begin(self, call: ServerCall) -> None:
        if self._stream_in:
            self._start(call, None)
        else:
            call.on_whole = lambda: self._begin(call, lambda: self._whole(call))

    def _whole(self, call: ServerCall) -> None:
        if call.over:
            return  # its caller gave it up while it waited
        request = only_message(call)
        if request is not None:
            self._start(call, request)

    def _start(self, call: ServerCall, request: bytes | None) -> None:
        context = Context(call, self._parse, self._serialize)
        work = self._run(context, request)
        if not self._stream_in and not self._stream_out:
            running = Running(call.loop, work)
            call.on_over = running.give_up
            running.begin()
            return
        task = call.loop.create_task(work)
        call.on_over = lambda: _cancel(task)
        _RUNNING.add(task)
        task.add_done_callback(_RUNNING.discard)

    async def _run(self, context: Context, request: bytes | None) -> None:
        call = context.call
        try:
            given = context.requests() if request is None else self._parse(request)
            await self._respond(context, given)
        except asyncio.CancelledError:
            if not call.over:  # the loop is ending, or the handler cancelled itself
                call.finish(grpc.StatusCode.CANCELLED, "the call was cancelled")
        except grpc.aio.AbortError:
            pass
        except Exception as error:  # noqa: BLE001 - told with its stack
            if not call.over:
                text = f"{self._path}: the method raised an error that it does not declare"
                self._quiet.error(text, error)
                call.finish(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error)}: {error}")

    async def _respond(self, context: Context, given: Any) -> None:
        if self._generates:
            responses: AsyncIterator[Any] = self._behaviour(given, context)
            async for response in responses:
                await context.write(response)
        else:
            response = await self._behaviour(given, context)
            if not self._stream_out and not context.call.over:
                context.call.reply(self._serialize(response))
        context.finish()


_RUNNING: set[asyncio.Task[None]] = set()
"""The loop itself keeps tasks weakly only."""


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _same(value: Any) -> Any:
    return value
