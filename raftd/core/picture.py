"""RaftState and CloserLook: a node as people and tools see it."""

from __future__ import annotations

from typing import NamedTuple

from raftd.core import admission, voting
from raftd.core.messages import Request, Room, VoteRequest
from raftd.core.state import State
from raftd.core.types import Index, NodeId, PeerState, RaftState, Term

RUNS_MAX = 16
"""Terms of the log that a closer look names."""


class CloserLook(NamedTuple):
    """What only a film of the node shows.

    timer: seconds until it campaigns; None for a leader. timer_max: at most, when it is armed.
    votes: of the campaign under way, True for granted. terms: (first index, term) of the last runs
    of equal terms in the log, ascending.
    refusal: by which rule the vote that was asked about would be refused; "" if it would be given.
    """

    timer: float | None
    timer_max: float
    votes: dict[NodeId, bool]
    terms: list[tuple[Index, Term]]
    refusal: str


def _peer_states(s: State, now: float) -> tuple[PeerState, ...]:
    lead = s.leadership
    if lead is None:
        return ()
    return tuple(
        PeerState(
            peer=p.peer,
            match=p.match,
            next=p.next,
            mode=p.mode.value,
            inflight=len(p.inflight),
            contact_age=now - (lead.since if p.contact is None else p.contact),
            unfit=p.unfit,
            held_back=p.room is not Room.ALL,
        )
        for p in lead.progress.values()
    )


def _caught_up(s: State) -> bool | None:
    """See RaftState.

    A new leader may name a commit index that is too low, until an entry of its own term is
    committed: so one of that term, or of a later one, must be applied here, too (section 8). A
    snapshot says nothing of the commit index: while it comes, the node has not caught up.
    """
    if s.first_named is None:
        return None if s.leader_id is None else False
    term, commit = s.first_named
    return s.applied_index >= commit and (s.log.term_at(s.applied_index) or 0) >= term


def state_of(s: State, now: float) -> RaftState:
    """A copy: nothing in it changes any more. `now`: seconds."""
    return RaftState(
        node=s.me,
        role=s.role,
        term=s.current_term,
        vote=s.voted_for,
        leader=s.leader_id,
        first_index=s.log.first_index,
        last_index=s.log.last_index,
        last_term=s.log.last_term,
        durable_index=s.log.durable_index,
        commit_index=s.commit_index,
        applied_index=s.applied_index,
        snapshot_index=s.snapshot.index,
        snapshot_term=s.snapshot.term,
        log_bytes=s.log.bytes,
        admitted=s.admitted,
        waiting_for=admission.waiting_for(s),
        refused_by=admission.refused_by(s),
        configuration=s.configuration,
        peers=_peer_states(s, now),
        verdict=s.agreement.verdict,
        caught_up=_caught_up(s),
    )


def closer_look(s: State, now: float, request: Request | None) -> CloserLook:
    """A copy: nothing in it changes any more. `now`: seconds. request: a vote to ask about."""
    return CloserLook(
        timer=None if s.leadership is not None else max(0.0, s.election_deadline - now),
        timer_max=s.settings.election_timeout_max,
        votes={} if s.campaign is None else dict(s.campaign.votes),
        terms=s.log.last_terms(RUNS_MAX),
        refusal=voting.why_refused(s, request, now) if isinstance(request, VoteRequest) else "",
    )
