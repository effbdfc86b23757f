"""Hosts the etcd services on the client port's gRPC server. Network thread only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import grpc

from raftd.rpc.clients.callers import text_metadata
from raftd.rpc.clients.gate import SMALL_BYTES, UNREAD
from raftd.rpc.etcd.calls import Caller, Hangup, Method
from raftd.rpc.etcd.faults import Code, Fault, fault
from raftd.rpc.plumbing.connections import Connection, Connections
from raftd.rpc.plumbing.malformed import MALFORMED, TEXT, Tolerant
from raftd.rpc.plumbing.streams import ENDINGS
from raftd.rpc.plumbing.turns import TooMany, Turns

Context = Any  # grpc.aio.ServicerContext


class OpenStreams:
    """The streams of this port, so that they can be ended when the node stops."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    async def serve(self, work: Callable[[], Any]) -> None:
        """Until `work` is done or the node stops. Raises what it raises."""
        if self._stopping.is_set():
            raise fault("stopped")
        self._count += 1
        task = asyncio.ensure_future(work())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise fault("stopped")
            task.result()
        finally:
            self._count -= 1
            stopping.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def stop(self) -> None:
        self._stopping.set()


Named = Callable[[Context], str]
"""The common name of a call's certificate, where that says who calls."""


def add_to(
    server: Tolerant,
    methods: Iterable[Method],
    connections: Connections,
    streams: OpenStreams,
    named: Named,
    turns: Turns | None = None,
) -> None:
    """`server` answers these methods from now on. turns: requests on streams are taken in turn;
    None: at once.
    """
    by_service = groupby(methods, lambda method: method.path.rpartition("/")[0].strip("/"))
    for service, its_methods in by_service:
        handlers = {
            method.path.rpartition("/")[2]: _handler(method, connections, streams, named, turns)
            for method in its_methods
        }
        server.add_registered_method_handlers(service, handlers)


def _handler(
    method: Method,
    connections: Connections,
    streams: OpenStreams,
    named: Named,
    turns: Turns | None,
) -> Any:
    parse = method.request.FromString
    if method.unary is not None:
        answer = _unary(method.unary, connections, named)
        return grpc.unary_unary_rpc_method_handler(answer, parse, bytes)
    assert method.streaming is not None
    converse = _stream(method.streaming, connections, streams, named, turns)
    if method.client_streams:

        async def of_many(_requests: object, context: Context) -> None:
            await converse(None, context)

        return grpc.stream_stream_rpc_method_handler(of_many, parse, bytes)
    return grpc.unary_stream_rpc_method_handler(converse, parse, bytes)


def _packed(answer: Any) -> bytes:
    packed: bytes = answer.SerializeToString()
    return packed


def _unary(handle: Any, connections: Connections, named: Named) -> Any:
    async def answer(request: Any, context: Context) -> bytes:
        connection = connections.of(context.peer())
        try:
            if connections.unread and connection.full:
                raise Fault(Code.RESOURCE_EXHAUSTED, UNREAD)
            made = await handle(request, caller_of(context, named))
            return _readable(_packed(made), connection, context)
        except Fault as error:
            await context.abort(error.code, error.text)
            raise AssertionError("abort raises") from None  # pragma: no cover

    return answer


def _readable(packed: bytes, connection: Connection, context: Context) -> bytes:
    """gRPC keeps an answer until its caller reads it: a large one is counted until then."""
    size = len(packed)
    if size > SMALL_BYTES:
        if not connection.room(size):
            raise Fault(Code.RESOURCE_EXHAUSTED, UNREAD)
        connection.hold(size)
        context.add_done_callback(lambda _: connection.read(size))
    return packed


def caller_of(context: Context, named: Named) -> Caller:
    return Caller(text_metadata(context), peer=context.peer(), common_name=named(context))


def _stream(
    handle: Any,
    connections: Connections,
    streams: OpenStreams,
    named: Named,
    turns: Turns | None,
) -> Any:
    async def converse(request: Any, context: Context) -> None:
        caller = caller_of(context, named)
        connection = connections.of(context.peer())
        talk = GrpcConversation(context, connection, request, caller, turns)
        try:
            await talk.in_turn()
            await streams.serve(lambda: handle(talk))
        except Fault as error:
            with contextlib.suppress(*ENDINGS):
                await context.abort(error.code, error.text)
        except Hangup:
            return

    return converse


class GrpcConversation:
    """One stream. request: of a stream with one request only, else None."""

    def __init__(
        self,
        context: Context,
        connection: Connection,
        request: Any,
        caller: Caller,
        turns: Turns | None = None,
    ) -> None:
        self._context = context
        self._connection = connection
        self._single = request is not None
        self._request = request
        self._turns = turns
        self.caller = caller

    async def receive(self) -> Any:
        """The next request, or None at the end. Raises Fault if it is not one."""
        if self._single:
            request, self._request = self._request, None
            return request
        try:
            request = await self._context.read()
        except ENDINGS:
            return None
        if request is grpc.aio.EOF:
            return None
        self._connection.arrived()
        if request is MALFORMED:
            raise Fault(Code.INVALID_ARGUMENT, TEXT)
        await self.in_turn()
        return request

    async def in_turn(self) -> None:
        """Wait for it, as calls do: some thousand streams of a stranger, each with a request in
        every turn of the loop, made a node miss heartbeats. Raises Fault.
        """
        if self._turns is None:
            return
        async with self._connection.talking:
            try:
                await self._turns.turn(self._connection.row)
            except TooMany:
                raise fault("too_many_requests") from None

    async def send(self, answer: Any) -> None:
        """Waits while the caller does not read. Raises Hangup if it has gone."""
        packed = _packed(answer)  # once: to ask a message for its size is to pack it
        size = len(packed)
        self._connection.hold(size)
        try:
            await self._context.write(packed)
        except ENDINGS:
            raise Hangup from None
        finally:
            self._connection.read(size)
