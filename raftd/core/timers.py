"""What happens because time passes. `tick` fires what is due; `wake_at` says when to come back.

Late timers: a tick that comes later than a deadline by more than a heartbeat interval (a stall, a
SIGSTOP, a collection) neither campaigns nor steps down. It re-arms once by a heartbeat interval, so
that what waits in the sockets is read first: two followers that were stalled together would
otherwise grant each other a vote while the leader's heartbeats wait to be read.
"""

from __future__ import annotations

from raftd.core import admission, agreement, contact, election, leader, snapshots, transfer
from raftd.core.effects import Effects
from raftd.core.messages import Channel
from raftd.core.progress import Progress
from raftd.core.state import Leadership, State
from raftd.core.types import Role

IDLE = 3600.0
"""Seconds. Nothing is due: come back anyway, some time."""


def tick(s: State, fx: Effects, now: float) -> None:
    """Fire what is due at `now`, in seconds."""
    admission.wake_ungreeted(s, fx, now)
    if snapshots.compaction_is_due(s, now):
        snapshots.compact(s, fx, now)
    if s.leadership is not None:
        _lead(s, fx, s.leadership, now)
        return
    election.wake_unasked(s, fx, now)
    if now >= s.election_deadline:
        election.timeout(s, fx, now)


def wake_at(s: State, now: float) -> float:
    """When to tick next, as a time on the clock of `now`; never before `now` without reason."""
    if snapshots.compaction_is_due(s, now):
        return now
    due = now + IDLE
    for peer in s.peers():
        if admission.greeting_wanted(s, peer):
            greeting = admission.greeting_of(s, peer)
            if not greeting.inflight:
                due = min(due, greeting.next_at)
    if s.leadership is not None:
        return min(due, _leader_due(s, s.leadership, now))
    if s.campaign is not None and s.term_is_durable:  # else nobody is asked before it is
        for peer, at in s.campaign.ask_again_at.items():
            if peer not in s.campaign.asked:
                due = min(due, at)
    return min(due, s.election_deadline)


def _lead(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    due = _heartbeats_due(s, lead, now)
    for progress in lead.progress.values():
        if progress.heartbeat_at <= due:
            progress.heartbeat_at = min(progress.heartbeat_at, now)
            fx.wake[(progress.peer, Channel.CONTROL)] = None
            if progress.sending is not None:
                fx.wake[(progress.peer, Channel.BULK)] = None
        if 0 < progress.resume_at <= now:
            progress.resume_at = 0.0
            fx.wake[(progress.peer, Channel.APPEND)] = None
            fx.wake[(progress.peer, Channel.BULK)] = None
    transfer.give_up_if_due(s, fx, lead, now)
    if s.leadership is None:
        return
    contact.watch_peers(s, fx, lead, now)
    contact.check_quorum(s, fx, lead, now)
    if s.leadership is not None:
        contact.check_disk(s, fx, lead, now)
    if s.leadership is not None:
        transfer.hand_over_if_unfit(s, fx, lead, now)
        transfer.hand_over_to_preferred(s, fx, lead, now)
        agreement.go_on(s, fx, lead, now)


def _heartbeats_due(s: State, lead: Leadership, now: float) -> float:
    """Heartbeats of before this time go now: those that are due, and in their company all others
    that would wake this node again soon.
    """
    if any(progress.heartbeat_at <= now for progress in lead.progress.values()):
        return now + s.settings.heartbeat_company * s.settings.heartbeat_interval
    return now


def _leader_due(s: State, lead: Leadership, now: float) -> float:
    due = min(contact.disk_deadline(s, lead), lead.hand_over_at, lead.prefer_at)
    due = min(due, agreement.check_due(lead))
    for progress in lead.progress.values():
        if progress.peer in s.incarnations:  # else only Hello may be sent, whose time is above
            due = min(due, _progress_due(progress))
    if lead.transfer is not None:
        due = min(due, lead.transfer.deadline)
    if s.settings.check_quorum and s.role is Role.LEADER:
        due = min(due, contact.quorum_deadline(s, lead, now))
    return due


def _progress_due(progress: Progress) -> float:
    due = progress.heartbeat_at
    if progress.heartbeats_inflight >= leader.HEARTBEATS_INFLIGHT_MAX:
        due = float("inf")
    if progress.resume_at > 0:
        due = min(due, progress.resume_at)
    return due
