"""Messages as the gateway writes and reads them. Any thread.

64-bit numbers are strings, bytes are base64, fields that are zero are left out, and names are those
of etcd.proto.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

import grpc
from google.protobuf import json_format

from raftd.rpc.etcd.faults import Code, Fault
from raftd.rpc.etcd.one_watcher import InParts

STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 408,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
}
"""The HTTP status of each gRPC one, as in etcd's gateway."""

PARTS_MAX = 4096
"""Objects, lists and what commas part, in one body: the largest transaction that etcd takes has
fewer. A message is made of JSON in Python, some 10 us a part: 2 MiB of `{}` held the network thread
for 10 s, and whoever sent them needed no password.
"""

PARTS_SMALL = 100
"""A body with more is read alone in its turn: so many are a millisecond's work."""

PIECE_BYTES = 1 << 10
"""A message up to this size becomes JSON in one go, which takes about a millisecond."""

_NO_LINES = {10: None, 13: None}
_BETWEEN = re.compile(r"[ \t\r\n,]*")


def number_of(code: grpc.StatusCode) -> int:
    return int(code.value[0])


def pieces_of(message: Any) -> Iterator[bytes]:
    """A message as JSON on one line, in pieces of which none takes long to make."""
    if message.ByteSize() <= PIECE_BYTES:
        yield _compact(as_dict(message))
        return
    plain, large = type(message)(), []
    for field, value in message.ListFields():
        if field.message_type is not None:
            large.append((field, value))
        elif field.is_repeated:
            getattr(plain, field.name).extend(value)
        else:
            setattr(plain, field.name, value)
    head = _compact(as_dict(plain))[:-1]
    yield head
    for place, (field, value) in enumerate(large):
        comma = "," if place or len(head) > 1 else ""
        yield f'{comma}"{field.name}":'.encode()
        if field.is_repeated:
            yield from _listed(value)
        else:
            yield from pieces_of(value)
    yield b"}"


def _in_parts(message: InParts) -> Iterator[bytes]:
    yield _compact(as_dict(message.head))[:-1]
    for place, part in enumerate(message.parts):
        yield b"," if place else f',"{message.field}":['.encode()
        yield from _each(getattr(type(message.head).FromString(part), message.field))
    yield b"]}"


def _listed(messages: Any) -> Iterator[bytes]:
    yield b"["
    yield from _each(messages)
    yield b"]"


def _each(messages: Any) -> Iterator[bytes]:
    for place, each in enumerate(messages):
        if place:
            yield b","
        yield from pieces_of(each)


def as_dict(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, use_integers_for_enums=False
    )


def result_of(message: Any) -> Iterator[bytes]:
    """One answer of a stream, as `pieces_of`."""
    yield b'{"result":'
    yield from _in_parts(message) if isinstance(message, InParts) else pieces_of(message)
    yield b"}\n"


def error_of(error: Fault) -> bytes:
    return _compact({"error": error.text, "message": error.text, "code": number_of(error.code)})


def stream_error_of(error: Fault) -> bytes:
    """The last line of a stream that ends with an error."""
    status = STATUS[error.code]
    return (
        _compact(
            {
                "error": {
                    "grpc_code": number_of(error.code),
                    "http_code": status,
                    "message": error.text,
                    "http_status": HTTPStatus(status).phrase,
                }
            }
        )
        + b"\n"
    )


def health_of(why: str) -> bytes:
    """The body of /health where it is not well."""
    return _compact({"health": "false", "reason": why})


def parts_of(body: bytes) -> int:
    return sum(map(body.count, (b"{", b"[", b",")))


def parse_all(kind: Any, body: bytes) -> Iterator[Any]:
    """The messages in a body, one after the other. Raises Fault."""
    if (parts := parts_of(body)) > PARTS_MAX:
        text = f"{parts} objects, lists and members in one body, the limit is {PARTS_MAX}"
        raise Fault(Code.INVALID_ARGUMENT, text)
    try:
        text = body.decode()
        decoder = json.JSONDecoder()
        at = _skipped(text, 0)
        while at < len(text):
            fields, at = decoder.raw_decode(text, at)
            at = _skipped(text, at)
            _check(fields, kind.DESCRIPTOR)
            yield json_format.ParseDict(fields, kind(), ignore_unknown_fields=True)
    except Exception as error:  # noqa: BLE001  it is the body's fault, whatever the parsers raise
        # An OverflowError at 1e400, a SystemError at half a surrogate: as errors that nobody
        # declares, each wrote a stack into the log, for a caller without a password.
        why = error if str(error) and not isinstance(error, SystemError) else error.__cause__
        text = " ".join(str(why or type(error).__name__).split())[:300]
        raise Fault(Code.INVALID_ARGUMENT, text) from None


def _check(fields: Any, kind: Any) -> None:
    """Raises ValueError for what `ParseDict` takes for something else, and etcd refuses.

    The stories without it: a key that nobody had put into base64 was stored as other bytes, a
    mistyped result of a compare was EQUAL, a mistyped permission READ.
    """
    if not isinstance(fields, dict):
        return
    known = _fields(kind)
    for name, value in fields.items():
        field = known.get(name)
        if field is None or value is None:
            continue
        for each in value if isinstance(value, list) else [value]:
            if field.message_type is not None:
                _check(each, field.message_type)
            elif field.enum_type is not None:
                _check_word(each, field.enum_type)
            elif field.type == field.TYPE_BYTES:
                _check_bytes(each, name)


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """By both names that a field has in JSON."""
    return {name: field for field in kind.fields for name in (field.name, field.json_name)}


def _check_word(value: Any, kind: Any) -> None:
    if isinstance(value, str) and value not in kind.values_by_name:
        name = kind.full_name.removeprefix(f"{kind.file.package}.").replace(".", "_")
        raise ValueError(f'unknown value "{value[:50]}" for enum {name}')


def _check_bytes(value: Any, name: str) -> None:
    """As Go's StdEncoding, which skips ends of lines and nothing else."""
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a string, of base64")
    try:
        binascii.a2b_base64(value.translate(_NO_LINES), strict_mode=True)
    except ValueError as error:
        raise ValueError(
            f"illegal base64 data in {name}: {error}; keys and values are in base64, as by "
            "`printf %s KEY | base64`"
        ) from None


def _skipped(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return at if found is None else found.end()


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
