"""One HTTP connection: one request, one answer, the end. Nobody can make it last but a stream.

A stream lasts as long as its reader reads: what is not taken waits in the ring that it comes from,
not here, and a reader that takes nothing for a while is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

HEAD_BYTES_MAX = 8 << 10
REQUEST_SECONDS = 2.0
"""For the whole head of a request: one byte now and then does not prolong it."""
ANSWER_SECONDS = 5.0
"""For the reader to take the answer, or to take anything of a stream that is full."""
UNREAD_BYTES_MAX = 64 << 10
"""What waits for the reader of a stream."""

TEXT = "text/plain; charset=utf-8"
_WORDS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
          405: "Method Not Allowed", 431: "Request Header Fields Too Large",
          500: "Internal Server Error", 503: "Service Unavailable"}  # fmt: skip


class Request(NamedTuple):
    path: str
    query: str = ""
    last_event_id: str = ""
    origin: str = ""
    """The page that asks, when that is one of another port."""
    host: str = ""
    """Under which name it asks, perhaps with a port; empty: the request does not say."""


class Answer(NamedTuple):
    status: int
    text: str
    kind: str = TEXT


class Stream(Protocol):
    """An answer without an end. The admin thread's loop only."""

    kind: str
    """Its content type."""
    allowed_origin: str
    """The page of another port that may read it; empty: none."""

    def begin(self, connection: Connection) -> None:
        """The head has been written: `connection.send` from now on."""
        ...

    def resume(self) -> None:
        """The reader has taken what waited."""
        ...

    def end(self) -> None:
        """The reader is gone. Called once."""
        ...


class Connection(asyncio.Protocol):
    """The admin thread's loop only. route: what to answer to a request."""

    def __init__(
        self,
        route: Callable[[Request], Answer | Stream],
        admit: Callable[[Connection], None],
        leave: Callable[[Connection], None],
    ) -> None:
        self.waiting = True
        """Its request is not complete: it is the first to go when room is needed."""
        self.stream: Stream | None = None
        self.full = False
        """Its reader is behind: send nothing until `Stream.resume`."""
        self._route = route
        self._admit = admit
        self._leave = leave
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._limit(REQUEST_SECONDS)
        self._admit(self)

    def data_received(self, data: bytes) -> None:
        if not self.waiting:
            return  # a body, perhaps: nobody here wants one
        self._head += data
        head, end, _ = self._head.replace(b"\r\n", b"\n").partition(b"\n\n")
        if end:
            self._respond(head.split(b"\n"))
        elif len(self._head) > HEAD_BYTES_MAX:
            self._write(Answer(431, f"the head of a request has at most {HEAD_BYTES_MAX} bytes\n"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._unlimit()
        if self.stream is not None:
            self.stream.end()
        self._leave(self)

    def pause_writing(self) -> None:
        """An answer has its time limit already; a stream gets one while it is full."""
        self.full = True
        if self.stream is not None:
            self._limit(ANSWER_SECONDS)

    def resume_writing(self) -> None:
        self.full = False
        if self.stream is not None:
            self._unlimit()
            self.stream.resume()

    def send(self, data: bytes) -> None:
        """A piece of a stream, which is small. Check `full` before."""
        assert self._transport is not None
        self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _respond(self, lines: list[bytes]) -> None:
        words = lines[0].decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            self._write(Answer(400, "expected an HTTP request, as in GET /livez HTTP/1.1\n"))
            return
        if words[0] not in ("GET", "HEAD"):
            self._write(Answer(405, "expected GET or HEAD\n"))
            return
        path, _, query = words[1].partition("?")
        marks = [_header(lines, name) for name in (b"last-event-id", b"origin", b"host")]
        found = self._route(Request(path, query, *marks))
        if isinstance(found, Answer):
            self._write(found, body=words[0] == "GET")
        else:
            self._begin(found, body=words[0] == "GET")

    def _begin(self, stream: Stream, *, body: bool) -> None:
        assert self._transport is not None
        self.waiting = False
        origin = stream.allowed_origin
        allowed = f"Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n" if origin else ""
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {stream.kind}\r\n{allowed}"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode())
        if not body:
            stream.end()
            self._limit(ANSWER_SECONDS)
            self._transport.close()
            return
        self._unlimit()
        self._transport.set_write_buffer_limits(UNREAD_BYTES_MAX)
        self.stream = stream
        stream.begin(self)

    def _write(self, answer: Answer, *, body: bool = True) -> None:
        assert self._transport is not None
        self.waiting = False
        self._limit(ANSWER_SECONDS)
        data = answer.text.encode()
        head = (
            f"HTTP/1.1 {answer.status} {_WORDS[answer.status]}\r\nContent-Type: {answer.kind}\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        ).encode()
        self._transport.write(head + data if body else head)
        self._transport.close()  # once it has been taken

    def _limit(self, seconds: float) -> None:
        self._unlimit()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _header(lines: list[bytes], name: bytes) -> str:
    """The value of a header, "" without it."""
    for line in lines[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1")
    return ""
