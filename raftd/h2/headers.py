"""gRPC's words in HTTP/2 header fields: metadata, time-outs, statuses and their texts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc

from raftd.h2.engine import ENHANCE_YOUR_CALM, Header, Headers

Metadata = tuple[tuple[str, str | bytes], ...]
MetadataLike = Sequence[tuple[str, Any]] | Iterable[tuple[str, Any]] | None

CONTENT_TYPE = (b"content-type", b"application/grpc")

CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

_OWN = frozenset(
    b"te content-type user-agent grpc-timeout grpc-encoding grpc-accept-encoding grpc-status"
    b" grpc-message grpc-message-type connection host accept-encoding content-length".split()
)
"""Fields that are gRPC's or HTTP's, not the application's."""

_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT_DIGITS = 8

_HTTP_CODES = {
    400: grpc.StatusCode.INTERNAL,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.UNAVAILABLE,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.UNAVAILABLE,
}
_RESET_CODES = {
    0x7: grpc.StatusCode.UNAVAILABLE,
    0x8: grpc.StatusCode.CANCELLED,
    ENHANCE_YOUR_CALM: grpc.StatusCode.RESOURCE_EXHAUSTED,
    0xC: grpc.StatusCode.PERMISSION_DENIED,
}


def status_of_http(code: int) -> grpc.StatusCode:
    """What a response without a grpc-status means, by its HTTP status."""
    return _HTTP_CODES.get(code, grpc.StatusCode.UNKNOWN)


def status_of_reset(code: int) -> grpc.StatusCode:
    """What a stream that the server reset means, by HTTP/2's error code."""
    return _RESET_CODES.get(code, grpc.StatusCode.INTERNAL)


def percent_encoded(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if all(byte in _PLAIN for byte in data):
        return data
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in data)


def percent_decoded(value: bytes) -> str:
    """Whatever is wrong with it stays as it is: a status without its text would help nobody."""
    return unquote_to_bytes(value).decode("utf-8", "replace")


def timeout_header(seconds: float) -> Header:
    """At most eight digits, in the finest unit that holds them. Below a nanosecond is one."""
    if seconds < 99.0:
        return b"grpc-timeout", b"%du" % max(1, int(seconds * 1e6))
    if seconds < 99_000.0:
        return b"grpc-timeout", b"%dm" % int(seconds * 1e3)
    return b"grpc-timeout", b"%dS" % int(min(seconds, 99_999_999.0))


def timeout_of(value: bytes) -> float:
    """Seconds. Raises ValueError."""
    digits, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not digits.isdigit() or len(digits) > _TIMEOUT_DIGITS:
        raise ValueError(f"grpc-timeout: {value[:16]!r} is not up to eight digits and a unit")
    return int(digits) * _UNITS[unit]


def to_headers(metadata: MetadataLike) -> list[Header]:
    """Raises ValueError for a key or value that cannot be sent."""
    found: list[Header] = []
    for key, value in metadata or ():
        name = key.encode("ascii")
        if name.endswith(b"-bin"):
            if not isinstance(value, bytes):
                raise ValueError(f"metadata: {key}: a binary value must be bytes")
            found.append((name, base64.b64encode(value).rstrip(b"=")))
            continue
        data = value if isinstance(value, bytes) else str(value).encode("ascii")
        if not name or name != name.lower() or any(not 0x20 <= byte < 0x7F for byte in data):
            raise ValueError(f"metadata: {key!r}: a lower-case key and a printable value, please")
        found.append((name, data.strip()))
    return found


def to_metadata(headers: Headers) -> Metadata:
    """The application's fields. One that claims to be base64 and is not is left out."""
    found: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        if name[:1] == b":" or name in _OWN:
            continue
        key = name.decode("ascii", "replace")
        if not key.endswith("-bin"):
            found.append((key, value.decode("ascii", "replace")))
            continue
        for part in value.split(b","):
            try:
                plain = base64.b64decode(part + b"=" * (-len(part) % 4), validate=True)
            except binascii.Error:
                continue
            found.append((key, plain))
    return tuple(found)


def status_headers(
    code: grpc.StatusCode, details: str, metadata: MetadataLike = None
) -> list[Header]:
    """The trailers that end a call."""
    found: list[Header] = [(b"grpc-status", b"%d" % code.value[0])]
    if details:
        found.append((b"grpc-message", percent_encoded(details)))
    if metadata:
        found.extend(to_headers(metadata))
    return found


def status_from(fields: dict[bytes, bytes]) -> tuple[grpc.StatusCode, str] | None:
    """What trailers say; None if they hold no grpc-status."""
    value = fields.get(b"grpc-status")
    if value is None:
        return None
    code = CODES.get(int(value) if value.isdigit() else -1, grpc.StatusCode.UNKNOWN)
    return code, percent_decoded(fields.get(b"grpc-message", b""))
