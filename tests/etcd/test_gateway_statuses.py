"""The status of an answer and its reason, as etcd's gateway gives them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import pytest

from raftd.rpc.etcd.faults import Code, Fault
from raftd.rpc.etcd.gateway.reply import stream_error_of
from tests.etcd.test_gateway import Port, Services, run


def test_a_stream_that_fails_before_its_first_answer_has_the_status_of_the_failure() -> None:
    """As in etcd. Patroni reads an error behind a 200 as a lease that is gone, and takes another
    one; behind a 503 it asks another member.
    """

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        await port.ask("POST", "/v3/lease/keepalive", b'{"ID": "13"}')
        line = await port.reader.readline()
        assert line == b"HTTP/1.1 503 Service Unavailable\r\n"
        _, rest = await port.reader.readuntil(b"\r\n\r\n"), await port.chunk()
        assert json.loads(rest)["error"] == {
            "grpc_code": 14,
            "http_code": 503,
            "message": "etcdserver: no leader",
            "http_status": "Service Unavailable",
        }
        assert await port.chunk() == b""
        await port.ask("POST", "/v3/lease/keepalive")
        assert (await port.head())[0] == 200, "the connection goes on"
        assert await port.chunk() == b""

    run(test)


def test_answers_and_refusals_have_the_reason_of_their_status() -> None:
    """etcd3gw says nothing else of why a call failed."""
    too_large = HTTPStatus(413).phrase  # Python 3.13 has the newer words

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        for path, body, expected in (
            ("/v3/kv/range", b'{"key": "YQ=="}', b"200 OK"),
            ("/v3/kv/range", b"", b"400 Bad Request"),
            ("/nothing", b"", b"404 Not Found"),
            ("/v3/lease/keepalive", b'{"ID": "1"}', b"200 OK"),
            ("/v3/kv/range", b"x" * (3 << 20), f"413 {too_large}".encode()),
        ):
            port = await connect()
            await port.ask("POST", path, body)
            assert await port.reader.readline() == b"HTTP/1.1 " + expected + b"\r\n"

    run(test)


@pytest.mark.parametrize(
    ("code", "http_status"),
    [
        (Code.INVALID_ARGUMENT, "Bad Request"),
        (Code.PERMISSION_DENIED, "Forbidden"),
        (Code.UNAUTHENTICATED, "Unauthorized"),
        (Code.UNKNOWN, "Internal Server Error"),
        (Code.RESOURCE_EXHAUSTED, "Too Many Requests"),
    ],
)
def test_the_last_line_of_a_stream_names_its_http_status(code: Code, http_status: str) -> None:
    error = json.loads(stream_error_of(Fault(code, "why")))["error"]
    assert error["http_status"] == http_status
