"""A full disk: nothing follows what was given up, and what may go, goes while a write waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raftd.core.types import Write
from raftd.node.wal_worker import SPENT
from tests.node.wal_bench import Bench, NoSpace, make, until

__all__ = ["make"]


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
    until(lambda: bench.wal.no_space)
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
        until(lambda: bench.wal.no_space)
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
        until(lambda seq=seq: seq in bench.log.committed)  # type: ignore[misc]
        bench.posted.run()
    assert told == [(SPENT, True)]
    assert bench.log.threads == {"raft-wal"}
    bench.log.roomy, bench.log.tight = True, False
    bench.clock.time += 1.0
    until(lambda: not bench.wal.no_space)
    bench.posted.run()
    assert told == [(SPENT, True), ("", False)]
