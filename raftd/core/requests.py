"""A peer's requests, after the shell has checked who speaks: the common term rule, then the
receiver's rules.
"""

from __future__ import annotations

from raftd.core import candidate, follower, membership, reads, roles
from raftd.core.effects import BrokenInvariant, Effects, Token
from raftd.core.messages import (
    AppendRequest,
    HelloRequest,
    NotAdmitted,
    ReadIndexRequest,
    Request,
    SnapshotRequest,
    TimeoutNowReply,
    TimeoutNowRequest,
    VoteReply,
    VoteRequest,
    is_heartbeat,
)
from raftd.core.state import UNSYNCED_MAX, State
from raftd.core.types import NodeId, Role, Term


def take(s: State, fx: Effects, request: Request, now: float, token: Token) -> None:
    """Exactly one reply comes out, now or later. A heartbeat is heard even while the disk hangs."""
    if len(s.unsynced) >= UNSYNCED_MAX and not is_heartbeat(request):
        fx.replies.append((token, NotAdmitted(request.number)))
    elif isinstance(request, HelloRequest):
        membership.on_hello(s, fx, request, now, token)
    elif not s.may_vote:
        fx.replies.append((token, NotAdmitted(request.number)))
    elif isinstance(request, AppendRequest):
        on_append(s, fx, request, now, token)
    elif isinstance(request, VoteRequest):
        on_vote_request(s, fx, request, now, token)
    elif isinstance(request, SnapshotRequest):
        on_chunk(s, fx, request, now, token)
    elif isinstance(request, ReadIndexRequest):
        reads.on_request(s, fx, request, token)
    else:
        on_timeout_now(s, fx, request, now, token)


def on_chunk(s: State, fx: Effects, request: SnapshotRequest, now: float, token: Token) -> None:
    if request.term < s.current_term:
        follower.refuse_chunk(s, fx, request, token)
        return
    hear_leader(s, fx, request.term, request.leader, now)
    follower.chunk(s, fx, request, token)


def hear_leader(s: State, fx: Effects, term: Term, node: NodeId, now: float) -> None:
    """A message of a leader whose term is at least ours. Section 5.2, Figure 2 "Followers"."""
    if term > s.current_term:
        roles.adopt_term(s, fx, term, now, f"{node} leads it")
    if s.leadership is not None or s.leader_id not in (None, node):
        other = s.leader_id or s.me
        raise BrokenInvariant(f"two leaders in term {term}, unnoticed: {other} and {node}")
    if s.role is not Role.FOLLOWER or s.leader_id is None:
        roles.become_follower(s, fx, node, now, f"{node} leads term {term}")
    s.leader_contact, s.link_lost = now, False
    roles.arm_election(s, now)
    roles.note_leader(s, node)


def on_vote_request(s: State, fx: Effects, request: VoteRequest, now: float, token: Token) -> None:
    if not request.transfer and candidate.leader_is_alive(s, now):
        candidate.refuse(s, fx, request, token)
    elif request.pre:
        answer_prevote(s, fx, request, token)
    else:
        if request.term > s.current_term:
            roles.adopt_term(s, fx, request.term, now, f"{request.candidate} asks for votes")
        if candidate.judge_vote(s, request):
            if s.role is not Role.FOLLOWER:
                roles.become_follower(s, fx, None, now, f"voted for {request.candidate}")
            candidate.grant(s, fx, request, now, token)
            roles.arm_election(s, now)
        else:
            candidate.refuse(s, fx, request, token)


def answer_prevote(s: State, fx: Effects, request: VoteRequest, token: Token) -> None:
    if candidate.judge_prevote(s, request):
        reply = VoteReply(request.term, True, True)
        s.hold(fx, token, 0, lambda: reply, survives_term=True)
    else:
        candidate.refuse(s, fx, request, token)


def on_timeout_now(
    s: State, fx: Effects, request: TimeoutNowRequest, now: float, token: Token
) -> None:
    """Only the current leader's word counts, and only for a voter that follows it."""
    obey = (
        request.term == s.current_term
        and s.role is Role.FOLLOWER
        and s.leader_id == request.leader
        and s.me in s.configuration.voters
    )
    reply = TimeoutNowReply(s.current_term, request.number)
    s.hold(fx, token, 0, lambda: reply, survives_term=True)
    if obey:
        roles.start_election(s, fx, now, f"{request.leader} hands over", transfer=True)


def on_append(s: State, fx: Effects, request: AppendRequest, now: float, token: Token) -> None:
    if request.term < s.current_term:
        follower.refuse_append(s, fx, request, token)
        return
    hear_leader(s, fx, request.term, request.leader, now)
    follower.append(s, fx, request, now, token)
