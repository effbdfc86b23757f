"""A ring as JSON lines over HTTP, as fast as the reader takes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable

from raftd.admin.connection import Connection
from raftd.node.film import FilmReader
from raftd.node.film_records import Record

GATHER_SECONDS = 0.05
"""From a record to the line that shows it: one wake-up for all records of that time."""
PIECES_MAX = 256
"""Lines sent in one turn of the loop: a probe does not wait behind a long history."""


class LineStream:
    """One reader. The admin thread's loop only."""

    kind = "application/x-ndjson"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        head: bytes,
        read: Callable[[Callable[[], None]], FilmReader],
        line: Callable[[int, float, Record], Record],
        ended: Callable[[], None],
        allowed_origin: str = "",
    ) -> None:
        """head: the first line. line: a numbered record, of a time, as it is sent."""
        self.allowed_origin = allowed_origin
        self._loop = loop
        self._head = head
        self._line = line
        self._ended = ended
        self._connection: Connection | None = None
        self._due = False
        self._reader = read(self._wake)

    def begin(self, connection: Connection) -> None:
        self._connection = connection
        connection.send(self._head)
        self.resume()

    def resume(self) -> None:
        """Send what there is, as far as the reader takes it."""
        self._due = False
        connection = self._connection
        if connection is None or connection.full:
            return
        lines = []
        for _ in range(PIECES_MAX):
            found = self._reader.take()
            if found is None:
                break
            lines.append(json.dumps(self._line(*found)))
        if lines:
            connection.send("\n".join([*lines, ""]).encode())
        if len(lines) == PIECES_MAX:
            self._soon()

    def end(self) -> None:
        self._connection = None
        self._reader.close()
        self._ended()

    def _wake(self) -> None:
        """The thread that fills the ring. A flag that is set twice does no harm."""
        if not self._due:
            self._due = True
            with contextlib.suppress(RuntimeError):  # this port has closed
                self._loop.call_soon_threadsafe(self._later)

    def _later(self) -> None:
        self._loop.call_later(GATHER_SECONDS, self.resume)

    def _soon(self) -> None:
        self._loop.call_soon(self.resume)
