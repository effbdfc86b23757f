"""HTTP requests as calls of the etcd services. Network thread only."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from raftd.quiet import QuietLog
from raftd.rpc.clients.gate import UNREAD
from raftd.rpc.etcd.calls import Caller, Hangup, Method
from raftd.rpc.etcd.faults import Code, Fault, fault
from raftd.rpc.etcd.gateway import reply
from raftd.rpc.etcd.gateway.held import Held
from raftd.rpc.etcd.gateway.http import (
    CallerGone,
    HttpReply,
    HttpRequest,
    Send,
    StreamFailed,
    Turn,
)
from raftd.rpc.etcd.gateway.routes import routes
from raftd.rpc.etcd.maintenance import VERSION
from raftd.rpc.plumbing.later import Later, NotLoaded
from raftd.rpc.plumbing.turns import TooMany

if TYPE_CHECKING:
    from raftd.rpc.etcd.gateway.of_process import OfProcess

_QUIET = QuietLog(logging.getLogger(__name__))
PLAIN = "text/plain; charset=utf-8"
FROM_A_PAGE = (
    "etcdserver: a web page may call nothing here (the request has the header Origin, as browsers"
    " send it): let a server ask, without it"
)
"""Any page that a person has open could write to a node on that person's machine: as text, a body
needs nobody's leave. By a name that points elsewhere now it could read the answers, too.
"""
CHUNK_BYTES = 8 << 10
"""So much of an answer is made in one turn: as JSON it takes some 2 ms."""
ANSWER_SECONDS = 30.0
ANSWER_BYTES_PER_SECOND = 64 << 10
"""Who reads a large answer more slowly, those seconds aside, does not get all of it."""


def _load() -> OfProcess:
    from raftd.rpc.etcd.gateway.of_process import OfProcess

    return OfProcess()


# Prometheus' package brings a web server and more, and hardly anybody asks here.
_OF_PROCESS = Later("/metrics of the gateway", _load)


class Gateway:
    def __init__(self, methods: Iterable[Method], healthy: Callable[[], str], held: Held) -> None:
        """healthy: empty, or why this member should not be asked."""
        self._routes = routes(methods)
        self._held = held
        self._large = asyncio.Lock()
        """Of whoever reads a body with many parts."""
        self._healthy = healthy
        self._pages = {
            "/version": self._version,
            "/health": self._health,
            "/metrics": self._metrics,
        }

    async def handle(self, request: HttpRequest) -> HttpReply:
        page = self._pages.get(request.path)
        if page is not None:
            return await page() if request.method == "GET" else _not_allowed()
        method = self._routes.get(request.path)
        if method is None:
            return HttpReply(404, b"Not Found\n", PLAIN)
        if request.method != "POST":
            return _not_allowed()
        if "origin" in request.headers:
            return _refused(Fault(Code.PERMISSION_DENIED, FROM_A_PAGE))
        token = request.headers.get("authorization", "")
        caller = Caller({"authorization": token}, True, request.peer)
        try:
            messages = await self._read(method, request)
            if method.unary is not None:
                message = messages[0] if messages else method.request()
                answer = await method.unary(message, caller)
                return self._answered(answer, request)
            request.kept.close()  # a stream lasts, and takes its requests out of the body
            return self._stream(method, messages, caller, request.turn)
        except Fault as error:
            return _refused(error)
        except Exception as error:  # noqa: BLE001  whoever asked is told
            return _refused(_undeclared(method, error))

    def _answered(self, answer: Any, request: HttpRequest) -> HttpReply:
        """A large one leaves as it is made: no caller makes the others wait, or keeps all of it."""
        size = answer.ByteSize()
        if size <= CHUNK_BYTES:
            return HttpReply(200, b"".join(reply.pieces_of(answer)))
        if not self._held.room(size):
            raise Fault(Code.RESOURCE_EXHAUSTED, UNREAD)
        request.kept.enter_context(self._held.kept(size))

        async def stream(send: Send) -> None:
            try:
                async with asyncio.timeout(ANSWER_SECONDS + size / ANSWER_BYTES_PER_SECOND):
                    await _send_all(reply.pieces_of(answer), send, request.turn)
            except (Fault, TimeoutError):
                raise CallerGone from None

        return HttpReply(200, stream=stream)

    async def _read(self, method: Method, request: HttpRequest) -> deque[Any]:
        """What the body holds. Of large ones one a turn of the loop. Raises Fault."""
        if reply.parts_of(request.body) <= reply.PARTS_SMALL:
            await _begin(request.turn)
            return deque(reply.parse_all(method.request, request.body))
        async with self._large:
            await asyncio.sleep(0)  # in a turn of its own: those that came with it wait
            await _begin(request.turn)
            return deque(reply.parse_all(method.request, request.body))

    def _stream(
        self, method: Method, requests: deque[Any], caller: Caller, turn: Turn
    ) -> HttpReply:
        """A stream's requests are all in the body; its answers come one a line."""
        handle = method.streaming
        assert handle is not None

        async def stream(send: Send) -> None:
            talk = _Talk(caller, requests, send, turn, method.path.endswith("Watch"))
            try:
                await handle(talk)
            except Hangup:
                return
            except Fault as error:
                raise _failed(error) from None
            except CallerGone:
                raise
            except Exception as error:  # noqa: BLE001  as above
                raise _failed(_undeclared(method, error)) from None

        return HttpReply(200, stream=stream)

    async def _version(self) -> HttpReply:
        cluster = VERSION.rpartition(".")[0] + ".0"
        body = f'{{"etcdserver":"{VERSION}","etcdcluster":"{cluster}"}}'
        return HttpReply(200, body.encode())

    async def _metrics(self) -> HttpReply:
        """Of the process alone, as `etcdctl check datascale` asks; the node's are elsewhere."""
        told = b"# this process; the node's metrics are at the port of listen_admin\n"
        try:
            of_process = await _OF_PROCESS.get()
        except NotLoaded as error:
            return HttpReply(503, f"{error}\n".encode(), PLAIN)
        return HttpReply(200, told + of_process.text(), of_process.content_type)

    async def _health(self) -> HttpReply:
        why = self._healthy()
        if not why:
            return HttpReply(200, b'{"health":"true"}', PLAIN)
        return HttpReply(503, reply.health_of(why), PLAIN)


class _Talk:
    """One stream over HTTP: a watch goes on after its requests, anything else ends with them."""

    def __init__(
        self, caller: Caller, requests: deque[Any], send: Send, turn: Turn, lasts: bool
    ) -> None:
        self.caller = caller
        self._requests = requests
        self._send = send
        self._turn = turn
        self._lasts = lasts

    async def receive(self) -> Any:
        request = self._requests.popleft() if self._requests else None
        if request is None and self._lasts:
            await asyncio.get_running_loop().create_future()  # until the stream ends
        return request

    async def send(self, answer: Any) -> None:
        await _send_all(reply.result_of(answer), self._send, self._turn)


async def _send_all(pieces: Iterator[bytes], send: Send, turn: Turn) -> None:
    """Some in each turn."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= CHUNK_BYTES:
            await send(bytes(chunk))
            chunk.clear()
            await _begin(turn)
    if chunk:
        await send(bytes(chunk))


async def _begin(turn: Turn) -> None:
    """Raises Fault."""
    try:
        await turn()
    except TooMany:
        raise fault("too_many_requests") from None


def _refused(error: Fault) -> HttpReply:
    return HttpReply(reply.STATUS[error.code], reply.error_of(error))


def _failed(error: Fault) -> StreamFailed:
    return StreamFailed(reply.STATUS[error.code], reply.stream_error_of(error))


def _undeclared(method: Method, error: Exception) -> Fault:
    """As at the gRPC port: a bug in one method ends that call. What nobody caught would end the
    process.
    """
    _QUIET.error(f"{method.path}: the method raised an error that it does not declare", error)
    return Fault(Code.UNKNOWN, f"Unexpected {type(error).__name__}: {error}")


def _not_allowed() -> HttpReply:
    return HttpReply(405, b"Method Not Allowed\n", PLAIN)
