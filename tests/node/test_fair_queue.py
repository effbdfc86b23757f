"""Who enters the log next, by a clock that the test turns and a log that the test answers."""

from __future__ import annotations

import asyncio

import pytest

from raftd.node.fair_queue import LIGHT_SECONDS, REST_SECONDS, FairQueue
from raftd.node.outcomes import Done, Outcome, Refusal, Refused
from raftd.node.settings import NodeSettings
from raftd.wire.batch import encode_batch
from raftd.wire.session_id import INDEX, NONCE_BYTES
from tests.node.alone import Diary, running
from tests.storage.memory_fs import MemoryFileSystem

OVER = Refused(Refusal.UNAVAILABLE, "over")
HEAD = len(encode_batch(b"", 0, [(0, b"")]))
LIGHT, BULK = 100, 300


class Log:
    """What entered, in order, and who waits. Sizes are of whole batches."""

    def __init__(self) -> None:
        self.now = 50.0
        self.entered: list[str] = []
        self.dones: list[Done] = []
        self.answered: list[str] = []
        settings = NodeSettings(light_bytes=LIGHT, bulk_bytes_max=BULK)
        self.queue = FairQueue(settings, lambda: self.now, self._go)

    def _go(self, batch: bytes, done: Done, principal: bytes) -> None:
        self.entered.append(principal.decode())
        self.dones.append(done)

    def put(self, source: str, name: str, size: int) -> None:
        """source: empty: without a session."""
        session = source.encode().ljust(NONCE_BYTES, b"-") + INDEX.pack(1) if source else b""
        batch = encode_batch(session, 0, [(1 if source else 0, bytes(size - HEAD))])
        assert len(batch) == size

        def done(outcome: Outcome) -> None:
            self.answered.append(name)

        self.queue.put(batch, done, name.encode())

    def answer(self) -> None:
        """To the oldest that entered."""
        self.dones.pop(0)(OVER)

    def drain(self) -> None:
        while self.dones:
            self.answer()


def test_alone_everything_enters_at_once() -> None:
    log = Log()
    for number in range(5):
        log.put("a", f"a{number}", 200)
    assert len(log.entered) == 5
    assert not len(log.queue)
    log.drain()
    assert log.answered == log.entered
    assert not log.queue._sources


def test_a_light_one_passes_what_waits_and_bulk_takes_turns_by_bytes() -> None:
    log = Log()
    log.put("l", "light", 90)
    for number in range(3):
        log.put("a", f"a{number}", 200)
        log.put("b", f"b{number}", 100 + 1)
    assert log.entered == ["light"]  # bulk rests while that is unanswered
    log.put("l2", "light too", 90)
    assert log.entered == ["light", "light too"]
    log.answer()
    log.answer()
    assert log.entered[2:] == ["b0"]  # the next has 200 bytes: 301 in all
    log.drain()
    assert log.entered[2:] == ["b0", "a0", "b1", "b2", "a1", "a2"]
    assert log.answered == log.entered
    assert (len(log.queue), log.queue.bytes, log.queue._sources) == (0, 0, {})


def test_bulk_that_begins_small_is_not_alone_by_that() -> None:
    """The story without it: it is the latest light source, and all that follows enters at once."""
    log = Log()
    log.put("l", "light", 90)
    log.put("a", "small", 60)
    for number in range(5):
        log.put("a", f"a{number}", 250)
    assert log.entered == ["light", "small"]
    log.put("l", "light again", 90)
    log.drain()
    assert log.answered[:3] == ["light", "small", "light again"]


def test_batches_of_one_source_never_overtake_each_other() -> None:
    log = Log()
    log.put("l", "light", 90)
    log.put("a", "a0", 200)
    log.put("a", "a1", 60)  # small, but it comes after
    log.put("", "plain", 60)
    assert log.entered == ["light", "plain"]
    log.drain()
    assert log.entered[2:] == ["a0", "a1"]


def test_light_ones_that_never_pause_do_not_starve_bulk() -> None:
    log = Log()
    log.put("l", "l", 90)
    log.put("a", "a", 200)
    log.put("a", "a", 200)
    entered = 0
    for _ in range(100):
        log.now += REST_SECONDS / 10
        log.put(f"l{_}", "l", 90)
        log.answer()
        entered = log.entered.count("a")
    assert entered == 2


def test_bulk_waits_for_nobody_once_the_light_ones_are_gone() -> None:
    log = Log()
    log.put("l", "l", 90)
    log.answer()
    log.put("a", "a", 200)
    log.put("a", "a", 200)
    log.put("b", "b", 200)
    assert len(log.queue) == 2
    log.now += LIGHT_SECONDS
    log.answer()
    assert not len(log.queue)


def test_a_single_batch_larger_than_the_share_enters_too() -> None:
    log = Log()
    log.put("l", "l", 90)
    log.put("a", "a", BULK * 2)
    log.answer()
    assert log.entered == ["l", "a"]


@pytest.mark.parametrize("size", [60, 400])
def test_plain_batches_wait_for_nobody(size: int) -> None:
    log = Log()
    log.put("l", "l", 90)
    log.put("", "p", size)
    log.put("", "p", size)
    assert log.entered == ["l", "p", "p"]


def test_whoever_waits_is_handed_out_once_to_be_refused() -> None:
    log = Log()
    log.put("l", "l", 90)
    log.put("a", "a0", 200)
    log.put("b", "b0", 200)
    dones = log.queue.everybody()
    for done in dones:
        done(OVER)
    assert log.answered == ["a0", "b0"]
    assert (len(log.queue), log.queue.bytes, log.queue.everybody()) == (0, 0, [])
    log.drain()
    assert log.answered == ["a0", "b0", "l"]
    assert not log.queue._sources


def test_plain_bulk_that_never_pauses_does_not_starve_a_sessions() -> None:
    """The story without it: large batches without a session, of callers in turn, always left more
    than the share in the log, so a session's bulk waited for as long as they came.
    """
    log = Log()
    log.put("l", "l", 90)
    log.put("", "p", BULK)
    log.put("a", "a", 200)
    for _ in range(20):
        log.now += REST_SECONDS / 4
        log.put("l", "l", 90)
        log.put("", "p", BULK)
        log.answer()
        log.answer()
    assert log.entered.count("a") == 1


def test_whoever_is_alone_but_for_those_that_wait_takes_turns_with_them() -> None:
    """The story without it: who had sent the latest light batch itself passed all that waited, and
    what it kept in the log kept them waiting.
    """
    log = Log()
    log.put("l", "l", 90)
    log.put("a", "a", 200)
    log.put("a", "a", 200)
    log.now += LIGHT_SECONDS / 2
    log.put("b", "b light", 60)
    log.now += LIGHT_SECONDS * 0.6
    for _ in range(10):
        log.put("b", "b", BULK)
    assert log.entered.count("b") <= 1
    log.answer()
    log.answer()
    assert "a" in log.entered


def test_what_waits_for_its_turn_counts_for_the_log_s_limit() -> None:
    """Seed 1008378: all of it entered a log that was full, when the light one was answered."""
    limit = 4 * BULK
    settings = NodeSettings(light_bytes=LIGHT, bulk_bytes_max=BULK, log_memory_limit_bytes=limit)

    def batch(source: str, size: int) -> bytes:
        session = source.encode().ljust(NONCE_BYTES, b"-") + INDEX.pack(1)
        return encode_batch(session, 0, [(1, bytes(size - HEAD))])

    async def go() -> None:
        async with running(Diary(), MemoryFileSystem(), settings) as bench:
            outcomes: list[Outcome] = []
            bench.node.submit(batch("light", LIGHT), outcomes.append)
            for _ in range(20):
                bench.node.submit(batch("bulk", BULK), outcomes.append)
            refused = [one.message for one in outcomes if isinstance(one, Refused)]
            assert len(refused) >= 15, "more was let in than the log has room for"
            assert all("log_memory_limit" in one for one in refused)

    asyncio.run(go())
