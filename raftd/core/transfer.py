"""Leadership transfer (dissertation 3.10): asked for, or because this leader is unfit, or because
another node is preferred.

A node is unfit while its driver says that it should not lead. The log of such a node may be fine
and its heartbeats in time, so the paper's rules would let it lead for ever, while nothing that its
clients ask is answered.
"""

from __future__ import annotations

from raftd.core import election, roles
from raftd.core.effects import Effects, NotLeader, Token, Unavailable
from raftd.core.events import EventKind
from raftd.core.messages import Channel, TimeoutNowReply, TimeoutNowRequest
from raftd.core.progress import Progress
from raftd.core.state import Leadership, State, Transfer, leadership
from raftd.core.types import NodeId, Role

PREFER_LAG_MAX = 1024
"""Entries that a preferred node may lack: nothing is proposed until it has them."""


def begin(s: State, fx: Effects, target: NodeId | None, now: float) -> None:
    """To `target`, or to the fit voter that has most. Raises NotLeader, Unavailable."""
    if s.leadership is None:
        raise NotLeader(s.leader_id)
    voters = [p for p in s.leadership.progress.values() if s.configuration.is_voter(p.peer)]
    if target is None and voters:
        target = max(voters, key=lambda p: (not p.unfit, p.match, p.acked_number)).peer
    if target not in [p.peer for p in voters]:
        raise Unavailable(f"cannot hand leadership to {target!r}: not another voter")
    if s.leadership.transfer is not None:
        now_to = s.leadership.transfer.target
        raise Unavailable(f"leadership is being handed to {now_to}", now_to)
    s.leadership.transfer = Transfer(target, now + s.settings.election_timeout_max)
    s.event(fx, EventKind.TRANSFER, f"handing leadership to {target}", target)
    fx.wake[(target, Channel.CONTROL)] = None
    fx.wake[(target, Channel.APPEND)] = None


def next_timeout_now(s: State, peer: NodeId, now: float) -> TimeoutNowRequest | None:
    """Hand over once the target has everything (dissertation 3.10).

    Again with every other heartbeat until the deadline: any of them may get lost, nothing is
    proposed meanwhile, and one that comes twice finds another term.
    """
    lead = leadership(s)
    transfer = lead.transfer
    if transfer is None or now < transfer.not_before or transfer.target != peer:
        return None
    if lead.progress[peer].match < s.log.last_index:
        return None
    transfer.not_before = now + 2 * s.settings.heartbeat_interval
    return TimeoutNowRequest(s.current_term, s.me, number=s.next_number(), pulled_at=now)


def answer(s: State, fx: Effects, request: TimeoutNowRequest, token: Token) -> None:
    """It was heard, and here is our term; whether it is obeyed shows in what follows."""
    reply = TimeoutNowReply(s.current_term, request.number)
    s.hold(fx, token, 0, reply, survives_term=True)


def on_timeout_now(
    s: State, fx: Effects, request: TimeoutNowRequest, now: float, token: Token
) -> None:
    """Only the current leader's word counts, and only for a voter that follows it."""
    obey = (
        request.term == s.current_term
        and s.role is Role.FOLLOWER
        and s.leader_id == request.leader
        and s.configuration.is_voter(s.me)
    )
    answer(s, fx, request, token)
    if obey:
        election.start(s, fx, now, f"{request.leader} hands over", transfer=True)


def give_up_if_due(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """An election timeout has passed and this node still leads: it takes proposals again."""
    if lead.transfer is not None and now >= lead.transfer.deadline:
        s.event(fx, EventKind.TRANSFER, f"to {lead.transfer.target} given up", lead.transfer.target)
        lead.transfer = None
        if s.settled and not s.configuration.is_voter(s.me):
            roles.step_down(s, fx, now, "it is no voter any more, and nobody took over")


def hand_over_if_unfit(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """Hand over, `hand_over_after` after this leader became unfit, to one who is fit.

    By then the others have said whether they are in the same state: a command on which every
    machine hangs must not send leadership round. While nobody is fit this node goes on.
    """
    if not s.unfit:
        lead.hand_over_at = float("inf")
    elif lead.hand_over_at == float("inf"):
        lead.hand_over_at = now + s.settings.hand_over_after
    elif now >= lead.hand_over_at:
        lead.hand_over_at = now + s.settings.hand_over_after
        target = _successor(s, lead, now)
        if target is not None and lead.transfer is None:
            begin(s, fx, target, now)


def hand_over_to_preferred(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """To the voter of a higher priority than ours, once there has been one for `prefer_after`.

    One that comes and goes must not take leadership along each time.
    """
    target = _preferred(s, lead, now)
    if target is None:
        lead.prefer_at = float("inf")
    elif lead.prefer_at == float("inf"):
        lead.prefer_at = now + s.settings.prefer_after
    elif now >= lead.prefer_at:
        lead.prefer_at = now + s.settings.prefer_after
        if lead.transfer is None:
            begin(s, fx, target, now)


def _preferred(s: State, lead: Leadership, now: float) -> NodeId | None:
    """Of those who could lead at once, and whose priority is above ours, the highest."""
    able = [
        p
        for p in lead.progress.values()
        if p.priority > s.settings.priority
        and p.match + PREFER_LAG_MAX >= s.log.last_index
        and _may_follow(s, p, now)
    ]
    return max(able, key=lambda p: (p.priority, p.match)).peer if able else None


def _successor(s: State, lead: Leadership, now: float) -> NodeId | None:
    """The fit voter that has most, among those who have answered lately."""
    fit = [p for p in lead.progress.values() if _may_follow(s, p, now)]
    return max(fit, key=lambda p: (p.match, p.acked_number)).peer if fit else None


def _may_follow(s: State, progress: Progress, now: float) -> bool:
    if progress.unfit or progress.contact is None or not s.configuration.is_voter(progress.peer):
        return False
    return now - progress.contact <= s.settings.election_timeout_min
