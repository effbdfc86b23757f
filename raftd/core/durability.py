"""What `persisted` lets go: held replies, our own vote, a received snapshot, compaction."""

from __future__ import annotations

from raftd.core import candidate, compaction, leader, reads, roles
from raftd.core.effects import BrokenInvariant, Effects
from raftd.core.messages import Channel, VoteReply
from raftd.core.state import State
from raftd.core.types import Role, Term, WriteSeq


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
            vote_left(s, reply.term, now)
    s.held = waiting


def vote_left(s: State, term: Term, now: float) -> None:
    """The timer starts when the vote leaves: a slow disk must not eat the candidate's time."""
    if term == s.current_term and s.role is Role.FOLLOWER and s.leader_id is None:
        roles.arm_election(s, now)


def own_vote_is_durable(s: State, fx: Effects, now: float) -> None:
    campaign = s.campaign
    if campaign is None or campaign.own_vote is None or campaign.own_vote > s.durable_seq:
        return
    if s.me not in campaign.votes:
        candidate.count(s, s.me, True)
        roles.judge(s, fx, now)


def snapshot_is_marked(s: State, fx: Effects, before: WriteSeq, now: float) -> None:
    """Only now may the machine move to a received snapshot, and the log before ours go."""
    if s.installing is not None and s.installing[0] <= s.durable_seq:
        meta = s.installing[1]
        s.installing = None
        fx.install = meta
        s.installs_out.append(meta)
        fx.released = meta.index
        s.handed_index = meta.index
        s.event(fx, "snapshot_installed", f"at {meta.index}, {meta.size_bytes} bytes")
    if s.compact_after is not None and before < s.compact_after[0] <= s.durable_seq:
        compaction.compact(s, fx, now)


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
    snapshot_is_marked(s, fx, before, now)
    own_vote_is_durable(s, fx, now)
    if s.leadership is not None and leader.maybe_commit(s):
        reads.confirm(s, fx)
