"""Whom a node is in contact with: a follower with its leader, a leader with a majority.

A leader without a majority in contact steps down (CheckQuorum, dissertation 6.2), and voters defend
a leader that they hear (4.2.3). Contact is dated by when an answered request was pulled.
"""

from __future__ import annotations

from raftd.core import roles
from raftd.core.effects import Effects
from raftd.core.events import EventKind
from raftd.core.state import Leadership, State, leadership
from raftd.core.types import NodeId, Role

PEER_LOST_TIMEOUTS = 3.0
"""Election timeouts without an answer after which a follower is reported as lost."""


def quorum_contact(s: State, now: float) -> float:
    """Since when a leader has not heard from a majority, in the clock of `now`."""
    lead = leadership(s)

    def contact(voter: NodeId) -> float:
        if voter == s.me:
            return now
        progress = lead.progress.get(voter)
        heard = progress.contact if progress else None
        return lead.since if heard is None else heard

    return s.configuration.reached_by_majority(contact)


def leader_is_alive(s: State, now: float) -> bool:
    """Was a leader heard within the minimum election timeout? A leader asks its majority."""
    horizon = now - s.settings.election_timeout_min
    if s.role is Role.LEADER:
        return quorum_contact(s, now) > horizon
    if s.leader_id is None or s.leader_contact is None or s.link_lost:
        return False
    return s.leader_contact > horizon


def watch_peers(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """One event when a follower falls silent and one when it answers again.

    After a stall of this process everybody looks silent: silence counts from its end on.
    """
    if now - lead.watched_at > s.settings.election_timeout_max:
        lead.watched_from = now
    lead.watched_at = now
    limit = PEER_LOST_TIMEOUTS * s.settings.election_timeout_max
    for progress in lead.progress.values():
        heard = lead.since if progress.contact is None else progress.contact
        if progress.lost_since is None:
            if now - max(heard, lead.watched_from) >= limit:
                progress.lost_since = heard
                what = f"has not answered for {now - heard:.1f} s"
                s.event(fx, EventKind.PEER_LOST, what, progress.peer)
        elif now - heard < limit:
            what = f"answers again after {now - progress.lost_since:.1f} s"
            progress.lost_since = None
            s.event(fx, EventKind.PEER_BACK, what, progress.peer)


def quorum_deadline(s: State, lead: Leadership, now: float) -> float:
    """CheckQuorum (dissertation 6.2): an election timeout after a majority was last in contact."""
    deadline = quorum_contact(s, now) + s.settings.election_timeout_max
    return max(deadline, lead.quorum_grace_until)


def check_quorum(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """Step down without a majority in contact. A late look waits a heartbeat more, once."""
    if not s.settings.check_quorum:
        return
    deadline = quorum_deadline(s, lead, now)
    if now < deadline:
        return
    first = lead.quorum_grace_until < deadline
    if now - deadline > s.settings.heartbeat_interval and first:
        lead.quorum_grace_until = now + s.settings.heartbeat_interval
        return
    roles.step_down(s, fx, now, "no majority in contact for an election timeout")


def disk_deadline(s: State, lead: Leadership) -> float:
    """When a leader whose oldest write is not synced by then steps down."""
    if not s.unsynced:
        return float("inf")
    return max(s.unsynced[0][1] + s.settings.disk_stall_step_down, lead.quorum_grace_until)


def check_disk(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """A leader that cannot sync holds up everybody; its followers' disks may be fine."""
    if now >= disk_deadline(s, lead):
        roles.step_down(s, fx, now, "its disk has not synced a write for too long")
