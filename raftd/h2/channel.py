"""A channel: one connection to a server, made when needed and made again when it is lost.

Generated stubs take it in place of a `grpc.aio.Channel`. Calls wait while a connection is being
made, and fail at once while the last attempt has failed, unless they say `wait_for_ready`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable
from typing import Any

import grpc

from raftd.h2.budget import Budget
from raftd.h2.calls import Method
from raftd.h2.client_call import ClientCall
from raftd.h2.client_connection import ClientConnection
from raftd.h2.dialing import Security, addresses_of, authority_of, connect
from raftd.h2.engine import Header, NoNewStreams
from raftd.h2.headers import CONTENT_TYPE, MetadataLike, timeout_header, to_headers
from raftd.h2.messages import ACCEPTED
from raftd.h2.settings import ChannelSettings
from raftd.h2.vigil import pause_before_look
from raftd.names import NOWHERE, SHARED, Names, is_literal

State = grpc.ChannelConnectivity

USER_AGENT = (b"user-agent", b"raftd-h2")


class Channel:
    """Its loop's thread only, and made there (inside the running loop)."""

    def __init__(
        self,
        target: str,
        settings: ChannelSettings,
        *,
        authority: str = "",
        server_name: str = "",
        context: ssl.SSLContext | None = None,
        tls_optional: bool = False,
        names: Names = SHARED,
        random_numbers: random.Random | None = None,
    ) -> None:
        """target: host:port, unix:path, or numbers as raftd/names.py writes them.

        authority: what the server is asked for. server_name: what its certificate must be for, if
        that is another name than the authority's host.
        context: for TLS; that HTTP/2 is spoken is added here. tls_optional: see `Security`.
        """
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.budget = Budget(settings.held_bytes_max)
        self.state = State.IDLE
        self.why = ""
        """Why the last attempt failed."""
        self._target = target
        authority = authority or authority_of(target)
        self._authority = authority.encode()
        name = server_name or authority.rpartition(":")[0].strip("[]")
        self._security = Security(context, name, tls_optional)
        self._names = names
        self._random = random_numbers or random.Random()
        if context is not None:
            context.set_alpn_protocols(["h2"])
        scheme = b"https" if context is not None else b"http"
        self._scheme = (b":scheme", scheme)
        self._connection: ClientConnection | None = None
        self._old: set[ClientConnection] = set()
        self._waiting: dict[ClientCall, None] = {}
        self._watchers: list[asyncio.Future[None]] = []
        self._dialing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- calls ------------------------------------------------------------------------------

    def call(
        self,
        path: bytes,
        *,
        timeout: float | None = None,
        metadata: MetadataLike = None,
        wait_for_ready: bool = False,
    ) -> ClientCall:
        """Begin a call as bytes. timeout: seconds. Raises ValueError for unusable metadata."""
        headers: list[Header] = [
            (b":method", b"POST"),
            self._scheme,
            (b":path", path),
            (b":authority", self._authority),
            (b"te", b"trailers"),
            CONTENT_TYPE,
            USER_AGENT,
            (b"grpc-accept-encoding", ACCEPTED),
        ]
        if timeout is not None:
            headers.append(timeout_header(timeout))
        if metadata:
            headers.extend(to_headers(metadata))
        call = ClientCall(self.loop, headers, wait_for_ready)
        if timeout is not None:
            call.limit(timeout)
        self._begin(call)
        return call

    def _begin(self, call: ClientCall) -> None:
        if self.state is State.SHUTDOWN:
            self.loop.call_soon(call.end, grpc.StatusCode.CANCELLED, "the channel is closed")
            return
        connection = self._connection
        if connection is not None:
            try:
                call.start(connection)
                return
            except NoNewStreams:
                self.leave(connection)
        if self.state is State.TRANSIENT_FAILURE and not call.wait_for_ready:
            self.loop.call_soon(call.end, grpc.StatusCode.UNAVAILABLE, self.why)
            return
        self._waiting[call] = None
        call.on_leave = lambda: self._waiting.pop(call, None)
        self._dial()

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Method:
        return Method(self, method, request_serializer, response_deserializer, False)

    unary_stream = unary_unary

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Method:
        return Method(self, method, request_serializer, response_deserializer, True)

    stream_stream = stream_unary

    # --- state ------------------------------------------------------------------------------

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        if try_to_connect and self.state is State.IDLE:
            self._dial()
        return self.state

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        while self.state is last_observed_state:
            watcher: asyncio.Future[None] = self.loop.create_future()
            self._watchers.append(watcher)
            try:
                await watcher
            finally:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)

    async def channel_ready(self) -> None:
        while (state := self.get_state(try_to_connect=True)) is not State.READY:
            if state is State.SHUTDOWN:
                raise asyncio.InvalidStateError("the channel is closed")
            await self.wait_for_state_change(state)

    def _set(self, state: grpc.ChannelConnectivity) -> None:
        if state is self.state or self.state is State.SHUTDOWN:
            return
        self.state = state
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    # --- connecting -------------------------------------------------------------------------

    def _dial(self) -> None:
        if self._dialing is None and self.state is not State.SHUTDOWN:
            self._set(State.CONNECTING)
            self._dialing = self.loop.create_task(self._connect())

    async def _connect(self) -> None:
        """Attempts, until one succeeds or the channel is closed."""
        backoff = self.settings.backoff_min
        connection: ClientConnection | None = None
        try:
            while connection is None:
                try:
                    async with asyncio.timeout(self.settings.connect_timeout):
                        connection = await self._attempt()
                except (OSError, TimeoutError, ValueError) as error:  # a port may be no number
                    limit = f"no connection within {self.settings.connect_timeout:g} s"
                    self._failed(str(error) or limit)
                    await asyncio.sleep(backoff * self._random.uniform(0.8, 1.2))
                    backoff = min(1.5 * backoff, self.settings.backoff_max)
                    self._set(State.CONNECTING)
        finally:
            self._dialing = None
        self._connected(connection)

    async def _attempt(self) -> ClientConnection:
        target = self._target
        if target == NOWHERE:
            raise OSError("the name's address is not known")
        if not target.startswith(("ipv4:", "ipv6:", "unix:")) and not is_literal(target):
            target = await asyncio.wrap_future(self._names.look_up(target))
        addresses = addresses_of(target)
        connection = await connect(addresses, lambda: ClientConnection(self), self._security)
        try:
            await connection.ready
        except asyncio.CancelledError:
            connection.abort("no word of HTTP/2 in time")
            raise
        return connection

    def _failed(self, why: str) -> None:
        self.why = f"cannot connect to {self._authority.decode()}: {why}"
        self._set(State.TRANSIENT_FAILURE)
        for call in list(self._waiting):
            if not call.wait_for_ready:
                call.end(grpc.StatusCode.UNAVAILABLE, self.why)

    def _connected(self, connection: ClientConnection) -> None:
        if connection.closed or connection.draining:
            connection.abort("the server takes no calls")
            self._set(State.IDLE)
            if self._waiting:
                self._dial()
            return
        self._connection = connection
        self._set(State.READY)
        if self._timer is None:
            self._check()
        waiting, self._waiting = list(self._waiting), {}
        for call in waiting:
            call.on_leave = None
            self._begin(call)

    def leave(self, connection: ClientConnection) -> None:
        """No new calls on this connection; those on it go on."""
        if connection is self._connection:
            self._connection = None
            self._set(State.IDLE)
            if not connection.closed:
                self._old.add(connection)
                connection.draining = True
                if not connection.streams:
                    connection.drained()

    def forget(self, connection: ClientConnection) -> None:
        """The connection is over."""
        self._old.discard(connection)
        if connection is self._connection:
            self._connection = None
            self.why = f"the connection to {self._authority.decode()} was lost: {connection.why}"
            self._set(State.IDLE)

    def _check(self) -> None:
        """Pings, while there is a connection."""
        self._timer = None
        connections = [*self._old, *([self._connection] if self._connection else ())]
        now = self.loop.time()
        for connection in connections:
            if connection.streams or self.settings.keepalive_idle:
                connection.check(now)
            else:
                connection.vigil.rest(now)
        if connections:
            vigils = [one.vigil for one in connections] if self.settings.keepalive_idle else []
            pause = pause_before_look(vigils, self.settings.connection, now)
            self._timer = self.loop.call_later(pause, self._check)

    # --- the end ----------------------------------------------------------------------------

    async def close(self, grace: float | None = None) -> None:
        """Calls under way have `grace` seconds, then they are cancelled."""
        connection = self._connection
        if grace and connection is not None and connection.streams:
            self.leave(connection)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await connection.over.wait()
        self._set(State.SHUTDOWN)
        dialing = self._dialing
        if dialing is not None:
            dialing.cancel()
            await asyncio.gather(dialing, return_exceptions=True)
            await asyncio.sleep(0)  # its socket closes
        if self._timer is not None:
            self._timer.cancel()
        for call in list(self._waiting):
            call.cancel()
        for one in [*self._old, *([connection] if connection else ())]:
            await self._end(one)

    async def _end(self, connection: ClientConnection) -> None:
        for stream in list(connection.streams.values()):
            if isinstance(stream, ClientCall):
                stream.cancel()
        connection.drained()
        try:
            async with asyncio.timeout(1.0):
                await connection.over.wait()
        except TimeoutError:
            connection.abort("the channel is closed")
            await connection.over.wait()
