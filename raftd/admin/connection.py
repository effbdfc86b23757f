"""One HTTP connection: one request, one answer, the end. Nobody can make it last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

HEAD_BYTES_MAX = 8 << 10
REQUEST_SECONDS = 2.0
"""For the whole head of a request: one byte now and then does not prolong it."""
ANSWER_SECONDS = 5.0
"""For the reader to take the answer."""

TEXT = "text/plain; charset=utf-8"
_WORDS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
          431: "Request Header Fields Too Large", 500: "Internal Server Error",
          503: "Service Unavailable"}  # fmt: skip


class Answer(NamedTuple):
    status: int
    text: str
    kind: str = TEXT


class Connection(asyncio.Protocol):
    """The admin thread's loop only. route: what to answer for a path."""

    def __init__(
        self,
        route: Callable[[str], Answer],
        admit: Callable[[Connection], None],
        leave: Callable[[Connection], None],
    ) -> None:
        self.waiting = True
        """Its request is not complete: it is the first to go when room is needed."""
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
            self._respond(head.partition(b"\n")[0])
        elif len(self._head) > HEAD_BYTES_MAX:
            self._write(Answer(431, f"the head of a request has at most {HEAD_BYTES_MAX} bytes\n"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._leave(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _respond(self, line: bytes) -> None:
        words = line.decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            self._write(Answer(400, "expected an HTTP request, as in GET /livez HTTP/1.1\n"))
        elif words[0] not in ("GET", "HEAD"):
            self._write(Answer(405, "expected GET or HEAD\n"))
        else:
            self._write(self._route(words[1].partition("?")[0]), body=words[0] == "GET")

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
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)
