"""What the film of all nodes makes of an answer that is no film."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from raftd.admin.page import gather
from raftd.admin.page.gather import Gathering
from raftd.admin.vitals import Vitals

HEAD = b'{"now": 100.0}\n'
RECORD = b'{"t": 100.5, "node": "n2", "life": "ab", "n": 1, "kind": "look"}\n'


@pytest.mark.parametrize(
    "told",
    [
        b"{}\n",
        b"[1]\n",
        b"null\n",
        b'{"now": null}\n',
        b'{"now": NaN}\n',
        HEAD + b"[]\n",
        HEAD + b'{"kind": "look"}\n',
        HEAD + b'{"t": 1.0, "kind": "look"}\n',
        HEAD + b'{"t": 1.0, "life": "ab", "n": "one", "kind": "look"}\n',
        HEAD + b'{"t": Infinity, "life": "ab", "n": 1, "kind": "look"}\n',
        HEAD + b"[" * 100_000 + b"\n",
        b"[" * 100_000 + b"\n",
        b"\xff\n",
    ],
)
def test_a_node_that_tells_no_film_once_is_asked_again(
    told: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task that follows it ended: it was never asked again while anybody looked."""
    monkeypatch.setattr(gather, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(gather, "SETTLE_SECONDS", 0.01)
    answers = [told, HEAD + RECORD]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + (answers.pop(0) if answers else b""))
        await writer.drain()
        writer.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 20)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        gathering = Gathering("n1", {"n2": address}, Vitals(loop.time), loop)
        kept: list[dict[str, Any]] = []
        monkeypatch.setattr(gathering, "_keep", _noting(gathering._keep, kept))
        following = loop.create_task(gathering._follow("n2", address))
        deadline = loop.time() + 10
        while not any(record["n"] == 1 and record["kind"] == "look" for record in kept):
            assert not following.done(), following
            assert loop.time() < deadline
            await asyncio.sleep(0.005)
        following.cancel()
        await asyncio.wait((following,))
        server.close()

    asyncio.run(main())


def _noting(keep: Any, kept: list[dict[str, Any]]) -> Any:
    def noted(at: float, record: dict[str, Any]) -> None:
        keep(at, record)
        kept.append(record)

    return noted
