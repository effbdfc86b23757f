"""What the HTTP port answers beside its own paths while the page is switched on.

    /            the page; its parts are at /page/NAME
    /film        this node's film from the oldest record that is kept, as JSON lines without an end
    /film/all    the films of all nodes, by this node's clock

Everything is to be read only. The film holds no values; of keys, the beginnings of those that
changed last.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from raftd.admin.connection import Answer, Request, Stream
from raftd.admin.page.gather import Gathering
from raftd.admin.page.stream import LineStream
from raftd.admin.vitals import Vitals
from raftd.node.film_records import VERSION

Route = Callable[[Request], Answer | Stream]

STREAMS_MAX = 16
"""Readers of films at a time. Each may hold 64 KiB that wait for it."""

STATIC = Path(__file__).parent / "static"
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


@dataclass(frozen=True, slots=True)
class Page:
    """node: this one's id. nodes: where the HTTP port of each node is, `host:port`."""

    node: str
    nodes: Mapping[str, str]

    def serves(self, origin: str) -> bool:
        """Is it the page of one of the nodes? It goes on with another node when its own dies."""
        where = origin.removeprefix("http://").replace("localhost:", "127.0.0.1:")
        return where in self.nodes.values()


def routes_of(
    page: Page, vitals: Vitals, loop: asyncio.AbstractEventLoop
) -> dict[str, Callable[[Request], Answer | Stream]]:
    """To be called on the admin thread's loop only."""
    films = _Films(page, vitals, loop)
    routes: dict[str, Route] = {"/film": films.own, "/film/all": films.all}
    for path in sorted(STATIC.iterdir()):
        if path.suffix in _KINDS:
            answer = _file(path)
            where = "/" if path.name == "index.html" else f"/page/{path.name}"
            routes[where] = lambda _, answer=answer: answer  # type: ignore[misc]
    return routes


def _file(path: Path) -> Answer:
    return Answer(200, path.read_text("utf-8"), f"{_KINDS[path.suffix]}; charset=utf-8")


class _Films:
    """The admin thread's loop only."""

    def __init__(self, page: Page, vitals: Vitals, loop: asyncio.AbstractEventLoop) -> None:
        self._page = page
        self._vitals = vitals
        self._loop = loop
        self._open = 0
        self._gathering = Gathering(page.node, page.nodes, vitals, loop)

    def own(self, _: Request) -> Answer | Stream:
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        assert self._vitals.read_film is not None
        self._open += 1
        read = self._vitals.read_film
        return LineStream(
            self._loop,
            self._head(),
            lambda wake: read(0, wake),
            self._gathering.own,
            self._ended,
        )

    def all(self, request: Request) -> Answer | Stream:
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        self._open += 1
        self._gathering.join()

        def ended() -> None:
            self._gathering.leave()
            self._ended()

        return LineStream(
            self._loop,
            self._head(),
            lambda wake: self._gathering.ring.read(0, wake),
            lambda _, at, record: {"t": round(at, 4), **record},
            ended,
            request.origin if self._page.serves(request.origin) else "",
        )

    def _head(self) -> bytes:
        head = {
            "kind": "film",
            "version": VERSION,
            "source": "live",
            "node": self._page.node,
            "now": round(self._vitals.now(), 4),
            "nodes": dict(self._page.nodes),
        }
        return json.dumps(head).encode() + b"\n"

    def _refusal(self) -> Answer | None:
        if self._vitals.read_film is None:
            return Answer(503, "starting: there is no film yet\n")
        if self._open >= STREAMS_MAX:
            return Answer(503, f"{STREAMS_MAX} readers of films are here: try again later\n")
        return None

    def _ended(self) -> None:
        self._open -= 1
