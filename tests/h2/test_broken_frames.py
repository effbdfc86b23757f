"""What breaks HTTP/2 ends its stream or its connection, and nobody else's: frames by hand.

The cases follow h2spec's list, as far as a server that only knows gRPC can be asked them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from struct import pack

import pytest

from raftd.h2.engine import EngineLimits
from raftd.h2.settings import ConnectionSettings, ServerLimits
from tests.h2.peers import channel_to, run, serving, until
from tests.harsh.flood import (
    DATA,
    HEADERS,
    KINDS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    request_headers,
    text,
)

PATH = b"/test.Callback/Echo"
HELLO = PREFACE + frame(SETTINGS, 0, 0)
CALL = request_headers(PATH, 1)
PUSH_PROMISE, GOAWAY, CONTINUATION = 5, 7, 9


def fields(*pairs: tuple[bytes, bytes], stream: int = 1) -> bytes:
    block = b"".join(b"\x00" + text(name) + text(value) for name, value in pairs)
    return frame(HEADERS, 0x5, stream, block)


CONNECTION_ERRORS: dict[str, bytes] = {
    "no preface": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + b"x" * 64,
    "half a preface": b"PRI * HTTP/2.0\r\n\r\nSMxx\r\n\r\n",
    "not settings first": PREFACE + frame(PING, 0, 0, b"12345678"),
    "ping of 7 bytes": HELLO + frame(PING, 0, 0, b"1234567"),
    "ping on a stream": HELLO + frame(PING, 0, 1, b"12345678"),
    "settings on a stream": HELLO + frame(SETTINGS, 0, 1),
    "settings of 5 bytes": HELLO + frame(SETTINGS, 0, 0, b"12345"),
    "settings ack with a payload": HELLO + frame(SETTINGS, 1, 0, b"123456"),
    "an initial window above 2^31-1": HELLO + frame(SETTINGS, 0, 0, pack(">HI", 4, 2**31)),
    "a frame size below 16384": HELLO + frame(SETTINGS, 0, 0, pack(">HI", 5, 16_383)),
    "enable push 2": HELLO + frame(SETTINGS, 0, 0, pack(">HI", 2, 2)),
    "data on stream 0": HELLO + frame(DATA, 0, 0, b"x"),
    "data on an idle stream": HELLO + frame(DATA, 0, 1, b"x"),
    "headers on stream 0": HELLO + frame(HEADERS, 5, 0, b"\x82"),
    "headers on an even stream": HELLO + request_headers(PATH, 2),
    "a reset on stream 0": HELLO + frame(RST_STREAM, 0, 0, pack(">I", 8)),
    "a reset of an idle stream": HELLO + frame(RST_STREAM, 0, 1, pack(">I", 8)),
    "a reset of 3 bytes": HELLO + CALL + frame(RST_STREAM, 0, 1, b"123"),
    "a window update of 3 bytes": HELLO + frame(WINDOW_UPDATE, 0, 0, b"123"),
    "a window update of 0": HELLO + frame(WINDOW_UPDATE, 0, 0, pack(">I", 0)),
    "a window above 2^31-1": HELLO + 2 * frame(WINDOW_UPDATE, 0, 0, pack(">I", 2**31 - 1)),
    "a push promise": HELLO + CALL + frame(PUSH_PROMISE, 4, 1, pack(">I", 2) + b"\x82"),
    "goaway on a stream": HELLO + frame(GOAWAY, 0, 1, bytes(8)),
    "continuation of nothing": HELLO + frame(CONTINUATION, 4, 1, b"\x82"),
    "another frame within headers": HELLO
    + frame(HEADERS, 0, 1, b"\x82")
    + frame(PING, 0, 0, b"8" * 8),
    "a header index that is none": HELLO + frame(HEADERS, 5, 1, b"\xff\xff\xff\x7f"),
    "a table size above the limit": HELLO + frame(HEADERS, 5, 1, b"\x3f\xe1\xff\x7f\x82"),
    "padding longer than the frame": HELLO + CALL + frame(DATA, 8, 1, b"\xffx"),
    "a frame above 16384 bytes": HELLO + CALL + frame(DATA, 0, 1, b"x" * 16_385),
}

STREAM_ERRORS: dict[str, bytes] = {
    "an upper-case field": fields((b":method", b"POST"), (b":path", PATH), (b"X-Y", b"1")),
    "no path": fields((b":method", b"POST"), (b":scheme", b"http"), (b"te", b"trailers")),
    "an unknown pseudo-header": fields(
        (b":method", b"POST"), (b":nothing", b"1"), (b":path", PATH)
    ),
    "connection-specific fields": fields(
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH), (b"connection", b"x")
    ),
    "GET": fields((b":method", b"GET"), (b":scheme", b"http"), (b":path", PATH)),
    "no gRPC": fields(
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH), (b"content-type", b"text/x")
    ),
    "data after the end": request_headers(PATH, 1, end=True) + frame(DATA, 0, 1, b"x"),
    "half a message": CALL + frame(DATA, 1, 1, b"\0\0\0\0\x09abc"),
    "a flag for compression without a name": CALL + frame(DATA, 1, 1, b"\x01\0\0\0\x01x"),
    "a message of 4 GiB": CALL + frame(DATA, 0, 1, b"\0\xff\xff\xff\xff"),
    "a window above 2^31-1": CALL + 2 * frame(WINDOW_UPDATE, 0, 1, pack(">I", 2**31 - 1)),
}


def answer_to(
    port: int, data: bytes, more: bytes = b"", seconds: float = 20.0
) -> tuple[bytes, bool]:
    """What came, and whether the other side closed, or was quiet for `seconds`.

    `more` is repeated until then.
    """
    found = b""
    with socket.create_connection(("127.0.0.1", port), 10) as to:
        to.sendall(data)
        to.settimeout(0.2 if more else seconds)
        for _ in range(4000):
            with contextlib.suppress(TimeoutError):
                try:
                    if more:
                        to.sendall(more)
                        to.settimeout(0.0005)
                    part = to.recv(1 << 16)
                except (ConnectionError, BrokenPipeError):
                    return found, True
                if not part:
                    return found, True
                found += part
                continue
            if not more:
                return found, False
    return found, False


async def still_fine(address: str) -> None:
    async with channel_to("h2", address) as channel:
        assert await channel.unary_unary("/test.Callback/Echo")(b"hi", timeout=10) == b"hi"


def test_what_breaks_the_connection() -> None:
    async def main() -> None:
        async with serving("h2") as (address, _, server):
            port = int(address.rpartition(":")[2])
            asked = [
                asyncio.to_thread(answer_to, port, data) for data in CONNECTION_ERRORS.values()
            ]
            for name, (_, closed) in zip(CONNECTION_ERRORS, await asyncio.gather(*asked)):
                assert closed, name
            await still_fine(address)
            assert server.budget.held == 0

    run(main())


def test_what_breaks_a_stream_ends_that_call_only() -> None:
    async def main() -> None:
        async with serving("h2") as (address, _, server):
            port = int(address.rpartition(":")[2])
            asked = [
                asyncio.to_thread(
                    answer_to, port, HELLO + data + frame(PING, 0, 0, b"and then"), b"", 1.5
                )
                for data in STREAM_ERRORS.values()
            ]
            for name, (said, closed) in zip(STREAM_ERRORS, await asyncio.gather(*asked)):
                assert b"and then" in said or closed, name
                assert pack(">I", 1) in said, name  # something was said on the stream
            await still_fine(address)
            assert server.calls == 0

    run(main())


FLOODS: dict[str, tuple[bytes, bytes]] = {
    **{kind: (first, burst(0)) for kind, (first, burst) in KINDS.items() if kind != "reset"},
    "continuation": (
        frame(HEADERS, 0, 1, b"\x82"),
        frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 10) * 100,
    ),
    "unknown frames": (b"", frame(77, 0, 0, b"x" * 1000) * 60),
    "padding": (CALL, frame(DATA, 8, 1, b"\xff" + b"\0" * 255) * 200),
    "settings that never end": (b"", frame(SETTINGS, 0, 0, pack(">HI", 4, 1) * 40) * 100),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_cut(kind: str) -> None:
    async def main() -> None:
        async with serving("h2", LIMITS) as (address, _, server):
            first, burst = FLOODS[kind]
            port = int(address.rpartition(":")[2])
            _, closed = await asyncio.to_thread(answer_to, port, HELLO + first, burst)
            assert closed
            await until(lambda: server.cut == 1)
            await still_fine(address)

    run(main())


LIMITS = ServerLimits(
    connection=ConnectionSettings(
        frames_at_once=5000,
        beside_at_once=256 << 10,
        engine=EngineLimits(resets_at_once=500, resets_each_second=10),
    )
)


def test_calls_that_are_cancelled_at_once_are_a_flood() -> None:
    async def main() -> None:
        async with serving("h2", LIMITS) as (address, _, server):
            parts = [HELLO]
            for stream in range(1, 20_000, 2):
                parts += [
                    request_headers(PATH, stream),
                    frame(RST_STREAM, 0, stream, pack(">I", 8)),
                ]
            port = int(address.rpartition(":")[2])
            _, closed = await asyncio.to_thread(answer_to, port, b"".join(parts))
            assert closed
            await until(lambda: server.cut == 1)
            assert server.calls == 0
            await still_fine(address)

    run(main())


def test_priorities_and_unknown_frames_in_small_numbers_are_nothing() -> None:
    async def main() -> None:
        async with serving("h2") as (address, _, _server):
            few = frame(PRIORITY, 0, 1, pack(">IB", 0, 16)) * 20 + frame(77, 0, 0, b"x") * 20
            port = int(address.rpartition(":")[2])
            body = frame(DATA, 1, 1, b"\0\0\0\0\x02hi")
            said, closed = await asyncio.to_thread(
                answer_to, port, HELLO + few + CALL + body, b"", 1.5
            )
            assert b"\0\0\0\0\x02hi" in said
            assert not closed

    run(main())
