"""Bytes that are not the message they should be: refused in one line.

Left alone, grpc.aio logs a stack for each of them and answers UNKNOWN, which is also what a command
of unknown outcome looks like.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from raftd.h2.context import Context as H2Context
from raftd.rpc.plumbing.connections import Connections
from raftd.rpc.plumbing.ports import PortServer
from raftd.rpc.plumbing.turns import TooMany, Turns


class Malformed:
    """What a handler finds in the place of a message that could not be parsed."""


MALFORMED: Final = Malformed()
TEXT: Final = "the bytes are not the protobuf message that this method takes"


class Tolerant:
    """Stands in for a server while generated code adds a service to it."""

    def __init__(
        self, server: PortServer, connections: Connections, turns: Turns | None = None
    ) -> None:
        """turns: unary calls begin in turn; None: at once."""
        self._server = server
        self._connections = connections
        self._turns = turns

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Nothing: the same methods come through `add_registered_method_handlers`, with names."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        wait = None if self._turns is None else _waiter(self._turns, self._connections, service)
        tolerant = {
            method: _tolerant(handler, self._connections, wait)
            for method, handler in handlers.items()
        }
        generic = grpc.method_handlers_generic_handler(service, tolerant)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_registered_method_handlers(service, tolerant)


Wait = Callable[[Any], Awaitable[None]]
"""Until a call may begin."""


def _waiter(turns: Turns, connections: Connections, service: str) -> Wait:
    async def wait(context: Any) -> None:
        if isinstance(context, H2Context):
            return  # its turn came before it was given a context
        try:
            await turns.turn(connections.of(context.peer()).row)
        except TooMany as error:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, turns.refusal(service, str(error))
            )

    return wait


def _tolerant(handler: Any, connections: Connections, wait: Wait | None) -> Any:
    parse = _parse(handler.request_deserializer, connections)
    handler = handler._replace(request_deserializer=parse)
    if handler.unary_unary is not None:
        behaviour = _unary(handler.unary_unary, handler.response_serializer, connections, wait)
        return handler._replace(unary_unary=behaviour, response_serializer=None)
    if handler.unary_stream is not None:
        return handler._replace(unary_stream=_stream(handler.unary_stream))
    return handler  # ServerStream knows MALFORMED


def _parse(parse: Callable[[bytes], Any], connections: Connections) -> Callable[[bytes], Any]:
    def tolerant(data: bytes) -> Any:
        connections.parsed_bytes = len(data)
        try:
            return parse(data)
        except DecodeError:
            return MALFORMED

    return tolerant


def _unary(
    behaviour: Callable[[Any, Any], Any],
    serialize: Callable[[Any], bytes],
    connections: Connections,
    wait: Wait | None,
) -> Callable[[Any, Any], Any]:
    """Makes the bytes itself: gRPC would keep the message, too, until the caller has read them."""

    async def tolerant(request: Any, context: Any) -> Any:
        connections.of(context.peer()).arrived()
        if request is MALFORMED:
            await _refuse(context)
        if wait is not None:
            await wait(context)
        return serialize(await behaviour(request, context))

    return tolerant


def _stream(behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def tolerant(request: Any, context: Any) -> None:
        if request is MALFORMED:
            await _refuse(context)
        await behaviour(request, context)

    return tolerant


async def _refuse(context: Any) -> NoReturn:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, TEXT)
    raise AssertionError("abort raises")  # pragma: no cover
