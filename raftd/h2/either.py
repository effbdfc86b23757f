"""A port that takes TLS and plain text: the first byte of a connection says which of them it is.

It is for the days in which nodes and clients are given TLS one after the other. The byte is looked
at and left in the socket, so whoever serves the connection reads it from its beginning.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

TLS_HANDSHAKE = 0x16
"""The first byte of a TLS connection; HTTP/2 begins with `PRI`, HTTP/1.1 with a method."""

ACCEPTED_AT_ONCE = 64
"""Connections taken in one turn of the loop; the others wait in the system's queue."""

RETRY_SECONDS = 0.1
"""After the system refused a connection, for want of descriptors for example."""

Serve = Callable[[socket.socket, bool], Awaitable[object]]
"""(an accepted socket, whether TLS begins on it): the socket is the callee's."""


class EitherPort:
    """Its loop's thread only. `close` ends listening and whoever has not said anything."""

    def __init__(
        self,
        listener: socket.socket,
        serve: Serve,
        room: Callable[[], int],
        silent_seconds: float,
    ) -> None:
        """listener: bound, listening, not blocking. room: how many connections there may be beside
        those that are served; one more is closed. silent_seconds: so long may one say nothing.
        """
        self._listener = listener
        self._serve = serve
        self._room = room
        self._silent_seconds = silent_seconds
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for made in list(self._silent):
            self._drop(made)
        for task in self._serving:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                made, _where = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.remove_reader(self._listener)
                self._retry = self._loop.call_later(RETRY_SECONDS, self._accept_again)
                return
            if len(self._silent) + len(self._serving) >= self._room():
                made.close()
                continue
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._silent[made] = self._loop.call_later(self._silent_seconds, self._drop, made)
            self._loop.add_reader(made, self._spoke, made)

    def _accept_again(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _spoke(self, made: socket.socket) -> None:
        try:
            first = made.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if not first:
            self._drop(made)
            return
        self._silent.pop(made).cancel()
        self._loop.remove_reader(made)
        task = self._loop.create_task(self._hand_over(made, first[0] == TLS_HANDSHAKE))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _hand_over(self, made: socket.socket, secure: bool) -> None:
        try:
            await self._serve(made, secure)
        except OSError:  # the other side has gone meanwhile
            made.close()

    def _drop(self, made: socket.socket) -> None:
        self._silent.pop(made).cancel()
        self._loop.remove_reader(made)
        made.close()
