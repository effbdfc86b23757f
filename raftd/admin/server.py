"""/livez, /readyz, /metrics and /events over HTTP, on a thread of their own.

The network thread leaves its latest picture in `Vitals`; this thread only reads that. It takes no
lock of the node's, so a node that is stuck can still say so. It asks no name server anything.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from raftd.admin.connection import Answer, Connection, Request, Stream
from raftd.admin.event_stream import EventStreams
from raftd.admin.page.routes import Page, routes_of
from raftd.admin.vitals import Vitals
from raftd.h2.listening import ACCEPTED_AT_ONCE, BACKLOG, bound_at_all
from raftd.names import SHARED, is_literal, numbers_of
from raftd.quiet import QuietLog
from raftd.rpc.plumbing.later import Later, NotLoaded
from raftd.tls.contexts import Tls

if TYPE_CHECKING:
    from raftd.admin.collector import Exposition

LOG = logging.getLogger("raftd.admin")


def _load() -> type[Exposition]:
    from raftd.admin.collector import Exposition

    return Exposition


# Prometheus' package brings a web server and more: a start does not wait for it.
_EXPOSITION = Later("/metrics", _load)

CONNECTIONS_MAX = 64
"""One more, and the oldest that has not even sent its request makes room."""
FOREIGN_NAME = (
    "this port listens on loopback only, and is asked under an address, localhost or the name in "
    "listen_admin: a web page could otherwise read it under a name of its own (DNS rebinding)\n"
)
HANDSHAKE_SECONDS = 2.0
NAME_SECONDS = 5.0
STOP_SECONDS = 2.0


class AdminServer:
    """Start and stop on the main thread."""

    def __init__(
        self,
        host: str,
        port: int,
        vitals: Vitals,
        gauges: Callable[[], Iterable[tuple[str, float]]],
        tls: Tls | None = None,
        page: Page | None = None,
    ) -> None:
        """Binds at once, at all addresses of a name. tls: None: plain HTTP. page: None: there is
        none.

        Raises OSError when an address cannot be had.
        """
        self._tls = tls
        self._vitals = vitals
        self._gauges = gauges
        self._quiet = QuietLog(LOG)
        self._exposition: Exposition | None = None
        """From the first question for /metrics on."""
        self._open: dict[Connection, None] = {}
        self._listeners = _listen(host, port)
        self._names: frozenset[str] | None = None
        """Under which it may be asked; None: under any."""
        if tls is None and all(map(_on_loopback, self._listeners)):
            own = [f"{host}:", page.nodes.get(page.node, "") if page is not None else ""]
            self._names = frozenset(filter(None, map(host_of, own)))
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._trouble)
        self._stopping = asyncio.Event()
        self._routes: dict[str, Callable[[Request], Answer | Stream]] = {
            "/livez": lambda _: _judged(vitals.dead()),
            "/readyz": lambda _: _judged(vitals.unready()),
            "/metrics": lambda _: self._metrics(),
            "/events": EventStreams(vitals, self._loop).answer,
        }
        if page is not None:
            self._routes |= routes_of(page, vitals, self._loop)
        self._thread = threading.Thread(target=self._run, name="raft-admin", daemon=True)

    @property
    def port(self) -> int:
        return int(self._listeners[0].getsockname()[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(STOP_SECONDS)
        elif not self._loop.is_closed():
            self._loop.close()
        for listener in self._listeners:
            listener.close()

    # -- raft-admin ------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        """Until `stop`, which may come before the first turn of the loop."""
        servers = []
        for listener in self._listeners:
            server = await self._loop.create_server(
                self._connection,
                sock=listener,
                backlog=ACCEPTED_AT_ONCE,
                ssl=None if self._tls is None else self._tls.renewing_server,
                ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_SECONDS,
            )
            listener.listen(BACKLOG)  # asyncio has told the kernel what it takes at once
            servers.append(server)
        await self._stopping.wait()
        for server in servers:
            server.close()
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)
        await self._end_tasks()

    async def _end_tasks(self) -> None:
        """Those that gather for a page; each closes its connection when it is cancelled."""
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _connection(self) -> Connection:
        return Connection(self._route, self._admit, self._leave)

    def _admit(self, connection: Connection) -> None:
        self._open[connection] = None
        if len(self._open) > CONNECTIONS_MAX:
            waiting = (one for one in self._open if one.waiting and one is not connection)
            answered = (one for one in self._open if one.stream is None)
            oldest = next(waiting, None) or next(answered)
            self._leave(oldest)
            oldest.abort()

    def _leave(self, connection: Connection) -> None:
        self._open.pop(connection, None)

    def _route(self, request: Request) -> Answer | Stream:
        path = request.path
        LOG.debug("asked for %s", path)
        if not self._may_ask_under(request.host):
            return Answer(403, FOREIGN_NAME)
        found = self._routes.get(path)
        if found is None:
            return Answer(404, f"expected one of {', '.join(self._routes)}\n")
        try:
            return found(request)
        except Exception as error:  # noqa: BLE001 - told with its stack
            self._quiet.error(f"{path} failed", error)
            return Answer(500, "failed: see the log of the node\n")

    def _may_ask_under(self, host: str) -> bool:
        """host: as the request has it; browsers always send one."""
        name = host_of(host)
        if self._names is None or not name or name in self._names:
            return True
        return name == "localhost" or name.endswith(".localhost") or is_literal(f"{name}:0")

    def _metrics(self) -> Answer:
        if self._exposition is None:
            try:
                self._exposition = _EXPOSITION.load()(self._vitals, self._gauges)
            except NotLoaded as error:
                return Answer(503, f"{error}\n")
        return Answer(200, self._exposition.text(), self._exposition.content_type)

    def _trouble(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Out of files, most likely: those who have not asked anything yet give theirs back."""
        message, error = context.get("message"), context.get("exception")
        self._quiet.warning(message, f"admin port: {message}: {error}")
        for connection in [one for one in self._open if one.waiting]:
            connection.abort()


def _judged(reasons: list[str]) -> Answer:
    return Answer(503 if reasons else 200, "\n".join(reasons or ["ok"]) + "\n")


def host_of(address: str) -> str:
    """The host of `host`, `host:port` or `[host]:port`, in small letters, without brackets."""
    text = address.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, colon, port = text.rpartition(":")
    return (host if colon and (not port or port.isdigit()) else text).rstrip(".")


def _listen(host: str, port: int) -> list[socket.socket]:
    """Raises OSError."""
    literal = f"[{host}]" if ":" in host else host or "0.0.0.0"
    try:
        target = SHARED.look_up(f"{literal}:{port}").result(NAME_SECONDS)
    except TimeoutError:
        raise OSError(f"the name was not found within {NAME_SECONDS:g} s") from None
    return bound_at_all(numbers_of(target))


def _on_loopback(listener: socket.socket) -> bool:
    return ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
