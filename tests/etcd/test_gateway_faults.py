"""What goes wrong at the gateway ends a call, and never the process."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from tests.etcd.test_gateway import Port, Services, run


def test_a_bug_in_a_method_ends_the_call_and_not_the_process() -> None:
    """The loop's handler of what nobody catches stops the node."""

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unheard.append(what))
        port = await connect()
        await port.ask("POST", "/v3/kv/range", b'{"key": "YnVn"}')
        status, body = await port.reply()
        assert status == 500
        assert "ValueError" in json.loads(body)["error"]
        await port.ask("POST", "/v3/lease/keepalive", b'{"ID": "14"}')
        assert (await port.head())[0] == 500
        assert "ValueError" in json.loads(await port.chunk())["error"]["message"]
        port.writer.close()
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
        assert not unheard

    run(test)


@pytest.mark.parametrize(
    "body",
    [
        b'"\\ud800"',
        b'{"\\ud800": 1}',
        b'{"key": "\\ud800"}',
        b'{"limit": 1e400}',
        b'{"limit": -1e400}',
        b'{"limit": "1e400"}',
        b'{"limit": NaN}',
        b'{"sort_order": 1e400}',
        b'{"sort_order": NaN}',
        b'{"sort_order": Infinity}',
        b'{"key": 1e400}',
        b'{"keys_only": Infinity}',
        b"[" * 4000,
        b'{"limit": ' + b"1" * 5000 + b"}",
        b"Infinity",
        b"\xff",
    ],
)
def test_a_body_that_nobody_can_read_writes_no_stack_into_the_log(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Who sends it needs no password."""

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        for path in ("/v3/kv/range", "/v3/lease/keepalive"):
            port = await connect()
            await port.ask("POST", path, body)
            status, fields = await port.head()
            assert status in (200, 400), fields

    run(test)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_caller_whose_connection_is_reset_ends_its_call_and_not_the_process() -> None:
    """What no task is asked about goes to the loop's handler, which stops the node."""

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unheard.append(what))
        port = await connect()
        await port.ask("POST", "/v3/watch", b'{"create_request": {"key": "YQ=="}}')
        await port.head()
        await port.chunk()
        made = port.writer.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        port.writer.transport.abort()
        await services.ended.wait()
        await asyncio.sleep(0.05)
        gc.collect()
        await asyncio.sleep(0)
        assert not unheard

    run(test)


def test_a_head_request_gets_a_head() -> None:
    """As load balancers ask for it; with a body it would be no HTTP."""

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unheard.append(what))
        port = await connect()
        for path in ("/version", "/v3/kv/range", "/nothing"):
            await port.ask("HEAD", path)
            status, fields = await port.head()
            assert (status, int(fields["content-length"]) > 0) == (
                {"/nothing": 404}.get(path, 405),
                True,
            )
        await port.ask("GET", "/version")
        assert (await port.reply())[0] == 200
        assert not unheard

    run(test)


def test_a_number_that_is_no_message_is_refused() -> None:
    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        for body in (b"1", b"1e999999", b"null", b"true"):
            await port.ask("POST", "/v3/kv/range", body)
            assert (await port.reply())[0] == 400

    run(test)
