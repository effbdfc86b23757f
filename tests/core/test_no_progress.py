"""What is sent again and again without progress: less and less often, and never for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raftd.core.effects import BrokenInvariant, ImpossibleMessage
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Channel,
    SnapshotReply,
    SnapshotRequest,
    TimeoutNowReply,
    TimeoutNowRequest,
)
from raftd.core.types import Settings, SnapshotMeta
from tests.core.leading import CHUNK, CONFIGURATION, Leader


def test_a_refused_snapshot_gives_way_to_a_newer_one_at_once() -> None:
    n1 = Leader()
    old = n1.behind()
    n1.a_pass()
    assert n1.suspects == [old], "whoever wrote that file must look at it"
    n1.propose(1)
    new = n1.snapshot()
    sent = n1.chunk()
    assert sent is not None
    assert (sent.meta, sent.offset) == (new, 0)
    assert n1.core.snapshots_in_use() == (new,)


def test_the_next_snapshot_is_sent_when_the_older_one_is_refused() -> None:
    """It was taken while the older one was on its way."""
    n1 = Leader()
    n1.behind()
    sent = n1.chunk()
    n1.propose(1)
    new = n1.snapshot()
    assert sent is not None
    n1.stored(sent, 0)
    again = n1.chunk()
    assert again is not None
    assert again.meta == new


def test_a_transfer_that_gets_further_is_not_given_up_for_a_newer_snapshot() -> None:
    n1 = Leader()
    old = n1.behind()
    sent = n1.chunk()
    n1.propose(1)
    n1.snapshot()
    assert sent is not None
    n1.stored(sent, CHUNK)
    again = n1.chunk()
    assert again is not None
    assert (again.meta, again.offset) == (old, CHUNK)


def test_the_same_snapshot_is_tried_less_and_less_often() -> None:
    n1 = Leader()
    n1.behind()
    passes = 0
    began = n1.now
    while n1.now - began < 120:
        n1.turn(0.05)
        sent = n1.chunk()
        if sent is not None:
            end = min(sent.offset + CHUNK, sent.meta.size_bytes)
            passes += end == sent.meta.size_bytes
            n1.stored(sent, end if end < sent.meta.size_bytes else 0)
    assert 8 <= passes <= 16


@pytest.mark.parametrize("resumes_at", [0, 2 * CHUNK])
def test_a_follower_without_room_is_asked_again_soon_and_with_a_few_bytes(resumes_at: int) -> None:
    """It refuses the first chunk, or the one after those that it kept. The story without it: a disk
    that has room again was level 40 s later. A whole pass in vain is another matter.
    """
    n1 = Leader()
    n1.behind()
    pauses: list[float] = []
    sent = n1.chunk()
    if resumes_at and sent is not None:
        n1.stored(sent, resumes_at)
        sent = n1.chunk()
    for _ in range(8):
        assert sent is not None
        n1.stored(sent, 0)
        refused_at = n1.now
        sent = n1.wait_for_chunk(30.0)
        assert sent is not None
        pauses.append(n1.now - refused_at)
        assert (sent.offset, sent.probes) == (0, True)
        if resumes_at:
            n1.stored(sent, resumes_at)
            sent = n1.chunk()
            assert sent is not None
            assert (sent.offset, sent.probes) == (resumes_at, False)
    pause = Settings().election_timeout_min
    assert pause <= min(pauses)
    assert max(pauses) <= 2 * pause + 0.1


def test_the_pin_moves_with_progress_only() -> None:
    """Passes over a file that is refused each time hold the log for pin_seconds_max at most."""
    n1 = Leader(pin_seconds_max=20.0)
    first = n1.behind()
    began = n1.now
    while n1.now - began < 60:
        n1.turn(0.1)
        n1.propose(1)
        while (sent := n1.chunk()) is not None:
            end = min(sent.offset + CHUNK, sent.meta.size_bytes)
            n1.stored(sent, end if end < sent.meta.size_bytes else 0)
            if n1.sent[-1] != first:
                break
    # A newer snapshot is refused as well: being sent is no progress either.
    for _ in range(3):
        n1.snapshot()
        n1.turn(0.1)
        n1.chunk()
        n1.propose(20)
    n1.snapshot()
    n1.turn(0.1)
    state = n1.core.state(n1.now)
    assert state.first_index >= state.snapshot_index - 5


def test_a_snapshot_that_is_known_to_be_rotten_is_not_sent() -> None:
    n1 = Leader()
    old = n1.behind()
    effects = n1.do(n1.core.snapshot_is_rotten(old, "its checksum is wrong", n1.now))
    assert [event.kind for event in effects.events] == ["snapshot_rotten"]
    assert n1.wait_for_chunk(3.0) is None
    n1.propose(1)
    new = n1.snapshot()
    sent = n1.wait_for_chunk(0.2)
    assert sent is not None
    assert sent.meta == new


@pytest.mark.parametrize("crc", [0, 77], ids=["the same bytes", "other bytes"])
def test_a_rotten_snapshot_is_replaced_when_nothing_is_new(crc: int) -> None:
    """Taken once more of the same state: byte by byte the same, or with another checksum."""
    n1 = Leader()
    old = n1.behind()
    n1.a_pass()
    n1.do(n1.core.snapshot_is_rotten(old, "its checksum is wrong", n1.now))
    again = n1.snapshot(crc)
    assert n1.core.snapshot == again
    sent = n1.wait_for_chunk(0.2)
    assert sent is not None
    assert sent.meta == again


def test_only_a_rotten_snapshot_is_replaced_by_one_of_the_same_index() -> None:
    n1 = Leader()
    old = n1.behind()
    n1.snapshot(crc=77)
    assert n1.core.snapshot == old
    stale = replace(old, index=old.index - 1)
    assert not n1.core.snapshot_is_rotten(stale, "gone", n1.now).events


def test_one_that_says_done_and_has_nothing_is_not_flooded() -> None:
    n1 = Leader()
    n1.behind()
    for _ in range(100):
        n1.turn(0.1)
        n1.propose(1)
        if (sent := n1.chunk()) is not None:
            n1.answer(
                "n3", sent, SnapshotReply(n1.term, sent.meta.size_bytes, True, 0, sent.number)
            )
        for asked in n1.owed("n3", Channel.APPEND):
            assert isinstance(asked, AppendRequest)
            n1.answer("n3", asked, AppendReply(n1.term, False, 0, 0, 1, asked.number))
    assert len(n1.sent) < 10


def test_appends_that_are_lost_while_heartbeats_are_answered_come_less_often() -> None:
    """Whatever refuses them below Raft will refuse them again."""
    n1 = Leader()
    lost = 0
    began = n1.now
    while n1.now - began < 60:
        n1.turn(0.025)
        for asked in n1.owed("n3", Channel.APPEND):
            lost += 1
            n1.do(n1.core.unreachable("n3", asked, n1.now))
    assert 20 < lost < 80


def test_appends_go_on_at_once_after_a_few_losses() -> None:
    n1 = Leader()
    for _ in range(3):
        (asked,) = n1.owed("n3", Channel.APPEND)
        n1.do(n1.core.unreachable("n3", asked, n1.now))
        assert n1.owed("n3", Channel.APPEND) == []
        n1.turn(0.11)  # a heartbeat is answered
    assert len(n1.owed("n3", Channel.APPEND)) == 1


@pytest.mark.parametrize("how", ["lost", "nobody is told", "answered, and nothing happens"])
def test_a_hand_over_is_asked_for_again(how: str) -> None:
    n1 = Leader()
    asked = 0
    n1.do(n1.core.transfer("n2", n1.now))
    began = n1.now
    while n1.now - began < 1.6:
        n1.now += 0.025
        n1.do(n1.core.tick(n1.now))
        for sent in n1.owed("n2", Channel.CONTROL):
            if isinstance(sent, TimeoutNowRequest):
                asked += 1
                if how == "lost":
                    n1.do(n1.core.unreachable("n2", sent, n1.now))
                elif how != "nobody is told":
                    n1.answer("n2", sent, TimeoutNowReply(n1.term, sent.number))
            elif isinstance(sent, AppendRequest):
                n1.answer("n2", sent, AppendReply(n1.term, True, 0, number=sent.number))
    assert 6 <= asked <= 8  # once a heartbeat, for an election timeout
    n1.do(n1.core.propose([b"given up: proposals are taken again"], n1.now))


def test_a_chunk_beyond_the_announced_size_is_refused() -> None:
    n3 = Leader().core
    meta = SnapshotMeta(900, 9, CONFIGURATION, 10, 1)
    request = SnapshotRequest(9, "n2", meta, 4, b"1234567", number=5)
    effects = n3.step(request, 9.0, "token")
    assert not effects.chunks
    assert "sent bytes up to 11 of a snapshot of 10" in effects.events[-1].detail
    released = n3.persisted(effects.persist[-1].seq, 9.0).replies
    assert released == [("token", SnapshotReply(9, 0, False, 0, 5))]


def test_one_leader_a_term_also_after_it_was_lost_sight_of() -> None:
    core = Leader().core
    heartbeat = AppendRequest(9, "n2", 0, 0, (), 0)
    core.step(heartbeat, 9.0, "token")
    core.link_lost("n2", 9.0)
    core.tick(9.05)
    assert core.leader_id is None
    with pytest.raises(ImpossibleMessage, match="two leaders in term 9: n2 and n3"):
        core.step(replace(heartbeat, leader="n3"), 9.1, "token")


def test_commit_never_goes_past_what_a_majority_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever went wrong where it was counted."""
    n1 = Leader()
    monkeypatch.setattr(
        "raftd.core.types.Configuration.reached_by_majority", lambda self, match: match("n1")
    )
    effects = n1.core.propose([b"x"], n1.now)
    with pytest.raises(BrokenInvariant, match="commit never past what a majority holds: entry 2"):
        n1.core.persisted(effects.persist[-1].seq, n1.now)
