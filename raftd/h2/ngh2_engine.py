"""The engine on libnghttp2, by the package ngh2.

It keeps HTTP/2's state machines, HPACK and the limits against floods of SETTINGS, CONTINUATION and
resets; flow control is ours: a window opens when the application has taken something.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

from raftd.h2.authority import Names
from raftd.h2.engine import (
    EngineError,
    EngineLimits,
    Headers,
    NoNewStreams,
    Sink,
    StreamGone,
)

RESET_COST = 4
"""A stream that is opened and given up costs more than a ping."""

DEFAULT_WINDOW_BYTES = 65_535
FIELDS_MAX = 256
PING = b"raftd\0\0\0"


@cache
def available() -> bool:
    """Whether the package can be loaded; it has no wheel for every system."""
    try:
        importlib.import_module("ngh2")
    except ImportError:
        return False
    return True


class Ngh2Engine:
    """See engine.Engine. The thread of its connection only."""

    def __init__(self, sink: Sink, limits: EngineLimits, *, client: bool) -> None:
        import ngh2  # here: whoever runs on grpcio may not have it

        self._http2 = ngh2
        config = ngh2.Configuration(
            auto_window_update=False,
            max_inbound_header_list_size=16 * limits.header_bytes_max,
            max_inbound_header_count=FIELDS_MAX,
            stream_reset_rate_limit=(limits.resets_at_once, limits.resets_each_second),
        )
        role = ngh2.Role.CLIENT if client else ngh2.Role.SERVER
        self._engine = ngh2.Connection(role, config)
        settings = {
            ngh2.Setting.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
            ngh2.Setting.MAX_HEADER_LIST_SIZE: limits.header_bytes_max,
        }
        if client:
            settings[ngh2.Setting.ENABLE_PUSH] = 0
        else:
            settings[ngh2.Setting.MAX_CONCURRENT_STREAMS] = limits.streams_max
        self._engine.initiate_connection(settings)
        if limits.connection_window_bytes > DEFAULT_WINDOW_BYTES:
            self._engine.set_local_window_size(limits.connection_window_bytes)
        self._names = None if client else Names()
        self._dead = False
        self._last_stream_id = 0
        self._tell = self._table(sink)

    def _table(self, sink: Sink) -> dict[type[Any], Callable[[Any], None]]:
        """What to do with each kind of event; a kind that is not here says nothing to us."""
        http2, on_data, on_control = self._http2, sink.on_data, sink.on_control

        def request(event: Any) -> None:
            self._last_stream_id = event.stream_id
            sink.on_headers(event.stream_id, event.headers, event.end_stream)

        def data(event: Any) -> None:
            on_data(event.stream_id, event.data, event.end_stream)

        def reset(event: Any) -> None:
            on_control(RESET_COST)
            sink.on_reset(event.stream_id, event.error_code)

        def settings(_: Any) -> None:
            on_control(1)
            sink.on_settings()

        def small(_: Any) -> None:
            on_control(1)

        return {
            http2.RequestReceived: request,
            http2.ResponseReceived: lambda event: sink.on_headers(
                event.stream_id, event.headers, event.end_stream
            ),
            http2.TrailersReceived: lambda event: sink.on_trailers(event.stream_id, event.headers),
            http2.DataReceived: data,
            http2.StreamReset: reset,
            http2.StreamClosed: lambda event: sink.on_closed(event.stream_id, event.error_code),
            http2.SettingsReceived: settings,
            http2.PingReceived: small,
            http2.WindowUpdated: small,
            http2.InformationalResponseReceived: small,
            http2.PingAcknowledged: lambda _: sink.on_ping_answered(),
            http2.GoAwayReceived: lambda event: sink.on_goaway(
                event.last_stream_id, event.error_code, event.debug_data
            ),
        }

    def receive(self, data: bytes) -> None:
        engine, tell = self._engine, self._tell
        if self._names is not None:
            data = self._names.take(data)
            if self._names.well:
                self._names = None
        try:
            engine.receive_data(data)
            failure = ""
        except self._http2.NGH2Error as error:
            failure = str(error) or type(error).__name__
        for event in engine.events():
            what = tell.get(type(event))
            if what is not None:
                what(event)
            elif type(event) is self._http2.ConnectionClosed:
                failure = event.debug_data.decode("utf-8", "replace") or "HTTP/2 was broken"
        if failure:
            self._dead = True
            raise EngineError(failure)

    def to_send(self, bytes_max: int) -> bytes:
        try:
            return self._engine.data_to_send(bytes_max)
        except self._http2.NGH2Error:  # dead: it has nothing more to say
            self._dead = True
            return b""

    def request(self, headers: Headers) -> int:
        try:
            return self._engine.send_request(headers)
        except self._http2.NGH2Error as error:
            raise NoNewStreams(str(error)) from None

    def respond(self, stream_id: int, headers: Headers, end: bool = False) -> None:
        try:
            self._engine.send_response(stream_id, headers, end_stream=end)
        except self._http2.NGH2Error as error:
            raise StreamGone(str(error)) from None

    def data(self, stream_id: int, data: bytes, end: bool = False) -> None:
        try:
            self._engine.send_data(stream_id, data, end_stream=end)
        except self._http2.NGH2Error as error:
            raise StreamGone(str(error)) from None

    def trailers(self, stream_id: int, headers: Headers) -> None:
        try:
            self._engine.send_trailers(stream_id, headers)
        except self._http2.NGH2Error as error:
            raise StreamGone(str(error)) from None

    def reset(self, stream_id: int, code: int) -> None:
        try:
            self._engine.reset_stream(stream_id, code)
        except self._http2.NGH2Error:
            return  # closed already, and so is what the caller wants

    def taken(self, size_bytes: int, stream_id: int) -> None:
        if size_bytes and not self._dead:
            with contextlib.suppress(self._http2.NGH2Error):  # it is closing
                self._engine.acknowledge_received_data(size_bytes, stream_id)

    def queued(self, stream_id: int) -> int:
        return self._engine.queued_body_size(stream_id)

    def queued_all(self) -> int:
        return self._engine.queued_body_size()

    def ping(self) -> None:
        if not self._dead:
            with contextlib.suppress(self._http2.NGH2Error):  # it is closing
                self._engine.ping(PING)

    def shut_down(self, last_stream_id: int | None = None) -> None:
        if self._dead:
            return
        try:
            if last_stream_id is None:
                self._engine.send_shutdown_notice()
            else:
                self._engine.send_goaway(last_stream_id=last_stream_id)
        except self._http2.NGH2Error:
            return  # the other side was quicker

    def leave(self) -> None:
        self._tell = {}

    @property
    def last_stream_id(self) -> int:
        return self._last_stream_id

    @property
    def over(self) -> bool:
        return self._dead or not (self._engine.want_read or self._engine.want_write)
