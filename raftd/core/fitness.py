"""A node whose driver says that it should not lead, and what a leader in that state does.

The log of such a node may be fine and its heartbeats in time, so the paper's rules would let it
lead for ever, while nothing that its clients ask is answered.
"""

from __future__ import annotations

from raftd.core import proposals
from raftd.core.effects import Effects
from raftd.core.progress import Progress
from raftd.core.state import Leadership, State
from raftd.core.types import NodeId


def say(s: State, unfit: bool) -> None:
    s.unfit = unfit


def look(s: State, fx: Effects, lead: Leadership, now: float) -> None:
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
            proposals.transfer(s, fx, target, now)


def _successor(s: State, lead: Leadership, now: float) -> NodeId | None:
    """The fit voter that has most, among those who have answered lately."""
    fit = [p for p in lead.progress.values() if _may_follow(s, p, now)]
    return max(fit, key=lambda p: (p.match, p.acked_number)).peer if fit else None


def _may_follow(s: State, progress: Progress, now: float) -> bool:
    if progress.unfit or progress.contact is None or progress.peer not in s.configuration.voters:
        return False
    return now - progress.contact <= s.settings.election_timeout_min
