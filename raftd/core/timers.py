"""What happens because time passes. `tick` fires what is due; `wake_at` says when to come back.

Late timers: a tick that comes later than a deadline by more than a heartbeat interval (a stall, a
SIGSTOP, a collection) neither campaigns nor steps down. It re-arms once by a heartbeat interval, so
that what waits in the sockets is read first: two followers that were stalled together would
otherwise grant each other a vote while the leader's heartbeats wait to be read.
"""

from __future__ import annotations

from raftd.core import candidate, compaction, fitness, leader, membership, roles
from raftd.core.effects import Effects
from raftd.core.messages import Channel
from raftd.core.progress import Progress
from raftd.core.state import Leadership, State
from raftd.core.types import Role

IDLE = 3600.0
"""Seconds. Nothing is due: come back anyway, some time."""


def tick(s: State, fx: Effects, now: float) -> None:
    _greet(s, fx, now)
    if compaction.due(s) and not (s.leadership and leader.pinned_index(s, now)):
        compaction.compact(s, fx, now)
    if s.leadership is not None:
        _lead(s, fx, s.leadership, now)
        return
    _ask_again(s, fx, now)
    if now >= s.election_deadline:
        _election_timeout(s, fx, now)


def wake_at(s: State, now: float) -> float:
    """When to tick next, as a time on the clock of `now`; never before `now` without reason."""
    due = now + IDLE
    for peer in s.peers():
        greeting = membership.greeting_of(s, peer)
        if not greeting.inflight and _greeting_wanted(s, peer):
            due = min(due, greeting.next_at)
    if s.leadership is not None:
        return min(due, _leader_due(s, s.leadership, now))
    if s.campaign is not None:
        for peer, at in s.campaign.ask_again_at.items():
            if peer not in s.campaign.asked:
                due = min(due, at)
    return min(due, s.election_deadline)


def _greeting_wanted(s: State, peer: str) -> bool:
    greeting = membership.greeting_of(s, peer)
    return not greeting.done or (not s.admitted and peer not in s.recorded_by)


def _greet(s: State, fx: Effects, now: float) -> None:
    for peer in s.peers():
        if membership.hello_due(s, peer, now):
            fx.wake[(peer, Channel.CONTROL)] = None


def _ask_again(s: State, fx: Effects, now: float) -> None:
    if s.campaign is None:
        return
    for peer, at in s.campaign.ask_again_at.items():
        if peer not in s.campaign.asked and now >= at:
            fx.wake[(peer, Channel.CONTROL)] = None


def _election_timeout(s: State, fx: Effects, now: float) -> None:
    if not s.may_vote or s.me not in s.configuration.voters:
        roles.arm_election(s, now)
        return
    late = now - s.election_deadline > s.settings.heartbeat_interval
    if late and not s.late_rearmed:
        s.election_deadline = now + s.settings.heartbeat_interval
        s.late_rearmed = True
        return
    why = "the link to the leader broke" if s.link_lost else "election timeout"
    if s.settings.prevote:
        roles.start_prevote(s, fx, now, why)
    elif not s.term_is_durable:
        roles.arm_retry(s, now)  # its disk hangs: one more term would ask nobody either
    else:
        roles.start_election(s, fx, now, why)


# -- leader --


PEER_LOST_TIMEOUTS = 3.0
"""Election timeouts without an answer after which a follower is reported as lost."""


def _lead(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    for progress in lead.progress.values():
        if now >= progress.heartbeat_at:
            fx.wake[(progress.peer, Channel.CONTROL)] = None
            if progress.sending is not None:
                fx.wake[(progress.peer, Channel.BULK)] = None
        if 0 < progress.resume_at <= now:
            progress.resume_at = 0.0
            fx.wake[(progress.peer, Channel.APPEND)] = None
            fx.wake[(progress.peer, Channel.BULK)] = None
    if lead.transfer is not None and now >= lead.transfer.deadline:
        s.event(fx, "transfer", f"to {lead.transfer.target} given up", lead.transfer.target)
        lead.transfer = None
    _watch_peers(s, fx, lead, now)
    _check_quorum(s, fx, lead, now)
    if s.leadership is not None:
        _check_disk(s, fx, lead, now)
    if s.leadership is not None:
        fitness.look(s, fx, lead, now)


def _watch_peers(s: State, fx: Effects, lead: Leadership, now: float) -> None:
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
                s.event(fx, "peer_lost", what, progress.peer)
        elif now - heard < limit:
            what = f"answers again after {now - progress.lost_since:.1f} s"
            progress.lost_since = None
            s.event(fx, "peer_back", what, progress.peer)


def _quorum_deadline(s: State, lead: Leadership, now: float) -> float:
    """CheckQuorum (dissertation 6.2): an election timeout after a majority was last in contact."""
    deadline = candidate.quorum_contact(s, now) + s.settings.election_timeout_max
    return max(deadline, lead.quorum_grace_until)


def _check_quorum(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    if not s.settings.check_quorum:
        return
    deadline = _quorum_deadline(s, lead, now)
    if now < deadline:
        return
    first = lead.quorum_grace_until < deadline
    if now - deadline > s.settings.heartbeat_interval and first:
        lead.quorum_grace_until = now + s.settings.heartbeat_interval
        return
    roles.step_down(s, fx, now, "no majority in contact for an election timeout")


def _check_disk(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """A leader that cannot sync holds up everybody; its followers' disks may be fine."""
    if now >= _disk_deadline(s, lead):
        roles.step_down(s, fx, now, "its disk has not synced a write for too long")


def _disk_deadline(s: State, lead: Leadership) -> float:
    if not s.unsynced:
        return float("inf")
    return max(s.unsynced[0][1] + s.settings.disk_stall_step_down, lead.quorum_grace_until)


def _leader_due(s: State, lead: Leadership, now: float) -> float:
    due = min(_disk_deadline(s, lead), lead.hand_over_at)
    for progress in lead.progress.values():
        due = min(due, _progress_due(progress))
    if lead.transfer is not None:
        due = min(due, lead.transfer.deadline)
    if s.settings.check_quorum and s.role is Role.LEADER:
        due = min(due, _quorum_deadline(s, lead, now))
    return due


def _progress_due(progress: Progress) -> float:
    due = progress.heartbeat_at
    if progress.heartbeats_inflight >= leader.HEARTBEATS_INFLIGHT_MAX:
        due = float("inf")
    if progress.resume_at > 0:
        due = min(due, progress.resume_at)
    return due
