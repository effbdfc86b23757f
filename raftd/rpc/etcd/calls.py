"""What a handler of the etcd v3 API is: the seam between the services and the transport.

A service has one method for each RPC, of the RPC's name. A unary one takes the request and the
caller and returns the answer; a streaming one takes a Conversation. Both raise Fault to end the
call with a status. A transport finds all of them, with path and message types, by `methods`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from raftd._pb import etcd_pb2 as pb
from raftd.wire.principal import NOBODY

WIRE_NAMES = {
    "Lock": "v3lockpb.Lock",
    "Election": "v3electionpb.Election",
}
"""What our services are called on the wire; the others are in etcdserverpb."""


@dataclass(frozen=True, slots=True)
class Caller:
    """metadata: what came with the call, keys in lower case, text values only.

    by_gateway: it speaks HTTP and JSON, and may not know how to speak gRPC. peer: its address, for
    the audit. common_name: of its certificate, where that says who it is. principal: who it is, as
    the door found out (door.py).
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    by_gateway: bool = False
    peer: str = ""
    common_name: str = ""
    principal: bytes = NOBODY

    @property
    def requires_leader(self) -> bool:
        """End this stream when the member has had no leader for a while."""
        return self.metadata.get("hasleader") == "true"


ANYBODY = Caller()


class Conversation(Protocol):
    """A stream as its handler sees it. Network thread only."""

    caller: Caller

    async def receive(self) -> Any:
        """The next request, or None once the caller has sent its last one."""
        ...

    async def send(self, answer: Any) -> None:
        """Returns when there is room for the next one. Raises Hangup if the caller has gone."""
        ...


class Hangup(Exception):
    """The caller of a stream has gone: nothing more is to be said to it."""


Unary = Callable[[Any, Caller], Awaitable[Any]]
Streaming = Callable[[Conversation], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC. path: as on the wire. request, answer: classes of messages.

    Exactly one of unary and streaming is there. client_streams: more than one request may come.
    """

    path: str
    request: Any
    answer: Any
    unary: Unary | None = None
    streaming: Streaming | None = None
    client_streams: bool = False


def wire_name(service: str) -> str:
    return WIRE_NAMES.get(service, f"etcdserverpb.{service}")


def methods(services: Iterable[object]) -> Iterator[Method]:
    """The RPCs of `services`, whose classes are called as in etcd.proto, with Service behind."""
    for service in services:
        name = type(service).__name__.removesuffix("Service")
        for method in pb.DESCRIPTOR.services_by_name[name].methods:
            streams = method.client_streaming or method.server_streaming
            handler = getattr(service, method.name)
            yield Method(
                f"/{wire_name(name)}/{method.name}",
                getattr(pb, method.input_type.name),
                getattr(pb, method.output_type.name),
                None if streams else handler,
                handler if streams else None,
                method.client_streaming,
            )
