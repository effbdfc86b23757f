"""A web page in the browser of whoever sits at a node's machine asks that node for nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from tests.etcd.test_gateway import Port, Services, run

PAGES = ("http://evil.example", "null", "http://127.0.0.1:7002", "http://x")


@pytest.mark.parametrize("origin", PAGES)
def test_a_web_page_calls_nothing(origin: str) -> None:
    """As plain text a browser sends a body wherever a page says, and asks nobody before: a page
    wrote to a node on 127.0.0.1. One of a name that now points to the node would also read.
    """

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        more = f"Content-Type: text/plain\r\nORIGIN: {origin}\r\n"
        for path, body in (
            ("/v3/kv/range", b'{"key": "YQ=="}'),
            ("/v3/watch", b'{"create_request": {"key": "YQ=="}}'),
        ):
            await port.ask("POST", path, body, more)
            status, refusal = await port.reply()
            assert status == 403
            assert "Origin" in json.loads(refusal)["error"]
        assert not services.asked
        await port.ask("POST", "/v3/kv/range", b'{"key": "YQ=="}', "Content-Type: text/plain\r\n")
        assert (await port.reply())[0] == 200, "the connection goes on, and programs are served"

    run(test)


def test_a_browser_is_not_told_that_a_page_may_ask() -> None:
    """It asks before it sends JSON."""

    async def test(services: Services, connect: Callable[[], Awaitable[Port]]) -> None:
        port = await connect()
        asks = "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
        await port.ask("OPTIONS", "/v3/kv/range", b"", asks)
        status, fields = await port.head()
        assert status == 405
        assert not [name for name in fields if name.startswith("access-control")]
        assert not services.asked

    run(test)
