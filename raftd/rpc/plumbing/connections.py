"""What each connection has sent us, and what of ours it has not read yet.

gRPC takes any number of answers for a caller that reads none of them, and shows no connection, only
calls. So calls tell here whose they are, and a connection is known by its other end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import unquote

from raftd.rpc.plumbing.turns import Row

End = tuple[str, int]
"""Host, as a plain number where it is one, and port."""


def plain(host: str) -> str:
    """One way to write an address, whoever wrote it."""
    bare = unquote(host).strip("[]").partition("%")[0].lower()
    return bare.removeprefix("::ffff:") if "." in bare else bare


def end_of(peer: str) -> End:
    """Of what gRPC calls ipv4:127.0.0.1:1 or ipv6:%5B::1%5D:1."""
    host, _, port = peer.partition(":")[2].rpartition(":")
    return plain(host), int(port) if port.isdigit() else 0


def is_local(peer: str) -> bool:
    """Does it call from this machine, by a loopback address? peer: as for `end_of`."""
    host = end_of(peer)[0]
    return host == "::1" or host.startswith("127.")


FRAME_BYTES = 256
"""What may come with each message beside its bytes: heads of frames, window updates, acks."""

STALLED_SECONDS = 1.0
"""A connection that read nothing for so long is cut when the node's limit is reached."""

TALKING_MAX = 4
"""Requests on streams of one connection that wait for their turn; the others wait for these."""

EVERY_SECONDS = 0.1
TURN_SECONDS = 0.002
FLOW_BYTES = 4096
"""What must go out between two looks to count as reading."""


@dataclass(frozen=True, slots=True)
class UnreadLimits:
    """Bytes of answers that wait to be read: on one connection, and on all of this node together.

    In memory each is up to three times as much: as a message, as bytes, and in gRPC.
    seconds: a connection that reads nothing for so long although there is something is cut.
    """

    connection_bytes_max: int = 16 << 20
    node_bytes_max: int = 48 << 20
    seconds: float = 10.0


@dataclass(slots=True, eq=False)
class Connection:
    """Network thread only. `seen`: bytes of whole messages, and FRAME_BYTES for each.

    moved: when an answer was last read to its end; flowed: when bytes last went out at all.
    """

    end: End
    all: Connections
    seen: int = 0
    unread: int = 0
    moved: float = 0.0
    flowed: float = 0.0
    acked: int = 0
    closed: bool = False
    cut: str = ""
    row: Row = field(default_factory=Row)
    """Of its calls that have not begun."""
    talking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(TALKING_MAX))
    """Held while a request on a stream waits for its turn."""
    names: list[str] = field(default_factory=list)
    """What gRPC calls it; there is one way to write an end, as far as is known."""
    waiting: set[Callable[[], None]] = field(default_factory=set)
    """Each is called once when something was read."""

    def arrived(self) -> None:
        """The message that was parsed last is this connection's.

        gRPC parses and hands over in one go: nothing else runs in between.
        """
        self.seen += self.all.parsed_bytes + FRAME_BYTES

    @property
    def full(self) -> bool:
        """No call of this connection should be begun now."""
        return self.closed or self.unread >= self.all.limits.connection_bytes_max

    def room(self, size_bytes: int) -> bool:
        """May an answer of this size wait, too? One alone always may, unless the node is full.

        If not, the connection is full until it reads something: no more work is done in vain.
        """
        most = self.all.limits.connection_bytes_max
        if (not self.unread or self.unread + size_bytes <= most) and self.all.room(size_bytes):
            return True
        self.closed = self.unread > 0
        return False

    def hold(self, size_bytes: int) -> None:
        """An answer begins to wait. Too much without `room` is the end of the connection."""
        if not self.unread:
            self.moved = self.flowed = self.all.now()
        self.unread += size_bytes
        self.all.unread += size_bytes
        if self.unread > 2 * self.all.limits.connection_bytes_max:
            self.all.cut(self, f"{self.unread} bytes of answers that it does not read")

    def read(self, size_bytes: int) -> None:
        """An answer has left, or will never: its call is over."""
        self.unread -= size_bytes
        self.all.unread -= size_bytes
        self.moved = self.flowed = self.all.now()
        self.closed = False
        if self.waiting and not self.full:
            waiting, self.waiting = self.waiting, set()
            for again in waiting:
                again()


class Connections:
    """Network thread only. `now`: a monotonic clock."""

    def __init__(self, limits: UnreadLimits, now: Callable[[], float]) -> None:
        self.limits = limits
        self.now = now
        self.unread = 0
        self._turn_began: float | None = None
        self.on_commands: Callable[[], None] = lambda: None
        """Called when a stream of a client has brought commands or queries."""
        self.parsed_bytes = 0
        """Of the last message. Its own size: made anew it would cost as much as to send it."""
        self._evicted = 0.0
        self.opened = 0
        """Connections that have called since the start."""
        self.doomed: set[Connection] = set()
        self._open: dict[End, Connection] = {}
        self._named: dict[str, Connection] = {}
        """The same by the names that gRPC gave them: taking one apart is work, at every call."""

    def tired(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Frames have had their share of this turn of the loop: the others come in the next.

        They are handled as they come from the socket, and some are work for milliseconds: without
        this nothing else would run until the last of a thousand is done.
        """
        if self._turn_began is None:
            self._turn_began = self.now()
            loop.call_soon(self._next_turn)
            return False
        return self.now() - self._turn_began > TURN_SECONDS

    def _next_turn(self) -> None:
        self._turn_began = None

    def of(self, peer: str) -> Connection:
        """peer: as a call's context names it."""
        found = self._named.get(peer)
        if found is None:
            end = end_of(peer)
            found = self._open.get(end)
            if found is None:
                found = self._open[end] = Connection(end, self, moved=self.now())
                self.opened += 1
            self._named[peer] = found
            found.names.append(peer)
        return found

    def seen(self, end: End) -> int:
        found = self._open.get(end)
        return 0 if found is None else found.seen

    def seen_by_all(self) -> int:
        return sum(connection.seen for connection in self._open.values())

    def room(self, size_bytes: int) -> bool:
        if self.unread + size_bytes <= self.limits.node_bytes_max:
            return True
        now = self.now()
        if now - self._evicted >= EVERY_SECONDS:
            self._evicted = now
            for found in self._holding():
                if found.moved <= now - STALLED_SECONDS:
                    self.cut(found, f"{found.unread} bytes that it does not read; no room for more")
        return False

    def _holding(self) -> list[Connection]:
        return [connection for connection in self._open.values() if connection.unread]

    def cut(self, connection: Connection, why: str) -> None:
        if not connection.cut:
            connection.cut = why
            self.doomed.add(connection)

    def doom_of(self, end: End) -> str:
        """Why this one is to be cut by whoever can (`Guard`); said once."""
        found = self._open.get(end)
        if found is None or found not in self.doomed:
            return ""
        self.doomed.discard(found)
        return found.cut

    def acked(self, end: End, acked: int) -> None:
        """So many bytes have arrived at the other end, says the system; -1: it does not say."""
        found = self._open.get(end)
        if found is None:
            return
        if acked < 0 or acked - found.acked >= FLOW_BYTES:
            found.flowed = self.now()
        found.acked = acked

    def sweep(self) -> None:
        """Call it now and then."""
        seconds = self.limits.seconds
        for found in self._holding():
            if found.flowed <= self.now() - seconds:
                self.cut(found, f"{found.unread} bytes of answers, none read for {seconds:g} s")

    def ends(self) -> set[End]:
        return set(self._open)

    def forget(self, ends: Collection[End]) -> None:
        """These connections are over."""
        for end in ends:
            found = self._open.get(end)
            if found is not None and not found.unread:
                self.doomed.discard(self._open.pop(end))
                for name in found.names:
                    del self._named[name]
