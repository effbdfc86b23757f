"""Several addresses at once: what becomes of those that end in the same turn of the loop."""

from __future__ import annotations

import asyncio
import gc
import ssl

import grpc.aio
import pytest

from raftd.h2 import dialing
from raftd.h2.channel import Channel
from raftd.h2.dialing import Security
from raftd.h2.settings import ChannelSettings


class Made(asyncio.Protocol):
    def __init__(self) -> None:
        self.aborted = ""

    def abort(self, why: str) -> None:
        self.aborted = why


def test_of_those_that_end_together_one_is_taken_and_the_others_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error that nobody hears of would stop the node, a connection would stay open."""
    monkeypatch.setattr(dialing, "STAGGER_SECONDS", 0.001)

    async def whole() -> None:
        loop, unheard = asyncio.get_running_loop(), list[object]()
        loop.set_exception_handler(lambda _, what: unheard.append(what))
        made: list[Made] = []
        together = asyncio.Event()

        async def attempt(address: str, make: object, security: object) -> Made:
            await together.wait()
            if address.startswith("bad"):
                raise OSError(address)
            made.append(Made())
            return made[-1]

        monkeypatch.setattr(dialing, "_connect", attempt)
        addresses = ["bad1", "good1", "bad2", "good2", "bad3"]
        dialed = asyncio.ensure_future(dialing.connect(addresses, Made, Security(None, "")))
        await asyncio.sleep(0.1)
        together.set()
        taken = await dialed
        await asyncio.sleep(0)
        assert [bool(each.aborted) for each in made if each is not taken] == [True]
        assert not taken.aborted
        del dialed
        gc.collect()
        await asyncio.sleep(0)
        assert not unheard

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("target", "name", "why"),
    [
        ("127.0.0.1:abc", "", "invalid literal"),
        ("127.0.0.1:", "", "invalid literal"),
        ("127.0.0.1:1", "n..1.node.raftd", "no certificate can be for 'n..1.node.raftd'"),
        ("127.0.0.1:1", "n" * 64 + ".node.raftd", "no certificate can be for"),
        ("127.0.0.1:1", "n1..node.raftd", "no certificate can be for"),
    ],
)
def test_an_address_or_a_name_that_can_be_none_is_a_failed_attempt(
    target: str, name: str, why: str
) -> None:
    """It ended the attempts with an error that nobody heard of: the node stopped, and every other
    node that was told of this member.
    """

    async def whole() -> None:
        loop, unheard = asyncio.get_running_loop(), list[object]()
        loop.set_exception_handler(lambda _, what: unheard.append(what))
        context = ssl.create_default_context() if name else None
        async with Channel(target, ChannelSettings(), server_name=name, context=context) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match=why) as told:
                await channel.unary_unary("/test/Any")(b"", timeout=10)
            assert told.value.code() is grpc.StatusCode.UNAVAILABLE
            assert channel.get_state() is not grpc.ChannelConnectivity.READY
        del told, channel
        gc.collect()
        await asyncio.sleep(0)
        assert not unheard

    asyncio.run(whole())
