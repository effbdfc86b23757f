"""Messages as the gateway writes and reads them. Any thread.

64-bit numbers are strings, bytes are base64, fields that are zero are left out, and names are those
of etcd.proto.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import json_format

from raftd.rpc.etcd.faults import Code, Fault

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

_REASONS = {status: code.name for code, status in STATUS.items()}


def number_of(code: grpc.StatusCode) -> int:
    return int(code.value[0])


def body_of(message: Any) -> bytes:
    """A message as JSON on one line."""
    return _compact(as_dict(message))


def as_dict(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, use_integers_for_enums=False
    )


def result_of(message: Any) -> bytes:
    """One answer of a stream."""
    return _compact({"result": as_dict(message)}) + b"\n"


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
                    "http_status": _REASONS[status].replace("_", " ").title(),
                }
            }
        )
        + b"\n"
    )


def health_of(why: str) -> bytes:
    """The body of /health where it is not well."""
    return _compact({"health": "false", "reason": why})


def parse(kind: Any, body: bytes) -> Any:
    """The one message in a body; an empty body is an empty message. Raises Fault."""
    messages = list(parse_all(kind, body))
    return messages[0] if messages else kind()


def parse_all(kind: Any, body: bytes) -> Iterator[Any]:
    """The messages in a body, one after the other. Raises Fault."""
    try:
        text = body.decode()
        decoder = json.JSONDecoder()
        at = _skip(text, 0)
        while at < len(text):
            fields, at = decoder.raw_decode(text, at)
            at = _skip(text, at)
            yield json_format.ParseDict(fields, kind(), ignore_unknown_fields=True)
    except (ValueError, TypeError, AttributeError, RecursionError, json_format.ParseError) as error:
        text = " ".join(str(error).split())[:300]
        raise Fault(Code.INVALID_ARGUMENT, text) from None


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
