"""One film of all nodes: this node asks the others' HTTP ports while somebody looks.

So a browser needs one port only, and a container publishes one. A node that cannot be reached, or
that says nothing for a while, is recorded as gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
from collections.abc import Callable, Mapping

from raftd.admin.vitals import Vitals
from raftd.node.film import FilmReader
from raftd.node.film_records import Record
from raftd.node.ring import Ring

RECORDS_MAX = 32_768
LINE_BYTES_MAX = 256 << 10
CONNECT_SECONDS = 1.0
SILENT_SECONDS = 1.5
"""A node looks at itself ten times a second."""
AGAIN_SECONDS = 0.5
SETTLE_SECONDS = 0.3
"""A few looks of a node at itself: one of them has come quickly."""


class Gathering:
    """The admin thread's loop only."""

    def __init__(
        self,
        node: str,
        nodes: Mapping[str, str],
        vitals: Vitals,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.ring: Ring[Record] = Ring(RECORDS_MAX)
        self._node = node
        self._others = {name: at for name, at in nodes.items() if name != node}
        self._vitals = vitals
        self._loop = loop
        self._watchers = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._own: FilmReader | None = None
        self._life = secrets.token_hex(4)
        self._missing: set[str] = set()
        self._seen: dict[str, tuple[str, int]] = {}

    def join(self) -> None:
        """Somebody looks: gather, if nobody has looked before."""
        self._watchers += 1
        if self._watchers > 1:
            return
        assert self._vitals.read_film is not None
        self._own = self._vitals.read_film(0, self._wake)
        self._take_own()
        self._tasks = [
            self._loop.create_task(self._follow(name, address))
            for name, address in self._others.items()
        ]

    def leave(self) -> None:
        """One looks no more; without anybody the others are left alone."""
        self._watchers -= 1
        if self._watchers:
            return
        for task in self._tasks:
            task.cancel()
        if self._own is not None:
            self._own.close()

    def _wake(self) -> None:
        """The node's network thread."""
        with contextlib.suppress(RuntimeError):  # this port has closed
            self._loop.call_soon_threadsafe(self._take_own)

    def _take_own(self) -> None:
        while self._own is not None and (found := self._own.take()) is not None:
            line = self.own(*found)
            self._keep(line.pop("t"), line)

    def own(self, number: int, at: float, record: Record) -> Record:
        """A record of this node as others read it: node, life and number name it for good."""
        return {"t": round(at, 4), "node": self._node, "life": self._life, "n": number, **record}

    def _keep(self, at: float, record: Record) -> None:
        """Whoever is read again tells its last minute again: what is known is left out."""
        life, number = self._seen.get(record["node"], ("", 0))
        if record["life"] != life or record["n"] > number:
            self._seen[record["node"]] = record["life"], record["n"]
            self.ring.put(at, record)

    async def _follow(self, node: str, address: str) -> None:
        """One of the others, for as long as somebody looks."""
        while True:
            why = "it cannot be reached"
            with contextlib.suppress(OSError, TimeoutError):
                try:
                    why = await self._read(node, address)
                except ValueError:  # another program's answer, or that of another raftd
                    why = "what it tells is no film"
            self._gone(node, why)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self, node: str, address: str) -> str:
        """Returns why the film ended."""
        host, _, port = address.rpartition(":")
        opening = asyncio.open_connection(host.strip("[]"), int(port), limit=LINE_BYTES_MAX)
        reader, writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
        try:
            writer.write(f"GET /film HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            status = (await asyncio.wait_for(reader.readline(), SILENT_SECONDS)).split()
            if status[1:2] != [b"200"]:
                return "it has no page switched on, or is starting"
            while (await asyncio.wait_for(reader.readline(), SILENT_SECONDS)).strip():
                pass
            return await self._lines(node, reader)
        finally:
            writer.transport.abort()

    async def _lines(self, node: str, reader: asyncio.StreamReader) -> str:
        """Take its records, moved to this node's clock."""
        head = await asyncio.wait_for(reader.readline(), SILENT_SECONDS)
        moved = _Moved(_told(head, "now")[0], self._vitals.now(), self._keep)
        silent = False
        while True:
            try:
                line = await asyncio.wait_for(reader.readline(), moved.wait_seconds)
            except TimeoutError:
                if moved.held:
                    moved.release()
                    continue
                if not silent:
                    self._gone(node, "it says nothing")
                silent = True
                continue
            if not line:
                moved.release()
                return "its connection has ended"
            silent = False
            self._missing.discard(node)
            at, record = _told(line, "t")
            if not (isinstance(record.get("life"), str) and isinstance(record.get("n"), int)):
                raise ValueError("a record without life and number")
            moved.take(at, self._vitals.now(), {**record, "node": node})

    def _gone(self, node: str, why: str) -> None:
        if node not in self._missing:
            self._missing.add(node)
            self.ring.put(self._vitals.now(), {"node": node, "kind": "gone", "why": why})


def _told(line: bytes, time: str) -> tuple[float, Record]:
    """What a line tells, and the time that it has by this name. Raises ValueError, and no other
    error: whoever answers there may be any program, and is asked again.
    """
    try:
        told = json.loads(line)
        at = float(told.pop(time))
    except (TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"no line of a film: {error}") from None
    if not (isinstance(told, dict) and math.isfinite(at)):
        raise ValueError("no line of a film")
    return at, told


class _Moved:
    """Another node's records, moved to this node's clock.

    How far that clock is ahead is known from the record that came quickest. The head and the
    history behind it may have been long on their way, as on a busy machine: so the first records
    are held until the node's present has been heard for SETTLE_SECONDS.
    """

    def __init__(self, now: float, here: float, keep: Callable[[float, Record], None]) -> None:
        """now: of the head, by the other node's clock. here: when the head was read, by ours."""
        self.held: list[tuple[float, Record]] = []
        self._ahead = now - here
        self._now = now
        self._settled = here + SETTLE_SECONDS
        self._keep = keep
        self._is_settled = False

    @property
    def wait_seconds(self) -> float:
        return SETTLE_SECONDS if self.held else SILENT_SECONDS

    def take(self, at: float, here: float, record: Record) -> None:
        # The head may have been long on its way: nothing is told before it happened.
        self._ahead = max(self._ahead, at - here)
        self.held.append((at, record))
        is_present = at >= self._now and here >= self._settled
        if self._is_settled or is_present or len(self.held) >= RECORDS_MAX:
            self.release()

    def release(self) -> None:
        """Hand over the records that were held; from now on each at once."""
        self._is_settled = True
        held, self.held = self.held, []
        for at, record in held:
            self._keep(at - self._ahead, record)
