"""The five transitions between roles. Nobody else assigns role, current_term or leadership.

         timeout          majority of pre-votes      majority, own vote durable
FOLLOWER -------> PRE_CANDIDATE ----------> CANDIDATE ----------> LEADER
   ^                    |                       |                    |
   +--------------------+-----------------------+--------------------+
    a live leader, a higher term, a hopeless campaign, no quorum, a stalled disk
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from raftd.core import reads
from raftd.core.effects import BrokenInvariant, Effects
from raftd.core.events import EventKind
from raftd.core.messages import (
    AppendReply,
    Channel,
    ReadIndexReply,
    Reply,
    SnapshotReply,
    TimeoutNowReply,
)
from raftd.core.progress import Progress
from raftd.core.state import Campaign, Held, Leadership, State
from raftd.core.types import NodeId, Role, Term


def arm_election(s: State, now: float) -> None:
    """A new random timeout for each wait (Section 5.2): equal ones split votes for ever."""
    settings = s.settings
    s.election_deadline = now + s.uniform(
        settings.election_timeout_min, settings.election_timeout_max
    )
    s.late_rearmed = False


def arm_retry(s: State, now: float) -> None:
    """A candidate's wait is short and random: it knows that there is no leader."""
    settings = s.settings
    s.election_deadline = now + s.uniform(
        settings.candidate_retry_min, settings.candidate_retry_max
    )
    s.late_rearmed = False


def adopt_term(s: State, fx: Effects, term: Term, now: float, why: str) -> None:
    """Figure 2, "All servers": a higher term makes a follower of anybody.

    Only a new term clears the vote: here, or in `become_candidate`.
    """
    if term <= s.current_term:
        raise BrokenInvariant(f"term would go from {s.current_term} to {term}")
    was = s.role
    _leave_role(s, fx, f"term {term}: {why}")
    s.current_term, s.voted_for = term, None
    s.role, s.leader_id = Role.FOLLOWER, None
    s.verified_index = 0
    s.write(fx, now, hard_state=True)
    _refuse_held(s)
    s.event(fx, EventKind.TERM, why)
    if was is not Role.FOLLOWER:
        arm_election(s, now)
        s.event(fx, EventKind.ROLE, f"{was.value} -> follower: {why}")


def _refuse_held(s: State) -> None:
    """What was promised to the old term's leader is not said: it is told the new term instead."""
    for place, held in enumerate(s.held):
        if not held.survives_term:
            refusal = _as_refusal(held.make(), s.current_term)
            s.held[place] = Held(s.term_seq, held.token, _constant(refusal), survives_term=True)


def _constant(reply: Reply) -> Callable[[], Reply]:
    return lambda: reply


def _as_refusal(reply: Reply, term: Term) -> Reply:
    if isinstance(reply, AppendReply):
        return AppendReply(term, False, 0, number=reply.number)
    if isinstance(reply, SnapshotReply):
        return SnapshotReply(term, 0, False, 0, reply.number)
    if isinstance(reply, ReadIndexReply):
        return ReadIndexReply(term, False, 0, reply.number)
    if isinstance(reply, TimeoutNowReply):
        return replace(reply, term=term)
    return reply


def _leave_role(s: State, fx: Effects, why: str) -> None:
    s.campaign = None
    if s.leadership is not None:
        s.leader_id, s.settled = None, False
        reads.fail_all(s, fx, f"leadership was lost: {why}")
        s.leadership = None


def become_follower(s: State, fx: Effects, leader: NodeId | None, now: float, why: str) -> None:
    """In the current term: a leader appeared, a campaign is hopeless, a quorum is gone."""
    was, old_leader = s.role, s.leader_id
    _leave_role(s, fx, why)
    s.role, s.leader_id = Role.FOLLOWER, leader
    if was is not Role.FOLLOWER:
        s.event(fx, EventKind.ROLE, f"{was.value} -> follower: {why}")
    if leader is not None and leader != old_leader:
        s.event(fx, EventKind.LEADER, f"{leader} leads term {s.current_term}")
        fx.wake[(leader, Channel.CONTROL)] = None


def lose_leader(s: State, fx: Effects, why: str) -> None:
    """A follower that cannot campaign hears nothing of its leader: it goes by none, and waits."""
    leader = s.leader_id
    if s.role is not Role.FOLLOWER or leader is None:
        return
    s.leader_id = None
    reads.fail_forwarded(s, fx, "the leader was lost")
    s.event(fx, EventKind.LEADER, f"leader {leader} was lost: {why}", leader)


def step_down(s: State, fx: Effects, now: float, why: str) -> None:
    """A leader that cannot do its work stops claiming it, in its own term. The vote stays."""
    become_follower(s, fx, None, now, why)
    arm_election(s, now)


def note_removed(s: State, fx: Effects, now: float, how: str) -> None:
    """This node is no member any more, for good: it keeps quiet, and its driver ends it."""
    if s.removed:
        return
    s.removed = True
    if s.role is not Role.FOLLOWER:
        step_down(s, fx, now, "it was removed from the cluster")
    s.event(fx, EventKind.REMOVED, f"{s.me} is no member of the cluster any more: {how}")


def become_pre_candidate(s: State, fx: Effects, now: float, why: str) -> None:
    """Dissertation 9.6: ask first, so that an isolated node disturbs nobody's term."""
    was = s.role
    _leave_role(s, fx, why)
    s.role, s.leader_id = Role.PRE_CANDIDATE, None
    reads.fail_forwarded(s, fx, "the leader was lost")
    s.campaign = Campaign(s.current_term + 1, pre=True, transfer=False)
    s.campaign.votes[s.me] = True
    arm_retry(s, now)
    s.event(fx, EventKind.ROLE, f"{was.value} -> pre-candidate: {why}")
    s.wake_all(fx, Channel.CONTROL)


def become_candidate(
    s: State, fx: Effects, now: float, why: str, *, transfer: bool = False
) -> None:
    """Section 5.2: a new term, a vote for oneself, and everybody is asked.

    The vote requests leave when the new term is durable (the pull waits for it), and our own vote
    counts when it is durable itself: same write.
    """
    was = s.role
    _leave_role(s, fx, why)
    s.current_term += 1
    s.role, s.leader_id = Role.CANDIDATE, None
    s.voted_for = None if s.settings.self_vote_last else s.me
    s.verified_index = 0
    s.campaign = Campaign(s.current_term, pre=False, transfer=transfer)
    seq = s.write(fx, now, hard_state=True)
    if not s.settings.self_vote_last:
        s.campaign.own_vote = seq
    _refuse_held(s)
    reads.fail_forwarded(s, fx, "an election began")
    arm_retry(s, now)
    s.event(fx, EventKind.ROLE, f"{was.value} -> candidate: {why}")
    s.wake_all(fx, Channel.CONTROL)


def become_leader(s: State, fx: Effects, now: float) -> None:
    """Section 5.2: the own vote is durable, and a majority has voted for this node."""
    if s.voted_for != s.me or not s.term_is_durable:
        raise BrokenInvariant("a leader's own vote must be durable before it counts")
    note_leader(s, s.me)
    s.campaign = None
    s.role, s.leader_id, s.settled = Role.LEADER, s.me, False
    s.leader_contact, s.link_lost = None, False
    if s.first_named is None:
        s.first_named = s.current_term, 0
    first = s.log.last_index + 1
    progress = {peer: new_progress(s, peer, now) for peer in s.peers()}
    s.leadership = Leadership(since=now, first_index=first, progress=progress)
    s.leadership.check_at = now + s.settings.state_check_interval
    s.event(fx, EventKind.ROLE, f"candidate -> leader of term {s.current_term}")


def new_progress(s: State, peer: NodeId, now: float) -> Progress:
    """Figure 2: nextIndex starts at the leader's last index + 1, matchIndex at 0."""
    return Progress(peer, next=s.log.last_index + 1, heartbeat_at=now)


def note_leader(s: State, node: NodeId) -> None:
    """Election Safety (Figure 3), as far as this node sees: also after it has lost sight of one."""
    term, other = s.led_by
    if term == s.current_term and other != node:
        raise BrokenInvariant(f"one leader a term: {other} and {node} both lead term {term}")
    s.led_by = (s.current_term, node)
