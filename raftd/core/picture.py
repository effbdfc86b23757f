"""RaftState: a node as people and tools see it."""

from __future__ import annotations

from raftd.core import admission
from raftd.core.messages import Room
from raftd.core.state import State
from raftd.core.types import PeerState, RaftState


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
    )
