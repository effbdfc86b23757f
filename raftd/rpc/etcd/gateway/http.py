"""What the gateway's port and what it serves have in common: requests, replies, limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

Send = Callable[[bytes], Awaitable[None]]
Stream = Callable[[Send], Awaitable[None]]
Turn = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """The turn of who waits for nobody."""


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Of one HTTP port. Times in seconds, sizes in bytes.

    connections_max: one more is closed at once. idle: a connection may wait so long for its next
    request, and a request for its next byte; request: for its last. write: so long may a caller not
    read. held: of requests that come and answers that leave, on all connections together.
    """

    connections_max: int = 1024
    head_bytes_max: int = 16 << 10
    body_bytes_max: int = 2 << 20
    held_bytes_max: int = 48 << 20
    idle_seconds: float = 60.0
    request_seconds: float = 60.0
    write_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """headers: names in lower case. turn: returns when the next piece of work for it may be done.
    It raises TooMany. peer: the caller's address as gRPC writes it. kept: what
    is counted for it (held.py), until it is over.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    turn: Turn = at_once
    peer: str = ""
    kept: ExitStack = field(default_factory=ExitStack)

    @property
    def size_bytes(self) -> int:
        head = sum([len(name) + len(value) for name, value in self.headers.items()])
        return len(self.path) + head + len(self.body)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """stream: if there is one, it writes the rest of the body by `Send` until it returns, or raises
    StreamFailed. The head leaves with the first piece.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    stream: Stream | None = None


class StreamFailed(Exception):
    """How a stream ends that fails. status: of the reply, if nothing was sent yet. line: the last
    one of the body.
    """

    def __init__(self, status: int, line: bytes) -> None:
        super().__init__(status, line)
        self.status = status
        self.line = line


class CallerGone(Exception):
    """The other side of a connection is not there any more, or does not read."""


Handle = Callable[[HttpRequest], Awaitable[HttpReply]]
