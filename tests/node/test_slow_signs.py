"""What takes too long makes a line with figures: at once, and then one a minute while it lasts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.messages import AppendRequest
from raftd.core.types import Role, Write
from raftd.node import wellbeing
from raftd.node.measures import Measures, SlowLimits
from raftd.node.settings import NodeSettings
from raftd.node.slow_signs import AGAIN_SECONDS, SlowSigns
from tests.h2.peers import run
from tests.node.alone import Bench, Diary, plain, running
from tests.node.fakes import FakeClock
from tests.storage.memory_fs import MemoryFileSystem

SLOW = 0.03
SETTINGS = replace(NodeSettings(), slow_sync_seconds=SLOW, slow_apply_seconds=SLOW)


class Told:
    """In the place of the driver."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def event(self, kind: EventKind, text: str) -> Event:
        return Event(kind, 1, Role.FOLLOWER, "n1", text)

    def tell(self, events: list[Event]) -> None:
        self.lines += [f"{event.kind}: {event.detail}" for event in events]


def test_one_line_a_minute_with_the_number_of_those_between() -> None:
    told: Any = Told()
    measures = Measures(FakeClock(), SlowLimits(sync=0.25))
    signs = SlowSigns(told, measures)

    def said(now: float) -> list[str]:
        signs.look(now)
        lines: list[str] = list(told.lines)
        told.lines.clear()
        return lines

    measures.synced(0.2)
    assert not said(0.0)
    measures.synced(0.3)
    assert said(1.0) == ["slow_sync: a write to the log and its sync took 300 ms (limit 250 ms)"]
    for seconds in (0.4, 0.9, 0.25):
        measures.synced(seconds)
    assert not said(1.0 + AGAIN_SECONDS - 0.1)
    assert said(1.0 + AGAIN_SECONDS) == [
        "slow_sync: a write to the log and its sync took 900 ms (limit 250 ms)"
        "; 2 more since the last such line, none longer"
    ]
    assert not said(1.0 + 5 * AGAIN_SECONDS)
    measures.synced(0.3)
    measures.synced(0.3)
    assert said(2.0 + 5 * AGAIN_SECONDS) == [
        "slow_sync: a write to the log and its sync took 300 ms (limit 250 ms); 1 more, none longer"
    ]
    assert measures.slow_syncs.total == 6
    assert sum(measures.syncs.counts) == 7


def test_a_leader_that_was_silent_is_late_and_a_new_one_is_not() -> None:
    told: Any = Told()
    clock = FakeClock()
    measures = Measures(clock, SlowLimits(heartbeat=0.3))

    def heard(leader: str, term: int, after: float) -> int:
        clock.time += after
        measures.heard(AppendRequest(term, leader, 0, 0, (), 0))
        return measures.late_heartbeats.total

    assert heard("n2", 1, 50.0) == 0
    assert heard("n2", 1, 0.1) == 0
    assert heard("n2", 1, 0.4) == 1
    assert heard("n3", 2, 9.0) == 1
    assert heard("n2", 1, 0.2) == 1
    assert heard("n3", 2, 0.2) == 2  # the old leader's message was no word of the new one
    SlowSigns(told, measures).look(0.0)
    assert told.lines == [
        "late_heartbeat: nothing was heard of leader n2 for 400 ms: it, the network or this "
        "machine is slow (limit 300 ms); 1 more, none longer"
    ]


def details(bench: Bench, kind: str) -> list[str]:
    return [event.detail for _, _, event in bench.node._events._ring if event.kind == kind]


@pytest.mark.parametrize("quick", [False, True])
def test_a_slow_command_is_said_by_its_index(quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wellbeing, "LOOK_SECONDS", 0.01)

    async def go() -> None:
        diary = Diary(quick)
        async with running(diary, MemoryFileSystem(), SETTINGS) as bench:
            await bench.submit(plain(b"x"))
            diary.on = lambda what, detail: time.sleep(2 * SLOW) if what == "apply" else None
            index = (await bench.submit(plain(b"slow"))).index
            await bench.until(lambda: details(bench, "slow_apply"))
            await bench.submit(plain(b"slow"))
            [line] = details(bench, "slow_apply")
            assert f"entry {index} (" in line
            assert "(limit 30 ms)" in line
            assert bench.node.measures.slow_applies.total == 2

    run(go())


def test_a_slow_sync_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wellbeing, "LOOK_SECONDS", 0.01)

    async def go() -> None:
        async with running(Diary(), MemoryFileSystem(), SETTINGS) as bench:
            log: Any = bench.node._log
            commit = log.commit

            def slowly(writes: list[Write]) -> None:
                time.sleep(2 * SLOW)
                commit(writes)

            monkeypatch.setattr(log, "commit", slowly)
            await bench.submit(plain(b"x"))
            await bench.until(lambda: details(bench, "slow_sync"))
            await bench.submit(plain(b"y"))
            assert len(details(bench, "slow_sync")) == 1
            assert bench.node.measures.slow_syncs.total >= 2

    run(go())
