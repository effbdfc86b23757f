"""A disk that is full or hangs: others go on asking, and what waits for it stays bounded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raftd.core import snapshots
from raftd.core.effects import BrokenInvariant, Effects
from raftd.core.log import RaftLog
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    HelloReply,
    HelloRequest,
    NotAdmitted,
    Request,
    VoteReply,
    VoteRequest,
)
from raftd.core.state import HELD_MAX, HELD_VOTES_MAX, UNSYNCED_MAX
from raftd.core.types import Entry, EntryType, Identity
from tests.core.commands import Script


def test_replies_that_wait_for_the_disk_are_bounded() -> None:
    env = Script()
    for line in ("cluster 3", "boot"):
        env.run(line)
    core = env.nodes["n1"].core
    term = core.current_term + 1
    replies: list[object] = []
    seqs: list[int] = []

    def heartbeat(number: int) -> Effects:
        request = AppendRequest(term, "n2", 0, 0, (), 0, number=number)
        effects = core.step(request, env.now, number)
        replies.extend(reply for _, reply in effects.replies)
        seqs.extend(write.seq for write in effects.persist)
        return effects

    for number in range(3 * HELD_MAX):
        heartbeat(number)
    assert seqs, "a new term has to be written, and was not yet"
    assert len(replies) == 2 * HELD_MAX
    assert all(isinstance(reply, NotAdmitted) for reply in replies)
    released = core.persisted(seqs[-1], env.now).replies
    assert len(released) == HELD_MAX
    assert all(isinstance(reply, AppendReply) and reply.ok for _, reply in released)


def test_only_what_was_written_becomes_durable() -> None:
    env = Script()
    for line in ("cluster 3", "boot"):
        env.run(line)
    core = env.nodes["n1"].core
    last = core._s.next_seq - 1
    core.persisted(last, env.now)
    with pytest.raises(BrokenInvariant, match="only what was written becomes durable"):
        core.persisted(last + 1, env.now)


def test_durable_is_never_more_than_there_is() -> None:
    log = RaftLog(0, 0, ())
    log.append((Entry(1, 1, EntryType.NOOP, b""), Entry(2, 1, EntryType.NOOP, b"")), 1)
    log._entries.pop()
    with pytest.raises(BrokenInvariant, match="durable is never more than there is"):
        log.persisted(1)


def _vote(number: int) -> Request:
    return VoteRequest(3, "n2", 0, 0, number=number)


def _prevote(number: int) -> Request:
    return VoteRequest(4, "n2", 0, 0, pre=True, number=number)


def _hello(number: int) -> Request:
    return HelloRequest(Identity("c" * 16, "n2", "i-n2"), (), number=number)


@pytest.mark.parametrize("ask", [_vote, _prevote, _hello])
def test_votes_and_hellos_that_wait_for_the_disk_are_bounded(ask: Callable[[int], Request]) -> None:
    """They have room of their own, so that appends do not starve them, and that has an end, too."""
    env = Script()
    for line in ("cluster 3", "boot"):
        env.run(line)
    core = env.nodes["n1"].core
    seq = core.step(VoteRequest(3, "n3", 0, 0), env.now, "n3").persist[-1].seq
    for number in range(HELD_MAX):
        core.step(AppendRequest(3, "n3", 0, 0, (), 0, number=number), env.now, "append")
    refused = [
        reply
        for number in range(2 * HELD_VOTES_MAX)
        for _, reply in core.step(ask(number), env.now, "vote").replies
    ]
    assert all(isinstance(reply, NotAdmitted) for reply in refused)
    assert len(refused) >= HELD_VOTES_MAX
    released = core.persisted(seq, env.now).replies
    votes = [reply for token, reply in released if token == "vote"]
    assert len(votes) + len(refused) == 2 * HELD_VOTES_MAX
    assert votes
    assert all(isinstance(reply, VoteReply | HelloReply) for reply in votes)


def test_new_terms_do_not_fill_the_queue_of_a_disk_that_hangs() -> None:
    env = Script()
    for line in ("cluster 3", "boot"):
        env.run(line)
    core = env.nodes["n1"].core
    writes = 0
    for term in range(3, 3 + UNSYNCED_MAX + 100):
        writes += len(core.step(VoteRequest(term, "n2", 0, 0), env.now, "vote").persist)
    assert writes <= UNSYNCED_MAX + 1
    core.step(AppendRequest(core.current_term, "n3", 0, 0, (), 0), env.now, "append")
    assert core.leader_id == "n3", "a heartbeat is heard all the same"


def test_the_log_is_held_back_for_a_follower_only_as_far_as_the_disk_has_room() -> None:
    """One full disk must not fill the others."""
    env = Script()
    lines = "cluster 3", "boot", "campaign n1", "stabilize n1 n2 quietly", "propose n1 a"
    for line in lines:
        env.run(line)
    core = env.nodes["n1"].core
    state = core._s
    assert state.leadership is not None
    assert state.log.bytes > 0
    state.leadership.progress["n3"].to_snapshot(state.snapshot, env.now, 1.0)
    assert snapshots.pinned_index(state, env.now) == state.snapshot.index
    core.limit_pin(state.log.bytes)
    assert snapshots.pinned_index(state, env.now) == state.snapshot.index
    core.limit_pin(state.log.bytes - 1)
    assert snapshots.pinned_index(state, env.now) is None
