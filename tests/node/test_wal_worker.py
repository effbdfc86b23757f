"""One queue, one order, and `persisted` only after the sync that covers it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from raftd.core.types import Write
from raftd.node.disk_pace import PAUSE_SECONDS_MIN, SYNC_SECONDS_MAX, WEIGHT
from tests.node.wal_bench import Bench, NoSpace, make, until

__all__ = ["make"]


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


def test_the_network_thread_waits_for_a_quick_write(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftd.node.wal_worker.WAIT_SECONDS_MAX", 10)
    bench = make()
    bench.start()
    for seq in range(1, 50):
        bench.put(seq, inline=True)
        assert bench.durable[-1] == seq
    assert bench.posted.calls == []
    assert bench.log.threads == {"raft-wal"}


def test_a_sync_that_hangs_does_not_hold_up_the_network_thread(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.start()
    bench.log.gate.clear()
    bench.put(1, inline=True)  # either would wait for the gate for ever
    bench.put(2, inline=True)
    assert bench.durable == []
    bench.log.gate.set()
    bench.posted.wait(2)
    bench.posted.run()
    assert bench.durable == [1, 2]
    assert bench.log.committed == [1, 2]


def test_an_end_that_comes_just_late_is_not_lost(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write is reported once, here or through the loop, whichever way it just went."""
    monkeypatch.setattr("raftd.node.wal_worker.WAIT_SECONDS_MAX", 0.00005)
    bench = make()
    bench.start()
    for seq in range(1, 300):
        bench.put(seq, inline=True)
    until(lambda: bench.log.committed[-1:] == [299])
    bench.wal.stop()
    assert bench.wal.worker.join(10)
    bench.posted.run()
    assert sorted(bench.durable) == [batch[-1] for batch in bench.log.batches]


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
    bench.start()
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
    assert bench.durable == [1]
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
    bench.start()
    bench.put(1, inline=True)
    bench.put(2, inline=True)
    assert bench.durable == []
    until(lambda: bench.wal.no_space)
    until(lambda: "raft-wal" in waited_on)
    bench.roomy.set()
    bench.posted.wait(1)
    bench.posted.run()
    assert waited_on == {"raft-wal"}
    until(lambda: bench.log.committed == [1, 2])
    bench.posted.run()
    assert bench.durable[-1] == 2
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
    until(lambda: bench.wal.no_space)
    bench.wal.stop()
    assert bench.wal.worker.join(10)
    assert bench.posted.calls == []
    assert not bench.fatal.reports


def test_idle_marks_once_after_the_last_write(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.start()
    bench.put(1)
    bench.posted.wait(1)
    bench.clock.time += 1.0
    until(lambda: bench.log.idles == 1)
    bench.put(2, inline=True)
    bench.clock.time += 1.0
    until(lambda: bench.log.idles == 2)


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
    until(lambda: bench.log.released == [7])
    assert bench.log.committed == [1]
