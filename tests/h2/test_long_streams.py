"""Much that arrives at once is no flood, however it is cut into pieces on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from raftd.h2.settings import ChannelSettings, ConnectionSettings, ServerLimits
from tests.h2.peers import MESSAGE_MAX, joined

BASE = "/test.Interop/"
STRICT = ConnectionSettings(
    message_max=MESSAGE_MAX, beside_at_once=64 << 10, beside_each_second=0, frames_each_second=0
)
"""Nothing is forgiven with time, so that the speed of a machine decides nothing."""
MIB = 1 << 20
COUNT = 48
"""Messages of a MiB: a backup of 100 MB was cut after the first third, on loops that read 256,000
bytes at a time."""


@pytest.mark.parametrize("runs", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_long_streams_hold_no_bytes_beside_their_messages(runs: Callable[..., None]) -> None:
    async def test() -> None:
        limits, settings = ServerLimits(connection=STRICT), ChannelSettings(connection=STRICT)
        async with asyncio.timeout(60), joined(limits, settings) as (channel, _, _):
            down = channel.unary_stream(BASE + "Sizes")
            got = [len(message) async for message in down(b" ".join([b"%d" % MIB] * COUNT))]
            assert got == [MIB] * COUNT
            up = channel.stream_unary(BASE + "Total")
            assert await up(_messages()) == b"%d" % (MIB * COUNT)

    runs(test())


async def _messages() -> AsyncIterator[bytes]:
    for _ in range(COUNT):
        yield b"s" * MIB
