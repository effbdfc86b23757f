"""Cuts connections that flood or never read.

An HTTP/2 connection may send frames that are no part of any call (PING, SETTINGS, PRIORITY, window
updates, heads of calls that are cancelled at once), and gRPC works on all of them. What a
connection sends is therefore compared with what of it became messages: the rest has a budget.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from raftd.beat import until_beat
from raftd.quiet import QuietLog
from raftd.rpc.plumbing import sockets
from raftd.rpc.plumbing.connections import Connections, End, end_of, plain

log = logging.getLogger("raftd.rpc")

SCAN_SECONDS = 0.25
SCAN_SHARE = 0.02
"""Of this thread's time, at most: with thousands of connections it looks more seldom."""

REST_SECONDS = 1.0
QUIET_BYTES = 64 << 10
"""Where raftd/h2 is the transport, which counts by itself what a connection sends: it looks so
seldom while nobody comes or goes, has an answer unread or sends more than this.
"""
LONG_REST_SECONDS = 15.0
"""And then so seldom, as long as all calls have told nothing new. A look asks the system about
every descriptor: with one a second, half of what an idle node asked it was this.
"""

SLICE = 64
SLICE_PAUSE_SECONDS = 0.005
"""So many connections at a time take a millisecond."""


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """Bytes that a connection may send beside its messages: at once, and more each second.

    at_once_bytes: also what is under way of messages that are not whole yet.
    """

    at_once_bytes: int = 32 << 20
    each_second_bytes: int = 1 << 20


@dataclass(slots=True)
class _Watched:
    """A bucket that leaks: `level` bytes beside messages, as of `at`."""

    at: float
    level: float = 0.0
    received: int = 0
    seen: int = 0


class Guard:
    """Network thread only; made inside the running loop."""

    def __init__(
        self,
        connections: Connections,
        limits: FloodLimits,
        now: Callable[[], float],
        *,
        rests: bool = False,
    ) -> None:
        """rests: all ports are raftd/h2's; see REST_SECONDS."""
        self._rests = rests
        self.quiet = True
        """As of the last look: nobody came or went, held an answer unread or sent much."""
        self._connections = connections
        self._limits = limits
        self._now = now
        self._log = QuietLog(log, now)
        self._loop = asyncio.get_running_loop()
        self._ports: Collection[int] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[End, _Watched] = {}
        self._walked = float("-inf")
        self._known = (0, 0)
        """(connections that ever called, bytes that all of them have sent), as of the last walk."""
        self.cut = 0
        """Connections cut since the start."""

    def start(self, ports: Collection[int]) -> None:
        self._ports = ports
        self._timer = self._loop.call_later(SCAN_SECONDS, self._begin)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _rest(self, spent: float) -> None:
        """spent: seconds that the last walk took."""
        least = REST_SECONDS if self._rests and self.quiet else SCAN_SECONDS
        pause = until_beat(self._loop.time(), max(least, spent / SCAN_SHARE))
        self._timer = self._loop.call_later(pause, self._begin)

    def _begin(self) -> None:
        if self._rests and self.quiet and not self._news():
            self._rest(0.0)
        else:
            self._on_timer(self._walk(), 0.0)

    def _news(self) -> bool:
        """Have calls told of anything since the last walk, or is it long ago?"""
        connections, (opened, seen) = self._connections, self._known
        return (
            self._now() - self._walked >= LONG_REST_SECONDS
            or connections.unread > 0
            or bool(connections.doomed)
            or connections.opened != opened
            or connections.seen_by_all() - seen > QUIET_BYTES
        )

    def _on_timer(self, walk: Iterator[None], spent: float) -> None:
        """A slice of a walk: nobody waits for thousands of connections to be looked at."""
        began = self._loop.time()
        over = len(list(islice(walk, SLICE))) < SLICE
        spent += self._loop.time() - began
        if over:
            self._rest(spent)
        else:
            self._timer = self._loop.call_later(SLICE_PAUSE_SECONDS, self._on_timer, walk, spent)

    def scan(self) -> None:
        """Look at every connection once."""
        for _ in self._walk():
            pass

    def _walk(self) -> Iterator[None]:
        """One connection a step."""
        connections = self._connections
        connections.sweep()
        before = connections.ends()
        quiet = not connections.unread and not connections.doomed
        watched: dict[End, _Watched] = {}
        for found in sockets.accepted(self._ports):
            end = plain(found.host), found.port
            known = self._watched.get(end)
            if known is None or found.received < known.received:
                known = _Watched(self._now())
                quiet = False
            quiet = quiet and found.received - known.received <= QUIET_BYTES
            watched[end] = known
            connections.acked(end, found.acked)
            why = connections.doom_of(end)
            why = why or self._flooding(found.received, connections.seen(end), known)
            if why:
                self._cut(found, why)
            yield
        connections.forget(before - watched.keys())
        self.quiet = quiet and watched.keys() == self._watched.keys()
        self._watched = watched
        self._walked, self._known = self._now(), (connections.opened, connections.seen_by_all())

    def _flooding(self, received: int, seen: int, known: _Watched) -> str:
        now = self._now()
        beside = (received - known.received) - (seen - known.seen)
        leaked = (now - known.at) * self._limits.each_second_bytes
        known.level = max(0.0, known.level + beside - leaked)
        known.at, known.received, known.seen = now, received, seen
        if known.level <= self._limits.at_once_bytes:
            return ""
        return f"{known.level / 2**20:.0f} MiB came that belong to no message"

    def note_cut(self, peer: str, why: str) -> None:
        """The transport has ended a connection by itself. peer: as gRPC names it."""
        host, port = end_of(peer)
        self.cut += 1
        self._log.warning(host, f"connection of {host}:{port} cut: {why}")

    def _cut(self, found: sockets.Accepted, why: str) -> None:
        sockets.end(found)
        self.cut += 1
        self._log.warning(found.host, f"connection of {found.host}:{found.port} cut: {why}")
