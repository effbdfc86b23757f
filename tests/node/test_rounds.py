"""When the batches that wait become one append: none is left behind, and none waits for long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import cast

from raftd.node.driver import CoreDriver
from raftd.node.outcomes import Applied, Outcome, Refused, Unknown
from raftd.node.settings import NodeSettings
from raftd.node.turn_queue import ENOUGH_BYTES, Rounds
from tests.node.alone import Diary, plain, running
from tests.node.fakes import TimedDriver
from tests.storage.memory_fs import MemoryFileSystem

SECONDS = 0.005
TOOK = 0.002


class Sources:
    """Rounds, what waits for them, and what each of them took."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.driver = TimedDriver()
        self.rounds = Rounds(cast(CoreDriver, self.driver), seconds, self._begin)
        self.waiting: list[str] = []
        self.taken: list[str] = []
        self._answered: list[tuple[Callable[[int], None], int]] = []

    def _begin(self) -> None:
        taken, self.waiting = self.waiting, []
        self.taken.append("".join(taken))
        self._answered.append((self.rounds.began(len(taken)), len(taken)))

    def put(self, names: str, size_bytes: int = 10) -> None:
        """A batch of each of these sources, then the next turn of the loop."""
        for name in names:
            self.waiting.append(name)
            self.rounds.arrived(size_bytes)
        self.driver.turn()

    def answer(self, but: int = 0) -> None:
        """The oldest round is answered, but for so many, TOOK after it began; then a turn."""
        self.driver.clock.time += TOOK
        answered, left = self._answered.pop(0)
        for _ in range(left - but):
            answered(1)
        if but:
            self._answered.insert(0, (answered, but))
        self.driver.turn()

    def time_is_up(self) -> None:
        """All timers run; then the next turn."""
        timers, self.driver.timers = self.driver.timers, []
        for seconds, call in timers:
            assert seconds <= SECONDS
            call()
        self.driver.turn()


def test_one_source_alone_waits_for_nobody() -> None:
    sources = Sources()
    for _ in range(3):
        sources.put("a")
        assert sources.taken.pop() == "a"
        sources.answer()
    assert not sources.driver.timers


def test_what_comes_while_a_round_is_under_way_is_the_next_one() -> None:
    sources = Sources()
    sources.put("ab")
    sources.put("c")
    sources.put("d")
    assert sources.taken == ["ab"]
    sources.answer()
    assert sources.taken == ["ab"], "a and b are known: they may come at once"
    sources.put("a")
    assert sources.taken == ["ab"], "without b it would be a round less full, and b one of its own"
    sources.put("b")
    assert sources.taken == ["ab", "cdab"]


def test_those_just_answered_are_waited_for_no_longer_than_a_round_took() -> None:
    sources = Sources()
    sources.put("abc")
    sources.answer()
    sources.put("b")
    assert sources.taken == ["abc"]
    ((seconds, _),) = sources.driver.timers
    assert abs(seconds - TOOK) < 1e-9
    sources.time_is_up()
    assert sources.taken == ["abc", "b"]
    sources.answer()
    sources.put("b")
    assert sources.taken == ["abc", "b", "b"], "a and c have stayed away"


def test_whoever_comes_after_a_rest_waits_for_nobody() -> None:
    sources = Sources()
    sources.put("abc")
    sources.answer()
    sources.driver.clock.time += 1.0
    sources.put("a")
    assert sources.taken == ["abc", "a"]


def test_a_round_that_hangs_holds_up_nobody_for_long() -> None:
    """A leader without a majority answers nothing; callers hear of it by their own limits."""
    sources = Sources()
    sources.put("a")
    sources.answer()
    sources.put("a")
    for name in "bcd":
        sources.put(name)
        assert sources.waiting == [name]
        sources.time_is_up()
        assert sources.waiting == []
    assert sources.taken == ["a", "a", "b", "c", "d"]


def test_rounds_that_overlap_are_waited_for_as_long_as_the_last_one_took() -> None:
    """The story without it: their clock was read when none was under way, and that came never. So
    all waited as briefly as the first round after the start had taken, and they went on to overlap.
    """
    sources = Sources()
    sources.put("a")
    sources.answer()
    sources.put("a")
    sources.put("b")
    sources.time_is_up()
    assert sources.taken == ["a", "a", "b"]
    sources.driver.clock.time += 0.001
    sources.answer()
    sources.put("a")
    ((seconds, _),) = sources.driver.timers
    assert abs(seconds - TOOK - 0.001) < 1e-9, "b is under way, and the round before took longer"
    sources.answer()
    sources.put("b")
    assert sources.taken == ["a", "a", "b", "ab"]


def test_who_comes_again_before_the_last_one_is_answered_is_not_waited_for_twice() -> None:
    sources = Sources()
    sources.put("ab")
    sources.answer(but=1)
    sources.put("a")
    sources.answer()
    assert sources.taken == ["ab"]
    sources.put("b")
    assert sources.taken == ["ab", "ab"], "there are two sources, not three"


def test_one_that_asks_again_within_its_answer_waits_for_nobody() -> None:
    """What waits for its turn in the fair queue comes so. The story without it: each batch of bulk
    waited for another one like the one before it, and that was itself.
    """
    ends: list[Outcome] = []
    timers: list[float] = []

    async def go() -> None:
        settings = NodeSettings(gather_seconds=SECONDS)
        async with running(Diary(quick=True), MemoryFileSystem(), settings) as bench:
            await bench.submit(plain(b"x"))
            bench.node._driver.later = lambda seconds, call: timers.append(seconds)  # type: ignore[method-assign]

            def again(outcome: Outcome) -> None:
                ends.append(outcome)
                if len(ends) < 5:
                    bench.node.submit(plain(b"y"), again)

            bench.node.submit(plain(b"y"), again)
            await bench.until(lambda: len(ends) == 5)

    asyncio.run(go())
    assert not timers


def test_what_waits_when_the_node_stops_is_certainly_not_done() -> None:
    begun: list[Outcome] = []
    waiting: list[Outcome] = []

    async def go() -> None:
        diary, gate = Diary(), threading.Event()
        asyncio.get_running_loop().call_soon(gate.set)
        async with running(diary, MemoryFileSystem(), NodeSettings(gather_seconds=60.0)) as bench:
            node = bench.node
            diary.on = lambda what, detail: gate.wait(10) if what == "apply" else None  # type: ignore[assignment]
            await bench.submit(plain(b"x"))
            gate.clear()
            node.submit(plain(b"y"), begun.append)
            await bench.until(lambda: len(node._clients._waiters))
            node.submit(plain(b"z"), waiting.append)
            node._clients.stop("test")
            gate.set()

    asyncio.run(go())
    assert [type(end) for end in begun] == [Unknown]
    assert [type(end) for end in waiting] == [Refused]


def test_a_timer_of_an_earlier_round_ends_no_later_one_early() -> None:
    sources = Sources()
    sources.put("ab")
    sources.answer()
    sources.put("a")
    late = sources.driver.timers[0][1]
    sources.put("b")
    assert sources.taken == ["ab", "ab"]
    sources.put("c")
    late()
    sources.driver.turn()
    assert sources.waiting == ["c"]


def test_much_at_once_waits_for_nothing() -> None:
    sources = Sources()
    sources.put("a")
    sources.put("b", ENOUGH_BYTES)
    assert sources.taken == ["a", "b"]


def test_without_a_time_each_turn_of_the_loop_is_a_round() -> None:
    sources = Sources(seconds=0.0)
    for names in ("ab", "c", "d"):
        sources.put(names)
    assert sources.taken == ["ab", "c", "d"]
    assert not sources.driver.timers


def test_a_node_answers_all_that_its_rounds_hold() -> None:
    """Batches and reads of many turns, on a node whose rounds may wait."""
    ends: list[Outcome] = []
    reads: list[Outcome] = []

    async def go() -> None:
        settings = NodeSettings(gather_seconds=SECONDS)
        async with running(Diary(quick=True), MemoryFileSystem(), settings) as bench:
            for number in range(20):
                bench.node.submit(plain(b"%d" % number), ends.append)
                bench.node.query([b"q"], False, reads.append)
                if number % 3:
                    await asyncio.sleep(0)
            await bench.until(lambda: len(ends) == len(reads) == 20)

    asyncio.run(go())
    assert all(isinstance(end, Applied) for end in ends)
    assert [end.index for end in ends if isinstance(end, Applied)] == sorted(
        end.index for end in ends if isinstance(end, Applied)
    )
