"""The face of an HTTP/2 engine: one connection, no input or output of its own; and of its streams.

Whoever owns the socket gives the engine what has arrived (`receive`), and sends what it has to say
(`to_send`). What the bytes meant is told to a `Sink` while `receive` runs. Another engine needs
this face only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Header = tuple[bytes, bytes]
Headers = Sequence[Header]

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR = 0x0, 0x1, 0x2
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0x7, 0x8, 0xB
"""Why a stream or a connection ends (RFC 9113, section 7)."""


class EngineError(Exception):
    """The other side broke HTTP/2 or passed a limit: the connection is over. One line."""


class StreamGone(Exception):
    """The stream is closed, or closed for sending."""


class NoNewStreams(Exception):
    """This connection takes no new calls: it is closing or has used its numbers up."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What an engine holds its peer to. Bytes and counts.

    streams_max: calls that the peer may have open at a time.
    stream_window_bytes, connection_window_bytes: what may arrive before the application took it.
    header_bytes_max: of one message's header fields, 32 bytes more for each field. What has more is
    refused; sixteen times as much, or 64 KiB in one field, is the end of the connection.
    resets_at_once, resets_each_second: streams that the peer opens and cancels.
    """

    streams_max: int = 1024
    stream_window_bytes: int = 1 << 20
    connection_window_bytes: int = 8 << 20
    header_bytes_max: int = 16 << 10
    resets_at_once: int = 10_000
    resets_each_second: int = 1_000


class Sink(Protocol):
    """What an engine tells while it receives. No method may raise."""

    def on_headers(self, stream_id: int, headers: Headers, end: bool) -> None:
        """A request's or a response's first header fields."""

    def on_trailers(self, stream_id: int, headers: Headers) -> None: ...

    def on_data(self, stream_id: int, data: bytes, end: bool) -> None:
        """Part of a body. The peer may send as much again once `taken` is called."""

    def on_reset(self, stream_id: int, code: int) -> None:
        """The peer gave the stream up."""

    def on_closed(self, stream_id: int, code: int) -> None:
        """Both sides have ended the stream, or it was reset. Told once for every stream."""

    def on_control(self, cost: int) -> None:
        """A frame that belongs to no message; `cost` is 1 for a cheap one."""

    def on_settings(self) -> None: ...

    def on_ping_answered(self) -> None: ...

    def on_goaway(self, last_stream_id: int, code: int, text: bytes) -> None:
        """The peer takes no new streams; those after `last_stream_id` were not begun."""


class OnConnection(Protocol):
    """A stream, as its connection sees it."""

    @property
    def id(self) -> int: ...

    def headers(self, headers: Headers, end: bool) -> None: ...

    def trailers(self, headers: Headers) -> None: ...

    def received(self, data: bytes, end: bool) -> None: ...

    def writable(self) -> None: ...

    def reset_by_peer(self, code: int) -> None: ...

    def refused(self, why: str) -> None: ...

    def closed(self, code: int) -> None: ...

    def lost(self, why: str) -> None: ...


class Engine(Protocol):
    """One connection. Methods that send only note what is to be sent."""

    def receive(self, data: bytes) -> None:
        """Raises EngineError; afterwards only `to_send` may be called, for the farewell."""

    def to_send(self, bytes_max: int) -> bytes:
        """What may leave now, as far as the peer's windows allow.

        Less than half of `bytes_max`: there is no more.
        """

    def request(self, headers: Headers) -> int:
        """Begin a call. Returns the stream's id. Raises NoNewStreams."""

    def respond(self, stream_id: int, headers: Headers, end: bool = False) -> None:
        """Raises StreamGone, as all that name a stream do."""

    def data(self, stream_id: int, data: bytes, end: bool = False) -> None: ...

    def trailers(self, stream_id: int, headers: Headers) -> None: ...

    def reset(self, stream_id: int, code: int) -> None:
        """Give the stream up; what waits to be sent on it is dropped. Harmless if it is closed."""

    def taken(self, size_bytes: int, stream_id: int) -> None:
        """The application has taken so much of what arrived. Harmless if the stream is closed."""

    def queued(self, stream_id: int) -> int:
        """Bytes of the stream's body that wait here for the peer's windows, or to be sent."""

    def queued_all(self) -> int: ...

    def ping(self) -> None: ...

    def shut_down(self, last_stream_id: int | None = None) -> None:
        """GOAWAY. None: a warning that refuses nothing yet; the one with a number follows."""

    def leave(self) -> None:
        """The connection is over: the sink is told nothing more, and forgotten.

        Here and below nothing may be left that only the cyclic collector frees: a daemon keeps that
        one from looking at all there is, so each connection would stay for ever.
        """

    @property
    def last_stream_id(self) -> int:
        """The newest stream that the peer opened; 0 if none."""

    @property
    def over(self) -> bool:
        """Nothing is to be read or written any more."""
