"""One queue, one order, and `persisted` only after the sync that covers it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from raftd.core.types import Write
from raftd.node.disk_pace import PAUSE_SECONDS_MIN, SYNC_SECONDS_MAX, WEIGHT
from raftd.node.wal_worker import SPENT, WalWorker
from tests.node.fakes import FakeClock, FakeLog, FatalNote, Posted


class NoSpace(Exception):
    retryable = True


class Bench:
    def __init__(self, inline: bool = True) -> None:
        self.clock = FakeClock()
        self.log = FakeLog(self.clock)
        self.fatal = FatalNote()
        self.posted = Posted()
        self.durable: list[int] = []
        self.roomy = threading.Event()
        self.wal = WalWorker(self.log, self.clock, self.fatal, self._persisted, self.posted, inline)
        self.started = False

    def _persisted(self, seq: int) -> None:
        assert seq in self.log.committed, f"write {seq} was called durable before its sync"
        self.durable.append(seq)

    def put(self, *seqs: int, inline: bool = False, release: int = 0) -> None:
        self.wal.put([Write(seq) for seq in seqs], release)
        self.wal.kick(inline)

    def start(self) -> None:
        self.started = True
        self.wal.worker.start()


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def build(inline: bool = True) -> Bench:
        made.append(Bench(inline))
        return made[-1]

    yield build
    for bench in made:
        bench.log.gate.set()
        bench.wal.stop()
        assert not bench.started or bench.wal.worker.join(10)


def test_writes_that_gather_during_a_sync_share_the_next(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.log.gate.clear()
    bench.start()
    bench.put(1)
    assert bench.log.entered.wait(10)
    bench.put(2)
    bench.put(3)
    assert bench.durable == []
    bench.log.gate.set()
    bench.posted.wait(2)
    bench.posted.run()
    assert bench.log.batches == [[1], [2, 3]]
    assert bench.durable == [1, 3]


def test_nothing_is_durable_while_its_sync_runs(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.log.gate.clear()
    bench.start()
    bench.put(1)
    assert bench.log.entered.wait(10)
    bench.posted.run()
    assert bench.durable == []


def test_inline_writes_here_when_nothing_is_queued(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.start()
    bench.put(1, inline=True)
    assert bench.durable == [1]
    assert bench.log.threads == {"MainThread"}


def test_inline_never_overtakes_a_write_in_progress(make: Callable[..., Bench]) -> None:
    """A leader that steps down has writes on the thread; as a follower it must queue behind
    them.
    """
    bench = make()
    bench.log.gate.clear()
    bench.start()
    bench.put(1)
    assert bench.log.entered.wait(10)
    bench.put(2, inline=True)
    assert bench.durable == []
    bench.log.gate.set()
    bench.posted.wait(2)
    bench.posted.run()
    assert bench.log.committed == [1, 2]
    assert bench.log.threads == {"raft-wal"}


def test_inline_takes_what_was_queued_before_it(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.wal.put([Write(1)], 0)
    bench.put(2, inline=True)
    assert bench.log.batches == [[1, 2]]
    assert bench.durable == [2]


def test_a_slow_sync_ends_inline_writing_for_a_while(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.start()
    bench.log.sync_seconds = SYNC_SECONDS_MAX / WEIGHT * 1.1
    bench.put(1, inline=True)
    bench.put(2, inline=True)
    bench.posted.wait(1)
    assert bench.log.threads == {"MainThread", "raft-wal"}
    bench.log.sync_seconds = 0.0
    bench.clock.time += PAUSE_SECONDS_MIN * 2 + 1
    bench.posted.run()
    bench.put(3, inline=True)
    assert bench.durable == [1, 2, 3]


def test_a_failed_sync_is_fatal_and_never_tried_again(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.log.error = OSError(5, "Input/output error")
    bench.start()
    bench.put(1)
    assert bench.fatal.reported.wait(10)
    assert bench.log.committed == []
    assert bench.posted.calls == []


def test_no_space_is_waited_out_and_then_written(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftd.node.wal_worker.NO_SPACE_RETRY_SECONDS", 0.001)

    bench = make()
    bench.log.error = NoSpace("no room for the next segment")
    bench.start()
    bench.put(1)
    bench.posted.wait(1)
    bench.posted.run()
    assert bench.durable == [1]
    assert not bench.wal.no_space


def test_no_space_is_never_waited_out_on_the_network_thread(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower with a full disk still answers: the thread waits, and then writes, in order."""
    monkeypatch.setattr("raftd.node.wal_worker.NO_SPACE_RETRY_SECONDS", 0.001)
    waited_on: set[str] = set()

    bench = make()
    wait = bench.wal._wait_for_space

    def waiting() -> None:
        waited_on.add(threading.current_thread().name)
        bench.log.error = None if bench.roomy.is_set() else NoSpace("still no room")
        wait()

    monkeypatch.setattr(bench.wal, "_wait_for_space", waiting)
    bench.log.error = NoSpace("no room for the next segment")
    bench.put(1, inline=True)
    assert bench.wal.no_space
    assert bench.durable == []
    bench.log.error = NoSpace("no room for the next segment")
    bench.put(2, inline=True)
    bench.log.error = NoSpace("no room for the next segment")
    bench.start()
    _until(lambda: "raft-wal" in waited_on)
    bench.roomy.set()
    bench.posted.wait(1)
    bench.posted.run()
    assert waited_on == {"raft-wal"}
    assert bench.log.committed == [1, 2]
    assert bench.durable == [2]
    assert not bench.wal.no_space


def test_no_space_does_not_hold_up_the_end(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftd.node.wal_worker.NO_SPACE_RETRY_SECONDS", 0.001)

    def commit(writes: list[Write]) -> None:
        raise NoSpace("no room, for ever")

    bench = make()
    monkeypatch.setattr(bench.log, "commit", commit)
    bench.start()
    bench.put(1)
    _until(lambda: bench.wal.no_space)
    bench.wal.stop()
    assert bench.wal.worker.join(10)
    assert bench.posted.calls == []
    assert not bench.fatal.reports


def test_after_a_write_was_given_up_nothing_follows(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small write fits where a large one did not; it would stand on entries that are not there.

    Queued before the stop or after it, for the thread or inline.
    """
    bench = make()
    commit = bench.log.commit

    def small_ones_fit(writes: list[Write]) -> None:
        if writes[0].seq == 2:
            raise NoSpace("no room for the next segment")
        commit(writes)

    monkeypatch.setattr(bench.log, "commit", small_ones_fit)
    bench.start()
    bench.put(1)
    bench.posted.wait(1)
    bench.put(2)
    _until(lambda: bench.wal.no_space)
    bench.put(3)
    bench.wal.stop()
    assert bench.wal.worker.join(10)
    bench.put(4)
    bench.put(5, inline=True)
    bench.posted.run()
    assert bench.log.committed == [1]
    assert bench.durable == [1]
    assert not bench.fatal.reports


@pytest.mark.parametrize("together", [True, False])
def test_a_release_is_carried_out_while_a_write_waits_for_room(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    bench = make()
    commit = bench.log.commit

    def after_a_release(writes: list[Write]) -> None:
        if not bench.log.released:
            raise NoSpace("no room for the next segment")
        commit(writes)

    monkeypatch.setattr("raftd.node.wal_worker.NO_SPACE_RETRY_SECONDS", 60.0)
    monkeypatch.setattr(bench.log, "commit", after_a_release)
    bench.start()
    if together:
        bench.put(1, release=7)
    else:
        bench.put(1)
        _until(lambda: bench.wal.no_space)
        bench.put(release=7)
    bench.posted.wait(1)
    bench.posted.run()
    assert bench.durable == [1]
    assert set(bench.log.released) == {7}
    assert not bench.wal.no_space


def test_a_full_disk_is_told_once_and_so_is_its_end(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept back is in use: writes go on, but on a full disk until that is over."""
    monkeypatch.setattr("raftd.node.wal_worker.NO_SPACE_RETRY_SECONDS", 0.001)
    monkeypatch.setattr("raftd.node.wal_worker.IDLE_SECONDS", 0.001)
    bench = make()
    told: list[tuple[str, bool]] = []
    bench.wal._room_changed = lambda lacking, tight: told.append((lacking, tight))
    bench.log.spent, bench.log.tight, bench.log.roomy = True, True, False
    bench.start()
    for seq in range(1, 4):
        bench.put(seq, inline=True)
        bench.clock.time += 1.0
        _until(lambda seq=seq: seq in bench.log.committed)  # type: ignore[misc]
        bench.posted.run()
    assert told == [(SPENT, True)]
    assert bench.log.threads == {"MainThread", "raft-wal"}
    bench.log.roomy, bench.log.tight = True, False
    bench.clock.time += 1.0
    _until(lambda: not bench.wal.no_space)
    bench.posted.run()
    assert told == [(SPENT, True), ("", False)]


def test_idle_marks_once_after_the_last_write(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.start()
    bench.put(1)
    bench.posted.wait(1)
    bench.clock.time += 1.0
    _until(lambda: bench.log.idles == 1)
    bench.put(2, inline=True)
    bench.clock.time += 1.0
    _until(lambda: bench.log.idles == 2)


def test_stop_writes_what_is_queued(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.log.gate.clear()
    bench.start()
    bench.put(1)
    assert bench.log.entered.wait(10)
    bench.put(2, 3)
    bench.wal.stop()
    bench.log.gate.set()
    assert bench.wal.worker.join(10)
    assert bench.log.committed == [1, 2, 3]


def test_release_goes_to_the_log_after_the_writes(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.start()
    bench.put(1, release=7)
    _until(lambda: bench.log.released == [7])
    assert bench.log.committed == [1]


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("waited 10 s in vain")
