"""Channels that stay unconnected are replaced: the name may stand for another address by now."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from raftd.client.delivery import transport
from raftd.client.delivery.policy import AttemptFailed
from raftd.names import Names
from tests.client.conftest import WAIT_SECONDS
from tests.client.fake_server import FakeCluster

NOBODY = "127.0.0.1:1"


async def _until(condition: Callable[[], object], what: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_SECONDS
    while not condition():
        assert loop.time() < deadline, f"waited {WAIT_SECONDS} s for: {what}"
        await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(transport, "RETIRED_SECONDS", 0.2)


def test_a_channel_without_a_connection_is_replaced_and_closed_later() -> None:
    async def main() -> None:
        pool = transport.Transport()
        first = pool.get(NOBODY)
        assert pool.get(NOBODY) is first, "not at the first look"
        await _until(lambda: pool.get(NOBODY) is not first, "another channel")
        first.channel.get_state()  # still open: somebody may be waiting for it
        await _until(lambda: _is_closed(first), "the first one is closed")
        await pool.close()

    asyncio.run(main())


def test_a_connected_channel_stays(cluster: FakeCluster) -> None:
    async def main() -> None:
        pool = transport.Transport()
        address = cluster.endpoints[0]
        first = pool.get(address)
        await transport.ready(address, first.channel, WAIT_SECONDS)
        later = asyncio.get_running_loop().time() + 3 * transport.RENEW_SECONDS
        while asyncio.get_running_loop().time() < later:
            assert pool.get(address) is first
            await asyncio.sleep(0.01)
        await pool.close()

    asyncio.run(main())


def test_who_waits_for_a_replaced_channel_is_told_in_time() -> None:
    async def main() -> None:
        pool = transport.Transport()
        first = pool.get(NOBODY)
        waits = asyncio.create_task(transport.ready(NOBODY, first.channel, 0.15))
        await _until(lambda: pool.get(NOBODY) is not first, "another channel")
        with pytest.raises(AttemptFailed):
            await waits
        await pool.close()

    asyncio.run(main())


def test_after_a_silence_connections_that_are_not_new_are_replaced(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "DOUBT_SECONDS", 0.2)

    async def main() -> None:
        pool, loop = transport.Transport(), asyncio.get_running_loop()
        old, new = cluster.endpoints[:2]
        first = await pool.reach(old, WAIT_SECONDS)
        later = loop.time() + 0.25
        await _until(lambda: loop.time() > later, "an old connection")
        young = await pool.reach(new, WAIT_SECONDS)
        pool.doubt()
        assert await pool.reach(new, WAIT_SECONDS) is young, "slow, rather than dead"
        assert await pool.reach(old, WAIT_SECONDS) is not first
        assert not _is_closed(first), "others may still have an answer from it"
        await pool.close()

    asyncio.run(main())


class Book:
    """The system's resolver. silent: set when it may answer for names that begin with it."""

    def __init__(self) -> None:
        self.port = 1
        self.silent = threading.Event()

    def __call__(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        if host.startswith("silent"):
            self.silent.wait(WAIT_SECONDS)
        if host.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.port))]


def test_a_node_that_moved_behind_its_name_is_found_again(cluster: FakeCluster) -> None:
    async def main() -> None:
        book = Book()
        pool = transport.Transport(names=Names(book))
        with pytest.raises(AttemptFailed, match="cannot connect"):
            await pool.reach("n1.example:7001", WAIT_SECONDS)
        book.port = cluster.nodes["n1"].port
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            try:
                await pool.reach("n1.example:7001", WAIT_SECONDS)
                break
            except AttemptFailed:
                await asyncio.sleep(0.01)
        else:
            pytest.fail("not found again")
        await pool.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("silent.example:7001", "the name was not found within 0.2 s"),
        ("unknown.example:7001", "the name has no address: Name or service not known"),
    ],
)
def test_a_name_that_cannot_be_found_is_said_in_time_and_for_certain(
    address: str, told: str
) -> None:
    async def main() -> None:
        book = Book()
        pool = transport.Transport(names=Names(book))
        with pytest.raises(AttemptFailed, match=told) as failed:
            await pool.reach(address, 0.2)
        assert failed.value.verdict.certain
        book.silent.set()
        await pool.close()

    asyncio.run(main())


def _is_closed(calls: transport.NodeChannel) -> bool:
    try:
        state = calls.channel.get_state()
    except Exception:  # noqa: BLE001 - grpc.aio's UsageError is not public
        return True
    return state is grpc.ChannelConnectivity.SHUTDOWN
