"""What is said again and again is told once, then once a minute, and never pushes out news."""

from __future__ import annotations

from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Role
from raftd.node.repeats import KINDS_MAX, REPEAT_SECONDS, Repeats


def campaign(term: int, detail: str = "election timeout") -> Event:
    return Event(EventKind.ROLE, term, Role.PRE_CANDIDATE, None, detail)


def test_an_hour_without_a_majority_is_a_line_a_minute() -> None:
    repeats = Repeats()
    told = [repeats.news(second / 3, campaign(second)) for second in range(3 * 3600)]
    lines = [untold for untold in told if untold is not None]
    assert len(lines) == 3600 / REPEAT_SECONDS
    assert lines[:2] == [0, 3 * REPEAT_SECONDS - 1], "those in between are counted"


def test_a_leader_that_loses_its_majority_says_so_and_then_a_line_a_minute() -> None:
    """The second campaign is like the first, though what the node was before it is not."""

    def role(now: Role, was: str, why: str) -> Event:
        return Event(EventKind.ROLE, 1, now, None, f"{was} -> {now.value}: {why}")

    repeats = Repeats()
    lost = role(Role.FOLLOWER, "leader", "no majority in contact for an election timeout")
    assert repeats.news(0.0, lost) == 0
    first = role(Role.PRE_CANDIDATE, "follower", "election timeout")
    again = role(Role.PRE_CANDIDATE, "pre-candidate", "election timeout")
    assert repeats.news(1.0, first) == 0
    told = [repeats.news(1.0 + second / 4, again) for second in range(1, 4 * 600 + 1)]
    assert told[0] is None, "it was a pre-candidate before, and is one again"
    lines = [untold for untold in told if untold is not None]
    assert lines == [REPEAT_SECONDS * 4 - 1] * int(600 / REPEAT_SECONDS)


def test_what_differs_is_told_at_once() -> None:
    repeats = Repeats()
    assert repeats.news(0.0, campaign(1)) == 0
    assert repeats.news(0.1, campaign(1, "the link to the leader broke")) == 0
    lost = Event(EventKind.PEER_LOST, 1, Role.LEADER, "n1", "has not answered for 1 s", "n2")
    assert repeats.news(0.2, lost) == 0
    assert (
        repeats.news(0.2, Event(EventKind.PEER_LOST, 1, Role.LEADER, "n1", lost.detail, "n3")) == 0
    )
    assert repeats.news(0.3, campaign(2)) is None


def test_a_leader_begins_another_story() -> None:
    repeats = Repeats()
    assert repeats.news(0.0, campaign(1)) == 0
    assert (
        repeats.news(1.0, Event(EventKind.LEADER, 2, Role.FOLLOWER, "n2", "n2 leads term 2")) == 0
    )
    assert repeats.news(2.0, campaign(2)) == 0


def test_the_memory_is_bounded() -> None:
    repeats = Repeats()
    for number in range(10 * KINDS_MAX):
        assert repeats.news(0.0, campaign(1, f"reason {number}")) == 0
    assert len(repeats._told) <= KINDS_MAX
