"""Giving votes: RequestVote's receiver (Section 5.2, 5.4.1; dissertation 4.2.3, 9.6).

The order of the rules for an incoming vote request is the heart of it:
  (a) wrong cluster, incarnation or addressee: the shell has dropped it already;
  (b) an older term: `step` has refused it already;
  (c) a leader is known to be alive and this is no transfer: refuse, *without* adopting the term;
  (d) a pre-vote changes nothing here, it is only judged;
  (e) a higher term is adopted by `step`, which clears the vote, and then the request is judged.
"""

from __future__ import annotations

from raftd.core import contact, membership, roles
from raftd.core.effects import Effects, Token
from raftd.core.messages import VoteReply, VoteRequest
from raftd.core.state import State
from raftd.core.types import Index, Role, Term


def up_to_date(s: State, last_index: Index, last_term: Term) -> bool:
    """Is a log that ends there at least as up-to-date as ours? Section 5.4.1: term first."""
    return (last_term, last_index) >= (s.log.last_term, s.log.last_index)


def on_vote_request(s: State, fx: Effects, request: VoteRequest, now: float, token: Token) -> None:
    """A candidate asks, in our term or a later one. A vote leaves when it is durable."""
    if defends_leader(s, request, now):
        refuse(s, fx, request, token)
    elif request.pre:
        answer_prevote(s, fx, request, token)
    elif judge_vote(s, request):
        if s.role is not Role.FOLLOWER:
            roles.become_follower(s, fx, None, now, f"voted for {request.candidate}")
        grant(s, fx, request, now, token)
        roles.arm_election(s, now)
    else:
        refuse(s, fx, request, token)


def defends_leader(s: State, request: VoteRequest, now: float) -> bool:
    """Is a leader known to be alive, and this no transfer that it asked for itself?"""
    return not request.transfer and contact.leader_is_alive(s, now)


def answer_prevote(s: State, fx: Effects, request: VoteRequest, token: Token) -> None:
    if judge_prevote(s, request):
        reply = VoteReply(request.term, True, True)
        s.hold(fx, token, 0, reply, survives_term=True)
    else:
        refuse(s, fx, request, token)


def judge_prevote(s: State, request: VoteRequest) -> bool:
    """Would we vote for it? Nothing changes here: not the term, the vote nor the timer."""
    if request.term == s.current_term:
        return judge_vote(s, request)
    return up_to_date(s, request.last_index, request.last_term)  # `step` has seen to older terms


def judge_vote(s: State, request: VoteRequest) -> bool:
    """Figure 2, RequestVote, receiver rule 2. `step` has seen to the term."""
    if was_led(s, request.term):
        return False
    free = s.voted_for in (None, request.candidate)
    return free and up_to_date(s, request.last_index, request.last_term)


def was_led(s: State, term: Term) -> bool:
    """Has this term had a leader, by what was heard here or stands in the log? Then nobody is
    elected in it.

    Nobody could be, unless a voter forgets whom it made the leader: a vote may go with the last
    batch of a disk, and so may a leader's own, who would lead the term a second time. Whoever has
    heard that leader gives no vote in its term to anybody.
    """
    return term in (s.led_by[0], s.log.last_term)


def why_refused(s: State, request: VoteRequest, now: float) -> str:
    """By which rule `on_vote_request` refuses this request; "" if it grants it. Changes nothing.

    A sentence about the voter, for people. The order is that of the rules above.
    """
    if request.term < s.current_term:
        return f"it is in term {s.current_term}, a later one (Figure 2, RequestVote 1)"
    if defends_leader(s, request, now):
        return f"it hears its leader, {s.leader_id} (Section 6)"
    if request.term == s.current_term:
        if s.role is Role.LEADER:
            return f"it leads term {s.current_term} itself (Figure 2, RequestVote 2)"
        if s.voted_for not in (None, request.candidate):
            return (
                f"it has voted for {s.voted_for} in term {s.current_term} (Figure 2, RequestVote 2)"
            )
        if was_led(s, request.term):
            return f"term {s.current_term} has had its leader (Section 5.2)"
    if not up_to_date(s, request.last_index, request.last_term):
        return (
            f"its log ends at entry {s.log.last_index} of term {s.log.last_term}, the candidate's "
            f"at {request.last_index} of term {request.last_term} (Section 5.4.1)"
        )
    return ""


def refuse(s: State, fx: Effects, request: VoteRequest, token: Token) -> None:
    removed = request.candidate in membership.committed(s).retired
    reply = VoteReply(s.current_term, False, request.pre, removed)
    s.hold(fx, token, 0, reply, survives_term=True)


def grant(s: State, fx: Effects, request: VoteRequest, now: float, token: Token) -> None:
    """Remember the vote; the grant leaves when it is durable.

    A vote given again waits for the same write.
    """
    if s.voted_for is None:
        s.voted_for = request.candidate
        s.write(fx, now, hard_state=True)
    reply = VoteReply(s.current_term, True, False)
    s.hold(fx, token, s.term_seq, reply, survives_term=True)


def vote_left(s: State, term: Term, now: float) -> None:
    """The timer starts when the vote leaves: a slow disk must not eat the candidate's time."""
    if term == s.current_term and s.role is Role.FOLLOWER and s.leader_id is None:
        roles.arm_election(s, now)
