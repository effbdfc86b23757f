"""Channels that stay unconnected are replaced: the name may stand for another address by now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import pytest

from raftd.client import channels
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
    monkeypatch.setattr(channels, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(channels, "RETIRED_SECONDS", 0.2)


def test_a_channel_without_a_connection_is_replaced_and_closed_later() -> None:
    async def main() -> None:
        pool = channels.Channels()
        first = pool.get(NOBODY)
        assert pool.get(NOBODY) is first, "not at the first look"
        await _until(lambda: pool.get(NOBODY) is not first, "another channel")
        first.channel.get_state()  # still open: somebody may be waiting for it
        await _until(lambda: _is_closed(first), "the first one is closed")
        await pool.close()

    asyncio.run(main())


def test_a_connected_channel_stays(cluster: FakeCluster) -> None:
    async def main() -> None:
        pool = channels.Channels()
        address = cluster.endpoints[0]
        first = pool.get(address)
        await channels.ready(address, first.channel, WAIT_SECONDS)
        later = asyncio.get_running_loop().time() + 3 * channels.RENEW_SECONDS
        while asyncio.get_running_loop().time() < later:
            assert pool.get(address) is first
            await asyncio.sleep(0.01)
        await pool.close()

    asyncio.run(main())


def test_who_waits_for_a_replaced_channel_is_told_in_time() -> None:
    async def main() -> None:
        pool = channels.Channels()
        first = pool.get(NOBODY)
        waits = asyncio.create_task(channels.ready(NOBODY, first.channel, 0.15))
        await _until(lambda: pool.get(NOBODY) is not first, "another channel")
        with pytest.raises(channels.AttemptFailed):
            await waits
        await pool.close()

    asyncio.run(main())


def _is_closed(calls: channels.Calls) -> bool:
    try:
        state = calls.channel.get_state()
    except Exception:  # noqa: BLE001 - grpc.aio's UsageError is not public
        return True
    return state is grpc.ChannelConnectivity.SHUTDOWN
