"""A hold ends with whoever has it: also when it was entered by hand, or is interrupted."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from harness.nodes import wait_until
from raftd.client import OutcomeUnknown
from raftd.objects import local
from raftd.objects import lock as lock_module
from raftd.objects.lock import Hold, Owner
from raftd.objects.methods import Place
from tests.objects.shop import Shop


def renewing() -> int:
    return sum(thread.name == "raftd-hold" for thread in threading.enumerate())


@pytest.mark.parametrize("how", ["with", "async with"])
def test_a_hold_that_was_entered_by_hand_ends_with_its_objects(how: str) -> None:
    """It was held for the rest of its time to live, and renewed for as long as the process ran."""
    before, shop = renewing(), local(Shop)
    if how == "with":
        with shop:
            hold = shop.door.hold(ttl_s=86_400).__enter__()
            assert shop.door.held_by() is not None
    else:

        async def main() -> Hold:
            async with shop:
                return await shop.door.hold(ttl_s=86_400).__aenter__()

        hold = asyncio.run(main())
    assert shop.door.held_by() is None
    assert hold.lost
    wait_until(lambda: renewing() == before, 10, "its renewals to end")
    hold.__exit__(None, None, None)
    shop.stop()


def test_a_hold_that_was_left_is_not_given_back_again() -> None:
    shop = local(Shop)
    with shop.door.hold() as held:
        pass
    token = shop.door.acquire("another", 10.0)
    assert token == held.token + 1
    shop.stop()
    assert shop.door.held_by() == Owner("another", token)
    assert not held.lost


def test_objects_stop_although_nobody_takes_a_hold_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """No leader answers, say."""
    monkeypatch.setattr(lock_module, "WITHDRAW_SECONDS", 0.05)
    shop, never = local(Shop), threading.Event()
    channel: Any = shop._channel
    shop.door.hold(ttl_s=86_400).__enter__()
    monkeypatch.setattr(channel, "call", lambda *_: never.wait(60))
    began = time.monotonic()
    shop.stop()
    assert time.monotonic() - began < 10
    never.set()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OutcomeUnknown("no answer")])
def test_whoever_is_interrupted_while_it_acquires_leaves_the_lock_free(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    shop = local(Shop)
    channel: Any = shop._channel
    call, calls = channel.call, []

    def interrupted(place: Place, method: str, args: tuple[Any, ...], named: Any) -> Any:
        answer = call(place, method, args, named)
        calls.append(method)
        if len(calls) == 1:
            raise error
        return answer

    monkeypatch.setattr(channel, "call", interrupted)
    with pytest.raises(type(error)):
        shop.door.hold(ttl_s=86_400).__enter__()
    assert calls[0] == "acquire"
    assert shop.door.held_by() is None
