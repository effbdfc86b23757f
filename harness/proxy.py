"""A small TCP proxy for every directed connection, and what can be done to it.

All edges run on one loop on one thread. `Edge`'s methods may be called from any thread; they act
soon. A blocked edge keeps its connections and reads nothing from them, as if packets were lost:
what was under way arrives when it opens, late.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import uvloop

BUFFER_BYTES_MAX = 1 << 20
"""Held for a slow reader; then the sender is held back."""


@dataclass(frozen=True)
class Delay:
    """seconds on each way, give or take jitter; order is kept."""

    seconds: float = 0.0
    jitter: float = 0.0


class Edge:
    """From `source` to `target`: listens at `port`, forwards to `target_port` on loopback."""

    def __init__(
        self, proxies: Proxies, source: str, target: str, listener: socket.socket, target_port: int
    ) -> None:
        self.source = source
        self.target = target
        self.listener = listener
        self.port: int = listener.getsockname()[1]
        self.target_port = target_port
        self.blocked = False
        self.delay = Delay()
        self.rate_bytes = 0.0
        self.free_at = [0.0, 0.0]
        self.cut_after: int | None = None
        self.carried_bytes = 0
        self.swallowed = 0
        self.swallowed_bytes = 0
        self.links: set[Link] = set()
        self._proxies = proxies

    def block(self) -> None:
        self._proxies.soon(self._set_blocked, True)

    def open(self, *, cut: bool = False) -> None:
        """cut: connections that were blocked die instead of delivering what they held."""
        if cut:
            self.cut()
        self._proxies.soon(self._set_blocked, False)

    def slow(self, delay: Delay) -> None:
        self._proxies.soon(setattr, self, "delay", delay)

    def narrow(self, rate_bytes: float) -> None:
        """All connections together carry so many bytes a second each way; 0 is no limit."""
        self._proxies.soon(setattr, self, "rate_bytes", rate_bytes)

    def cut(self, after_bytes: int = 0) -> None:
        """End all connections now, or in the middle of whatever comes after so many bytes."""
        self._proxies.soon(self._cut, after_bytes)

    def swallow(self) -> None:
        """Forget all present connections without a word, as a box on the way may: both ends stay
        open, and what they send goes nowhere. New connections work.
        """
        self._proxies.soon(self._swallow)

    def _swallow(self) -> None:
        for link in list(self.links):
            link.swallowed = True
            self.swallowed += 1

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked
        for link in list(self.links):
            link.flow()

    def _cut(self, after_bytes: int) -> None:
        if after_bytes:
            self.cut_after = after_bytes
            return
        for link in list(self.links):
            link.abort()


class Link:
    """One connection: the side that called and the side that is called."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.near = _Side(self, 0)
        self.far = _Side(self, 1)
        self.near.other, self.far.other = self.far, self.near
        self.connecting = False
        self.swallowed = False
        edge.links.add(self)

    def flow(self) -> None:
        """Read on, or not; connect, if that was held back."""
        for side in (self.near, self.far):
            side.flow()
        if not self.edge.blocked and self.far.transport is None and not self.connecting:
            self.connecting = True
            asyncio.get_running_loop().create_task(self._connect())

    def abort(self) -> None:
        self.edge.links.discard(self)
        for side in (self.near, self.far):
            if side.transport is not None and not side.transport.is_closing():
                side.transport.abort()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.far, "127.0.0.1", self.edge.target_port)
        except OSError:
            self.abort()
            return
        if self not in self.edge.links:
            self.abort()
        self.flow()


class _Side(asyncio.Protocol):
    def __init__(self, link: Link, way: int) -> None:
        self.link = link
        self.way = way
        self.other: _Side = self
        self.transport: asyncio.Transport | None = None
        self._full = False
        self._paused = False
        self._queued = 0
        self._last_due = 0.0
        self._delayed: deque[bytes] = deque()
        self._held: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES_MAX)
        # uvloop forgets to read if it is told to pause before it has begun: a turn later, then.
        asyncio.get_running_loop().call_soon(self.link.flow)

    def flow(self) -> None:
        """Reading needs an open edge, room on the other side, and all sent that was read."""
        transport, other = self.transport, self.other
        if transport is None or transport.is_closing():
            return
        blocked = self.link.edge.blocked
        if not blocked and other.transport is not None:
            held, self._held = self._held, []
            for data in held:
                self._forward(data)
        pause = blocked or other._full or self._queued > 0
        if pause and not self._paused:
            transport.pause_reading()
        elif self._paused and not pause:
            transport.resume_reading()
        self._paused = pause

    def data_received(self, data: bytes) -> None:
        if self.link.swallowed:
            self.link.edge.swallowed_bytes += len(data)
            return
        if self.link.edge.blocked or self.other.transport is None or self._held:
            self._held.append(data)
        else:
            self._forward(data)

    def _forward(self, data: bytes) -> None:
        edge = self.link.edge
        if edge.cut_after is not None:
            edge.cut_after -= len(data)
            if edge.cut_after <= 0:
                data = data[: len(data) + edge.cut_after]
                edge.cut_after = None
                self.other._write(data)
                self.link.abort()
                return
        if edge.rate_bytes:
            self._queue(edge, data)
            return
        delay = edge.delay
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not delay.seconds and not self._delayed:
            self.other._write(data)
            return
        due = now + delay.seconds + edge._proxies.draw(delay.jitter)
        self._last_due = max(self._last_due, due)
        self._delayed.append(data)
        loop.call_at(self._last_due, self._deliver_oldest)

    def _deliver_oldest(self) -> None:
        """Timers that are due in one millisecond may fire in any order, and late ones later than
        what comes meanwhile; bytes may not.
        """
        self.other._write(self._delayed.popleft())

    def eof_received(self) -> bool:
        self.connection_lost(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side hears of it, after what it still has to be told."""
        if self.link.swallowed:  # the other side is not told, and is kept open
            return
        self.link.edge.links.discard(self.link)
        other = self.other.transport
        if other is not None and not other.is_closing():
            other.close()

    def pause_writing(self) -> None:
        self._full = True
        self.other.flow()

    def resume_writing(self) -> None:
        self._full = False
        self.other.flow()

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.link.edge.carried_bytes += len(data)
            self.transport.write(data)

    def _queue(self, edge: Edge, data: bytes) -> None:
        """Behind what the other connections of the edge have brought before."""
        loop = asyncio.get_running_loop()
        due = max(loop.time(), edge.free_at[self.way]) + len(data) / edge.rate_bytes
        edge.free_at[self.way] = due
        self._queued += 1
        self.flow()
        loop.call_at(due, self._let_through, data)

    def _let_through(self, data: bytes) -> None:
        self._queued -= 1
        self.other._write(data)
        self.flow()


class Proxies:
    """The loop and its thread. `close` ends all."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxies", daemon=True)
        self._servers: list[asyncio.Server] = []
        self.edges: list[Edge] = []
        self._thread.start()

    def add(self, source: str, target: str, target_port: int) -> Edge:
        """A new edge, listening. Any thread but the loop's."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        edge = Edge(self, source, target, listener, target_port)
        asyncio.run_coroutine_threadsafe(self._serve(edge), self._loop).result(10)
        self.edges.append(edge)
        return edge

    def soon(self, act: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(act, *arguments)

    def draw(self, jitter: float) -> float:
        return self._random.uniform(-jitter, jitter) if jitter else 0.0

    def close(self) -> None:
        self.soon(self._stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for edge in self.edges:
            for link in list(edge.links):
                link.abort()
        self._loop.call_later(0.1, self._loop.stop)

    async def _serve(self, edge: Edge) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Link(edge).near, sock=edge.listener)
        self._servers.append(server)
