"""The lock: one owner, tokens that rise, an end that only the leader's clock brings, and fences."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
import types
from collections.abc import Callable
from typing import Any

import pytest

from raftd.client import NotAcquired
from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Role
from raftd.objects import CommandRefused, Lock, local
from raftd.objects import lock as lock_module
from raftd.objects.checking import LocalChannel
from raftd.objects.lock import Owner
from raftd.objects.methods import Place
from tests.objects.shop import Shop


class FakeNode:
    """One node's clock, timers and proposals, under the machine of a shop."""

    def __init__(self) -> None:
        self.channel = LocalChannel(Shop)
        self.shop = Shop(self.channel)
        self.time = 100.0
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.proposals: list[tuple[bytes, int]] = []
        self.made = 0
        node: Any = self
        self.channel.machine.attach(node)

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.made += 1
        heapq.heappush(self.timers, (self.time + seconds, self.made, call))

    def propose(self, command: bytes, term: int) -> None:
        self.proposals.append((command, term))

    def hear(self, role: Role, term: int) -> None:
        self.channel.machine.on_event(Event(EventKind.ROLE, term, role, None, ""))

    def run(self, seconds: float) -> None:
        end = self.time + seconds
        while self.timers and self.timers[0][0] <= end:
            at, _, call = heapq.heappop(self.timers)
            self.time = max(self.time, at)
            call()
        self.time = end

    def apply(self) -> None:
        while self.proposals:
            self.channel.machine.apply(self.proposals.pop(0)[0])


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


def test_one_owner_at_a_time_and_tokens_rise() -> None:
    lock = Lock()
    assert lock.acquire("ann") == lock.acquire("ann") == 1, "a second attempt finds the first"
    assert lock.acquire("bob") is None
    assert lock.held_by() == Owner("ann", 1)
    assert not lock.release(2)
    assert lock.release(1)
    assert not lock.renew(1)
    assert lock.acquire("bob") == 2
    assert not lock.release(1), "too late"
    with pytest.raises(CommandRefused, match=r"ttl_s 0\.5: 1 to 86400 seconds"):
        lock.acquire("bob", 0.5)
    with pytest.raises(CommandRefused, match="owner: 1 to 256 characters, not 0"):
        lock.acquire("")


def test_the_leader_ends_what_is_not_renewed(node: FakeNode) -> None:
    door = node.shop.door
    token = door.acquire("ann", 2.0)
    assert token
    node.hear(Role.LEADER, 3)
    for _ in range(3):
        node.run(1.5)
        assert door.renew(token)
    assert not node.proposals
    node.run(1.5)
    assert not node.proposals, "not yet"
    node.run(1.5)
    assert [term for _, term in node.proposals[:1]] == [3], "in the term in which it counted"
    node.apply()
    assert door.held_by() is None
    node.run(5)
    assert not node.proposals, "nobody has it"


def test_a_renewal_on_its_way_beats_the_end(node: FakeNode) -> None:
    token = node.shop.door.acquire("ann", 1.0)
    assert token
    node.hear(Role.LEADER, 3)
    node.run(2)
    assert node.proposals
    assert node.shop.door.renew(token)
    node.apply()
    assert node.shop.door.held_by() == Owner("ann", 1)


def test_a_new_leader_gives_the_whole_time_again_and_a_follower_ends_nothing(
    node: FakeNode,
) -> None:
    assert node.shop.door.acquire("ann", 2.0)
    node.hear(Role.LEADER, 3)
    node.run(1.75)
    node.hear(Role.FOLLOWER, 4)
    node.run(60)
    assert not node.proposals
    node.hear(Role.LEADER, 5)
    node.run(2)
    assert not node.proposals
    node.run(0.75)
    assert node.proposals[0][1] == 5


def test_time_in_which_the_process_stood_still_counts_for_nobody(node: FakeNode) -> None:
    assert node.shop.door.acquire("ann", 2.0)
    node.hear(Role.LEADER, 3)
    node.run(1)
    node.time += 3600
    node.run(0.5)
    assert not node.proposals
    node.run(1.5)
    assert node.proposals


def test_what_a_late_owner_sends_is_refused() -> None:
    shop = local(Shop)
    with shop.door.hold(ttl_s=60) as held:
        stock = held.guard(shop.stock)
        stock["a"] = 1
        assert stock["a"] == held.token == 1
        shop.door.release(held.token)
        with pytest.raises(CommandRefused, match="fenced: lock 'door' is not held with token 1"):
            stock["a"] = 2
        with shop.door.hold() as other:
            assert other.token == 2
            with pytest.raises(CommandRefused, match="fenced"):
                stock["a"] = 3
    assert shop.stock["a"] == 1
    with pytest.raises(ValueError, match="same objects as the lock's"):
        held.guard(local(Shop).stock)


def test_holding_waits_for_its_time_and_no_longer() -> None:
    shop = local(Shop)

    async def other() -> int:
        async with shop.door.hold(timeout=5) as held:
            return held.token

    with shop.door.hold(timeout=0) as first:
        with pytest.raises(NotAcquired, match="held by others for 0 s"), shop.door.hold(timeout=0):
            pass
        waiting: list[int] = []
        thread = threading.Thread(target=lambda: waiting.append(asyncio.run(other())))
        thread.start()
    thread.join(10)
    assert (first.token, waiting) == (1, [2])
    assert shop.door.held_by() is None


def test_a_holder_renews_and_learns_that_it_is_too_late() -> None:
    shop = local(Shop)

    def until(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.005)

    channel: Any = shop._channel
    with shop.door.hold(ttl_s=1) as held:
        before = len(channel.commands)
        until(lambda: len(channel.commands) > before)
        assert not held.lost
        shop.door.release(held.token)
        until(lambda: held.lost)


def test_a_holder_whose_renewal_hangs_knows_that_it_is_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It found out when the call had failed, which takes the client's timeout."""
    now = [100.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep)
    shop = local(Shop)
    monkeypatch.setattr(lock_module, "time", clock)
    with shop.door.hold(ttl_s=60) as held:
        now[0] += 59
        seen = [held.lost]
        now[0] += 1
        seen.append(held.lost)
    assert [*seen, held.lost] == [False, True, True]
    with shop.door.hold(ttl_s=60) as again:
        pass
    now[0] += 3600
    assert not again.lost, "it was held to its end"


def test_whoever_is_cancelled_while_it_acquires_leaves_the_lock_free() -> None:
    """The command goes on without its caller, and had the lock for ttl_s with nobody to end it."""
    shop = local(Shop)
    channel: Any = shop._channel
    answers = asyncio.Event()

    async def late(place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        answer = channel.call(place, method, args, named)
        if not answers.is_set():
            answers.set()
            await asyncio.Event().wait()
        return answer

    channel.acall = late

    async def main() -> None:
        holding = asyncio.ensure_future(shop.door.hold(ttl_s=86_400).__aenter__())
        await answers.wait()
        assert shop.door.held_by() is not None
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert shop.door.held_by() is None

    asyncio.run(main())


def test_whoever_is_cancelled_while_it_releases_leaves_the_lock_free() -> None:
    shop = local(Shop)
    channel: Any = shop._channel

    async def slow(place: Place, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        await asyncio.sleep(0.005)
        return channel.call(place, method, args, named)

    channel.acall = slow

    async def main() -> None:
        hold = await shop.door.hold().__aenter__()
        leaving = asyncio.ensure_future(hold.__aexit__(None, None, None))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        async with asyncio.timeout(10):
            while shop.door.held_by():
                await asyncio.sleep(0.001)

    asyncio.run(main())
