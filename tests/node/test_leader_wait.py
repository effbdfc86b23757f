"""What clients ask after a leader was lost is held for a moment, and each is called once."""

from __future__ import annotations

import asyncio
from typing import cast

from raftd.node import leader_wait
from raftd.node.driver import CoreDriver
from raftd.node.leader_wait import LeaderWait
from raftd.node.outcomes import Answered, Outcome, Refused
from raftd.node.settings import NodeSettings
from tests.node.alone import Diary, plain, running
from tests.node.fakes import TimedDriver
from tests.storage.memory_fs import MemoryFileSystem

SECONDS = 0.1


class Held:
    """A LeaderWait, and the numbers of the calls that went on."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.driver = TimedDriver()
        self.wait = LeaderWait(cast(CoreDriver, self.driver), seconds)
        self.gone: list[int] = []

    def hold(self, number: int, size_bytes: int = 10) -> bool:
        return self.wait.hold(size_bytes, lambda: self.gone.append(number))


def test_calls_go_on_in_order_when_the_next_leader_is_known() -> None:
    held = Held()
    assert not held.hold(0), "there is a leader: the node itself refuses"
    held.driver.event(seeks=True)
    assert all(held.hold(number) for number in (1, 2, 3))
    assert (len(held.wait), held.wait.bytes) == (3, 30)
    held.driver.event(seeks=True)  # a pre-vote, a vote: the search goes on
    assert held.gone == []
    held.driver.event(seeks=False)
    assert held.gone == [1, 2, 3]
    assert (len(held.wait), held.wait.bytes) == (0, 0)


def test_nothing_is_held_longer_than_a_moment_after_the_loss() -> None:
    """While there is no majority callers hear at once that nothing was done. Were each call held,
    one whose deadline passes could never say so.
    """
    held = Held()
    held.driver.event(seeks=True)
    held.driver.clock.time += 0.75 * SECONDS
    assert held.hold(1)
    ((seconds, time_is_up),) = held.driver.timers
    assert 0 < seconds <= 0.25 * SECONDS + 1e-9
    held.driver.clock.time += seconds
    time_is_up()
    assert held.gone == [1]
    held.driver.event(seeks=True)  # one candidacy after the other
    assert not held.hold(2)
    held.driver.event(seeks=False)
    held.driver.event(seeks=True)
    assert held.hold(3), "another leader was lost"


def test_there_is_a_limit_on_what_is_held() -> None:
    held = Held()
    held.driver.event(seeks=True)
    assert held.hold(1, leader_wait.HELD_BYTES_MAX - 5)
    assert not held.hold(2, 6)
    assert held.hold(3, 5)
    held = Held()
    held.driver.event(seeks=True)
    assert all(held.hold(number, 0) for number in range(leader_wait.HELD_MAX))
    assert not held.hold(-1, 0)


def test_a_call_that_fails_the_node_leaves_none_behind() -> None:
    held = Held()
    held.driver.event(seeks=True)

    def fail() -> None:
        raise RuntimeError("a bug")

    assert held.wait.hold(0, fail)
    assert held.hold(1)
    held.wait.release()
    assert held.driver.stopped == "poisoned"
    assert held.gone == [1]
    assert not held.hold(2), "a node that has stopped holds nothing"


def test_without_a_time_nothing_is_held() -> None:
    held = Held(seconds=0.0)
    held.driver.event(seeks=True)
    assert not held.hold(1)


def test_a_node_that_stops_refuses_what_it_holds() -> None:
    """Its loop may never turn again: no timer would."""
    ends: list[Outcome] = []

    async def go() -> None:
        settings = NodeSettings(leader_wait_seconds=60.0)
        async with running(Diary(quick=True), MemoryFileSystem(), settings) as bench:
            clients = bench.node._clients
            clients._driver.leading = False
            clients._driver.core._s.link_lost = True
            clients._leader_wait._role_changed()
            bench.node.submit(plain(b"x"), ends.append)
            bench.node.query([b"y"], False, ends.append)
            assert (len(clients._leader_wait), clients.proposals()[0], ends) == (2, 2, [])
            bench.node.query([b"y"], True, ends.append)
            await bench.until(lambda: ends)
            assert isinstance(ends.pop(), Answered), "a stale read waits for nobody"

    asyncio.run(go())
    assert [type(end) for end in ends] == [Refused, Refused]
