"""Callers who are turned away are counted, and told of while it goes on."""

from __future__ import annotations

from raftd.node.outcomes import Refusal, Refused
from raftd.node.overload import TOLD_SECONDS, Overload
from tests.node.fakes import FakeClock

FULL = Refused(Refusal.OVERLOADED, "pending_batches_max (3) is reached: try again later")


def test_only_those_for_want_of_room_and_only_lately() -> None:
    clock = FakeClock()
    overload = Overload(clock)
    assert overload.note(Refused(Refusal.NOT_LEADER, "not the leader")).message == "not the leader"
    assert list(overload.ailments()) == []
    for _ in range(3):
        assert overload.note(FULL) is FULL
        clock.time += 1.0
    (told,) = overload.ailments()
    assert told.text.startswith("overloaded: 3 requests were turned away in the last 3 s: pending_")
    assert (told.unready, told.unfit) == (False, False)
    clock.time += TOLD_SECONDS
    assert list(overload.ailments()) == []
    overload.note(FULL)
    assert "1 requests" in next(overload.ailments()).text
