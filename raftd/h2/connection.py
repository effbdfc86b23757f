"""An engine on an asyncio transport.

What is to be sent leaves in one write at the end of the loop's turn, or at once by `flush`. While
the transport has enough waiting (`pause_writing`) nothing more is taken from the engine, so what
waits stays where it is counted. Every connection is looked at now and then by its owner (`check`):
pings, and whoever does not read.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from raftd.h2.budget import Beside, Bucket, Budget
from raftd.h2.engine import NO_ERROR, Engine, EngineError, Headers, OnConnection
from raftd.h2.ngh2_engine import Ngh2Engine
from raftd.h2.settings import ConnectionSettings
from raftd.h2.vigil import Vigil, peer_name

WRITE_BYTES = 256 << 10
"""One write takes at most so much from the engine."""

BUFFER_BYTES = 512 << 10
"""What may wait in the transport before nothing more is taken from the engine."""

STREAM_LOW_BYTES = 32 << 10
"""Who waits to send goes on when so little of his waits."""

CONTROL_PRICE_BYTES = 16 << 10
"""A call may bring so much beside the bytes of its messages: header fields, updates of windows."""

DATA_PRICE_BYTES = 256


class Connection(asyncio.Protocol):
    """Its loop's thread only. Subclasses know which side they are (`accept`)."""

    client = False

    def __init__(
        self, settings: ConnectionSettings, budget: Budget, loop: asyncio.AbstractEventLoop
    ) -> None:
        """budget: of bytes that arrived and wait, shared by connections of one owner."""
        self.settings = settings
        self.loop = loop
        self.budget = budget
        self.engine: Engine = Ngh2Engine(self, settings.engine, client=self.client)
        self.streams: dict[int, OnConnection] = {}
        self.why = ""
        """Why this side ended the connection."""
        self.peer = ""
        self.closed = False
        self.settled = False
        """The other side has said its first words."""
        self.draining = self._scheduled = self._paused = False
        self._transport: Any = None
        self._fd = -1
        self._early: list[bytes] = []
        self._writers: set[OnConnection] = set()
        self._ended: set[OnConnection] = set()
        now = loop.time()
        self._frames = Bucket(settings.frames_at_once, settings.frames_each_second, at=now)
        self._beside = Beside(settings.beside_at_once, settings.beside_each_second, at=now)
        self._control = self._body = 0
        self.vigil = Vigil(self, now)

    # --- asyncio's side ---------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=BUFFER_BYTES, low=BUFFER_BYTES // 4)
        self.peer = peer_name(transport)
        plain = transport.get_extra_info("socket") if self.tls is None else None
        self._fd = plain.fileno() if plain is not None else -1
        self.flush()
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)  # with the end of a TLS handshake
            return
        self.vigil.heard = self.loop.time()
        self._control, self._body = 0, -len(data)
        if self._receive(data):
            self._end_chunk()

    def _receive(self, data: bytes) -> bool:
        """False: the connection has come to its end by it."""
        try:
            self.engine.receive(data)
        except EngineError as error:
            self.end(str(error))
            return False
        return True

    def _end_chunk(self) -> None:
        """How much of it belonged to no message?"""
        now = self.loop.time()
        if self._control and not self._frames.add(self._control, now):
            self.end("a flood of frames that belong to no message")
        elif not self._beside.add(-self._body, now):
            self.end("a flood of bytes that belong to no message")
        else:
            self.flush()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._transport, self._fd = None, -1
        text = self.why or (str(error) if error else "the connection was closed")
        streams, self.streams = list(self.streams.values()), {}
        for stream in streams:
            stream.lost(text)
        self._writers.clear()
        self._ended.clear()
        self.on_lost(text)
        self.engine.leave()
        self.vigil.leave()

    # --- sending ----------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send what the engine has, at the end of this turn of the loop."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._flush_if_due)

    def _flush_if_due(self) -> None:
        if self._scheduled:  # else it was done meanwhile: with each answer to what just arrived
            self.flush()

    def flush(self) -> None:
        self._scheduled = False
        transport, engine = self._transport, self.engine
        if transport is None:
            return
        while not self._paused:
            data = engine.to_send(WRITE_BYTES)
            if data:
                self._write(data)
            if len(data) < WRITE_BYTES // 2:  # it has no more
                if self._ended and self._end_streams():
                    continue
                break
            if transport.get_write_buffer_size() > BUFFER_BYTES and not self._paused:
                self.flush_soon()  # the system has not been asked yet
                break
        if self._writers:
            self._wake_writers()
        if engine.over and not self.closed:
            if not self.draining:
                self.why = self.why or "it broke HTTP/2, or passed one of its limits"
            transport.close()

    def _write(self, data: bytes) -> None:
        """Straight to the system where nothing waits before it: uvloop itself writes at the end of
        the turn, and what this node sends to its peers has to leave before it waits for its disk.
        """
        transport = self._transport
        if self._fd >= 0 and not transport.is_closing() and not transport.get_write_buffer_size():
            try:
                sent = os.write(self._fd, data)
            except OSError:
                sent = 0  # full, or broken: the transport finds out
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def _wake_writers(self) -> None:
        for stream in list(self._writers):
            if self.engine.queued(stream.id) <= STREAM_LOW_BYTES:
                self._writers.discard(stream)
                stream.writable()

    def _end_streams(self) -> bool:
        """This side has answered to the end, the other one goes on sending: it may stop."""
        done = [stream for stream in self._ended if not self.engine.queued(stream.id)]
        for stream in done:
            self._ended.discard(stream)
            self.engine.reset(stream.id, NO_ERROR)
        return bool(done)

    def end_when_sent(self, stream: OnConnection) -> None:
        self._ended.add(stream)
        self.flush_soon()

    def wait_to_send(self, stream: OnConnection) -> None:
        """`stream.writable` is called when little of it waits; soon, if that is so already."""
        self._writers.add(stream)
        self.flush_soon()

    @property
    def unsent(self) -> int:
        """Bytes that the other side has not read, as far as this process can see."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self.engine.queued_all() + int(waiting)

    @property
    def tls(self) -> Any:
        """The transport's ssl_object; None without TLS."""
        return None if self._transport is None else self._transport.get_extra_info("ssl_object")

    # --- ending -----------------------------------------------------------------------------

    def end(self, why: str) -> None:
        """Break the connection off now. Harmless if it is closed."""
        if self.closed or self._transport is None:
            self.closed = True
            return
        self.why = self.why or why
        if not self._paused:
            self._transport.write(self.engine.to_send(WRITE_BYTES))  # a GOAWAY that says why
        self._transport.close()
        self.loop.call_later(0.1, self._abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def abort(self, why: str) -> None:
        """As `end`, and nothing is said: whoever does not read would not hear it."""
        self.why = self.why or why
        self.closed = True
        self._abort()

    def check(self, now: float) -> None:
        """Called by the owner several times within the shortest of the times in the settings."""
        if not self.closed and self._transport is not None:
            why = self.vigil.look(now)
            if why:
                self.abort(why)

    # --- the engine's side (engine.Sink) ----------------------------------------------------

    def on_headers(self, stream_id: int, headers: Headers, end: bool) -> None:
        self._body += CONTROL_PRICE_BYTES
        self._control -= 2
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.headers(headers, end)
        else:
            self.accept(stream_id, headers, end)

    def on_trailers(self, stream_id: int, headers: Headers) -> None:
        self._body += CONTROL_PRICE_BYTES
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.trailers(headers)

    def on_data(self, stream_id: int, data: bytes, end: bool) -> None:
        size = len(data)
        self._body += size + DATA_PRICE_BYTES
        self._control += -2 if size else 1
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.received(data, end)
        else:
            self.engine.taken(size, stream_id)

    def on_reset(self, stream_id: int, code: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.reset_by_peer(code)

    def on_closed(self, stream_id: int, code: int) -> None:
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self._writers.discard(stream)
            self._ended.discard(stream)
            stream.closed(code)
            if self.draining and not self.streams:
                self.drained()

    def on_control(self, cost: int) -> None:
        self._control += cost

    def on_settings(self) -> None:
        if not self.settled:
            self.settled = True
            self.on_ready()

    def on_ping_answered(self) -> None:
        self.vigil.pinged = 0.0

    def on_goaway(self, last_stream_id: int, code: int, text: bytes) -> None:
        self.draining = True
        said = f"GOAWAY {code} {text[:100].decode('utf-8', 'replace')}".strip()
        for stream in [s for s in self.streams.values() if s.id > last_stream_id]:
            stream.refused(said)
        if not self.streams:
            self.loop.call_soon(self.drained)

    # --- for the two sides ------------------------------------------------------------------

    def accept(self, stream_id: int, headers: Headers, end: bool) -> None:
        """Header fields of a stream that is not known."""

    def on_ready(self) -> None:
        """The other side has said its first words."""

    def on_lost(self, why: str) -> None:
        """The connection is over; all its streams were told."""

    def drained(self) -> None:
        """No call is left on a connection that takes no new ones."""
        if not self.closed and self._transport is not None:
            self.flush()
            if self._transport is not None:
                self._transport.close()
