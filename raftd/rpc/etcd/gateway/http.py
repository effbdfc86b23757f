"""What the gateway's port and what it serves have in common: requests, replies, limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Of one HTTP port. Times in seconds, sizes in bytes.

    connections_max: one more is closed at once. idle: a connection may wait so long for its next
    request, and a request for its next byte. write: so long may a caller not read.
    """

    connections_max: int = 1024
    head_bytes_max: int = 16 << 10
    body_bytes_max: int = 2 << 20
    idle_seconds: float = 60.0
    write_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """headers: names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpReply:
    """stream: if there is one, it writes the rest of the body by `Send` until it returns."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    stream: Callable[[Send], Awaitable[None]] | None = None


class CallerGone(Exception):
    """The other side of a connection is not there any more, or does not read."""


Handle = Callable[[HttpRequest], Awaitable[HttpReply]]
