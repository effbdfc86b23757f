"""What `persisted` lets go: held replies, our own vote, a received snapshot, compaction."""

from __future__ import annotations

from raftd.core import election, leader, reads, roles, snapshots, voting
from raftd.core.effects import BrokenInvariant, Effects
from raftd.core.messages import Channel, VoteReply
from raftd.core.state import State
from raftd.core.types import WriteSeq


def persisted(s: State, fx: Effects, seq: WriteSeq, now: float) -> None:
    """Every write up to and including `seq` is durable: release what rests on them, in order."""
    if seq >= s.next_seq:
        raise BrokenInvariant(
            f"write {seq} is called durable, but {s.next_seq - 1} was the last one asked for: only "
            "what was written becomes durable"
        )
    before = s.durable_seq
    term_was_durable, could_vote = s.term_is_durable, s.may_vote
    s.durable_seq = max(before, seq)
    while s.unsynced and s.unsynced[0][0] <= seq:
        s.unsynced.popleft()
    s.log.persisted(seq)
    new_records = note_records_and_markers(s)
    release_held(s, fx, now)
    if not term_was_durable or not could_vote or new_records:
        s.wake_all(fx, Channel.CONTROL, Channel.APPEND)
    if s.may_vote and not could_vote:
        roles.arm_election(s, now)
    snapshots.marker_is_durable(s, fx, before, now)
    election.own_vote_is_durable(s, fx, now)
    if s.leadership is not None and leader.maybe_commit(s):
        reads.confirm(s, fx)


def note_records_and_markers(s: State) -> bool:
    """What may be shown, and which snapshot file the log on disk rests on.

    True if records are new.
    """
    new_records = False
    while s.pending_records and s.pending_records[0][0] <= s.durable_seq:
        _, node, incarnation = s.pending_records.popleft()
        s.durable_records[node] = incarnation
        new_records = True
    while s.pending_markers and s.pending_markers[0][0] <= s.durable_seq:
        s.marked_snapshot = s.pending_markers.popleft()[1]
    return new_records


def release_held(s: State, fx: Effects, now: float) -> None:
    """Let go every reply whose write is durable, in the order in which they were held."""
    if not s.held:
        return
    waiting = []
    for held in s.held:
        if held.seq > s.durable_seq:
            waiting.append(held)
            continue
        reply = held.make()
        fx.replies.append((held.token, reply))
        if isinstance(reply, VoteReply) and reply.granted and not reply.pre:
            voting.vote_left(s, reply.term, now)
    s.held = waiting
