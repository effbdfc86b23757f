"""Targets: what the other end of an HTTP/2 connection may send, on both sides, and message framing.

Whatever comes, no error leaves a connection's callbacks, and when it is lost nothing is held any
more.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from struct import pack
from typing import Any

from raftd.h2.budget import Budget
from raftd.h2.client_call import ClientCall
from raftd.h2.client_connection import ClientConnection
from raftd.h2.engine import EngineLimits
from raftd.h2.handlers import StreamCallback, UnaryCallback
from raftd.h2.intake import Intake
from raftd.h2.messages import GZIP, Unframer, framed
from raftd.h2.server_call import Handler, ServerCall
from raftd.h2.server_connection import ServerConnection
from raftd.h2.settings import ChannelSettings, ConnectionSettings, ServerLimits
from tests.fuzz.target import Target
from tests.harsh.flood import (
    DATA,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    request_headers,
    text,
)

HELLO = PREFACE + frame(SETTINGS, 0, 0)
BODY = framed(b"hello")
SMALL = ConnectionSettings(
    message_max=4096,
    unsent_max=64 << 10,
    engine=EngineLimits(stream_window_bytes=8192, connection_window_bytes=65_536),
)


class Handle:
    def cancel(self) -> None: ...


class Loop:
    """Time stands still; what is to be called soon is called by `turn`."""

    def __init__(self) -> None:
        self._soon: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def time(self) -> float:
        return 1.0

    def call_soon(self, what: Callable[..., object], *args: Any) -> None:
        self._soon.append((what, args))

    def call_later(self, _: float, what: Callable[..., object], *args: Any) -> Handle:
        return Handle()

    def create_future(self) -> Future:
        return Future()

    def turn(self) -> None:
        soon, self._soon = self._soon, []
        for what, args in soon:
            what(*args)


class Future:
    def done(self) -> bool:
        return True


class Transport:
    """Takes everything that is written."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None: ...

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    abort = close


class Host:
    """As much of a server as a connection asks for."""

    limits = ServerLimits(connection=SMALL)
    stopping = False

    def __init__(self) -> None:
        self.loop = Loop()
        self.budget = Budget(16 << 10)
        loop: Any = self.loop
        self.intake = Intake(loop, lambda: 0.0)
        self.calls = 0

    def entered(self, _: object) -> bool:
        return True

    def left(self, _: object) -> None: ...

    def call_over(self) -> None:
        self.calls -= 1

    def method(self, path: bytes) -> Handler | None:
        if path == b"/u":
            return UnaryCallback(lambda message, call: call.answer(message))
        return StreamCallback(bounce) if path == b"/s" else None


class Dialer:
    """As much of a channel as a connection asks for."""

    settings = ChannelSettings(connection=SMALL)

    def __init__(self) -> None:
        self.loop = Loop()
        self.budget = Budget(16 << 10)

    def leave(self, _: object) -> None: ...

    forget = leave


def bounce(call: ServerCall) -> None:
    call.on_message = call.reply
    call.on_request_end = call.finish


def fed(connection: Any, loop: Loop, data: bytes) -> None:
    """In pieces of sizes that the input's last byte decides, then the end."""
    transport = Transport()
    connection.connection_made(transport)
    step = 1 + (data[-1] if data else 0) * 7
    for at in range(0, len(data), step):
        if transport.closed:
            break
        connection.data_received(data[at : at + step])
        loop.turn()
    connection.check(loop.time())
    connection.connection_lost(None)
    loop.turn()
    assert not connection.streams
    assert connection.budget.held == 0


def http2_server(data: bytes) -> None:
    host: Any = Host()
    connection = ServerConnection(host)
    fed(connection, host.loop, HELLO + data)
    assert host.calls == 0


def http2_client(data: bytes) -> None:
    channel: Any = Dialer()
    connection = ClientConnection(channel)
    call = ClientCall(
        channel.loop, [(b":method", b"POST"), (b":path", b"/u"), (b":scheme", b"http")]
    )
    call.start(connection)
    call.put(b"question", last=True)
    fed(connection, channel.loop, frame(SETTINGS, 0, 0) + data)
    while call.inbox:
        call.take()
    assert call.code is not None
    assert connection.budget.held == 0


def grpc_messages(data: bytes) -> None:
    """One piece or many: the same messages, and the same verdict."""
    whole, pieces = Unframer(4096, GZIP), Unframer(4096, GZIP)
    messages = whole.feed(data)
    found: list[bytes] = []
    for at in range(0, len(data), 3):
        if pieces.bad is None:
            found += pieces.feed(data[at : at + 3])
    assert found == messages
    assert (pieces.bad is None) == (whole.bad is None)
    assert all(len(message) <= 4096 for message in messages)


def reply(stream: int, *fields: tuple[bytes, bytes], last: bool = False) -> bytes:
    block = b"".join(b"\x00" + text(name) + text(value) for name, value in fields)
    return frame(HEADERS, 0x5 if last else 0x4, stream, block)


OPENING = reply(1, (b":status", b"200"), (b"content-type", b"application/grpc"))
FINE = reply(1, (b"grpc-status", b"0"), (b"grpc-message", b"caf%C3%A9"), last=True)
PACKED = zlib.compressobj(wbits=31)
PRESSED = PACKED.compress(b"y" * 3000) + PACKED.flush()

UNARY = request_headers(b"/u", 1) + frame(DATA, 1, 1, BODY)
STREAM = (
    request_headers(b"/s", 3)
    + frame(DATA, 0, 3, BODY + BODY[:3])
    + frame(WINDOW_UPDATE, 0, 3, pack(">I", 1000))
    + frame(DATA, 1, 3, BODY[3:])
)
GO = UNARY.replace(text(b"raftd"), text(b"a://b"))
ODD = frame(PING, 0, 0, b"12345678") + frame(RST_STREAM, 0, 3, pack(">I", 8))
CODE = (
    "raftd/h2/connection.py",
    "raftd/h2/stream.py",
    "raftd/h2/messages.py",
    "raftd/h2/headers.py",
)
WORDS = (b"grpc-timeout", b"1S", b"grpc-encoding", b"gzip", b"x-bin", b"te", BODY, PRESSED[:20])

TARGETS = (
    Target(
        "http2-server",
        http2_server,
        (),
        (UNARY, STREAM, UNARY + STREAM + ODD, STREAM[:-9] + ODD + UNARY, GO),
        (
            *CODE,
            "raftd/h2/authority.py",
            "raftd/h2/server_call.py",
            "raftd/h2/server_connection.py",
        ),
        WORDS,
    ),
    Target(
        "http2-client",
        http2_client,
        (),
        (
            OPENING + frame(DATA, 0, 1, BODY) + FINE,
            FINE,
            ODD,
            OPENING + frame(DATA, 0, 1, BODY[:4]),
        ),
        (*CODE, "raftd/h2/client_call.py", "raftd/h2/client_connection.py"),
        WORDS,
    ),
    Target(
        "grpc-messages",
        grpc_messages,
        (),
        (BODY, BODY * 3, b"\x01" + pack(">I", len(PRESSED)) + PRESSED, BODY[:7]),
        ("raftd/h2/messages.py",),
        (b"\x01\0\0", PRESSED),
    ),
)
