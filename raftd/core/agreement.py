"""Do all members hold the same state? A leader has it digested at one index on all, and compares.

Theory of operation. The leader marks its last index and says so in all that it sends. What could
commit an entry behind that index leaves later, so every follower knows the mark before it may apply
past it: none misses it, whatever the load, and nothing is added to the log. The machine is digested
as it is there (part by part: what a part stands for is the machine's affair), the answers to
heartbeats bring the digests back, and a part in which somebody differs is judged by a majority of
the voters. Who is not of the majority differs; where there is none, nobody can say who is right,
and all who differ are named. The leader's heartbeats carry the verdict, so all nodes can tell it,
and the next leader goes on with it. What follows from it is the driver's: see `Differing`.

A byte that changed in memory is in no log and in no answer: only reading the state anew finds it.
So it is read again also while nothing is written, and each key costs time. How long the next
comparison waits is therefore what the last one cost (`_due`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from raftd.core import membership
from raftd.core.comparing import Check, Differing, Mark, StateDigest, Verdict
from raftd.core.effects import Effects
from raftd.core.events import EventKind
from raftd.core.messages import AppendReply, AppendRequest
from raftd.core.state import Leadership, State
from raftd.core.types import Configuration, NodeId

PATIENCE_SECONDS = 2.0
"""After the leader's own digest, for those of the others; longer if its own took longer."""
CHECK_SECONDS_MAX = 60.0
"""A check whose own digest has not come by then is given up."""
SHARE = 0.02
"""Of a core: so much comparing takes of a leader over time at most, however large its state."""
SHARE_AT_REST = 0.005
"""The same while nothing has been written since all were found to hold the same."""
NO_MAJORITY = "no majority holds the same"


# -- a leader --


def check_due(lead: Leadership) -> float:
    """When to come back."""
    return lead.check_at if lead.check is None else lead.check.deadline


def go_on(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """Begin a check that is due, or end the one under way. With every tick of a leader."""
    check = lead.check
    if check is None:
        if lead.compared is not None:
            lead.check_at = _due(s, lead, lead.compared, now)
        if now >= lead.check_at:
            _begin(s, lead, now)
    elif now >= check.deadline or check.reports.keys() >= set(_present(s, lead, check, now)):
        _end(s, fx, lead, check, now)


def _due(s: State, lead: Leadership, last: Check, now: float) -> float:
    """When the check after `last` begins. What has happened since may make it earlier.

    Who differs serves nothing before it is found to agree again: if it is there, it waits for that.
    """
    present = _present(s, lead, last, now)
    if any(known.node in present for known in s.agreement.verdict.differing):
        return last.rested_at
    resting = s.log.last_index == last.mark.index and last.reports.keys() >= set(present)
    share = SHARE_AT_REST if resting else SHARE
    return max(last.rested_at, last.begun + last.work_seconds / share)


def _begin(s: State, lead: Leadership, now: float) -> None:
    interval = s.settings.state_check_interval
    if not interval or not s.peers():
        lead.check_at = now + (interval or float("inf"))
        return
    mark = Mark(s.log.last_index, s.current_term, s.next_number())
    lead.check = Check(mark, now, now + CHECK_SECONDS_MAX)
    _mark(s, mark)


def _present(s: State, lead: Leadership, check: Check, now: float) -> list[NodeId]:
    """Who can answer: this node, and those that are in contact and hold the log up to there.

    One that is down, or joins, holds up nobody.
    """
    horizon = now - s.settings.election_timeout_min
    others = [
        p.peer
        for p in lead.progress.values()
        if p.match >= check.mark.index and p.contact is not None and p.contact > horizon
    ]
    return [s.me, *others]


def on_reply(s: State, peer: NodeId, reply: AppendReply) -> None:
    """A follower's digest."""
    check = s.leadership.check if s.leadership is not None else None
    digest = reply.digest
    if check is not None and digest is not None and digest.mark == check.mark:
        check.reports[peer] = digest


def _end(s: State, fx: Effects, lead: Leadership, check: Check, now: float) -> None:
    """The next one comes after a rest as long as what this one took, or later."""
    check.rested_at = max(check.begun + s.settings.state_check_interval, now + check.own_seconds)
    lead.check, lead.compared = None, check
    _judge_all(s, fx, check)
    lead.check_at = _due(s, lead, check, now)


def _judge_all(s: State, fx: Effects, check: Check) -> None:
    if len(check.reports) < 2:
        return
    disputed = {known.node for known in s.agreement.verdict.differing}
    found = judge(s.configuration, check.reports, disputed)
    unheard = [known for known in s.agreement.verdict.differing if known.node not in check.reports]
    differing = _not_gone(s, sorted((*found, *unheard)), membership.committed(s))
    _take(s, fx, Verdict(check.mark.index, differing))


def _not_gone(
    s: State, differing: Iterable[Differing], committed: Configuration
) -> tuple[Differing, ...]:
    """Without those that were removed for good. This node does not let itself off."""
    return tuple(
        known for known in differing if known.node == s.me or known.node not in committed.retired
    )


def judge(
    configuration: Configuration,
    reports: Mapping[NodeId, StateDigest],
    disputed: Collection[NodeId] = (),
) -> tuple[Differing, ...]:
    """Who differs from a majority of the voters, and in which parts.

    A part that only some report is compared among those. disputed: who differed before. Such a node
    is no majority by itself. The story with it: the others were removed, and the one voter that was
    left was right against a new member, with the byte that had changed in its memory.
    """
    parts: dict[str, dict[bytes, list[NodeId]]] = {}
    for node, digest in reports.items():
        for name, value in digest.parts:
            parts.setdefault(name, {}).setdefault(value, []).append(node)
    found: dict[NodeId, list[str]] = {}
    for name, groups in sorted(parts.items()):
        if len(groups) == 1:
            continue
        right = [
            nodes
            for nodes in groups.values()
            if configuration.has_majority(nodes) and (len(nodes) > 1 or nodes[0] not in disputed)
        ]
        for nodes in groups.values():
            for node in () if nodes in right else nodes:
                found.setdefault(node, []).append(name if right else f"{name} ({NO_MAJORITY})")
    return tuple(Differing(node, ", ".join(names)) for node, names in sorted(found.items()))


# -- everybody --


def hear(s: State, fx: Effects, request: AppendRequest) -> None:
    """What our term's leader says beside the log."""
    if request.mark is not None:
        _mark(s, request.mark)
    if request.verdict is not None:
        heard = request.term, request.number
        if heard > s.agreement.heard:  # heartbeats may overtake each other
            s.agreement.heard = heard
            _take(s, fx, request.verdict)


def forget_retired(s: State, fx: Effects) -> None:
    """The configuration is committed: whoever was removed is compared with nobody any more.

    The last verdict would name it for ever if it was the last one, or if nobody is left to compare
    with. Not before that: who differs must serve nothing while it may still be a member.
    """
    verdict = s.agreement.verdict
    left = _not_gone(s, verdict.differing, s.configuration)
    if left != verdict.differing:
        _take(s, fx, Verdict(verdict.index, left))


def _mark(s: State, mark: Mark) -> None:
    known = s.agreement
    if mark != known.mark:
        known.mark, known.digest = mark, None
        known.due = mark


def place(s: State, fx: Effects) -> None:
    """Whether the machine comes to the mark with what `fx` hands out, or stands there now."""
    mark = s.agreement.due
    assert mark is not None, "asked only while a mark is due"
    if mark.index < s.handed_index - len(fx.committed):
        s.agreement.due = None  # a snapshot, or a restart, jumped over it
    elif mark.index <= s.handed_index:
        fx.mark, s.agreement.due = mark, None


def digested(s: State, digest: StateDigest, now: float, work_seconds: float) -> Effects:
    """The machine's state at a mark; nothing if another mark has come meanwhile.

    work_seconds: of a processor, that it took.
    """
    if digest.mark != s.agreement.mark:
        return Effects()
    s.agreement.digest = digest
    check = s.leadership.check if s.leadership is not None else None
    if check is not None and check.mark == digest.mark:
        check.reports[s.me] = digest
        check.own_seconds = max(now - check.begun, 0.0)
        check.work_seconds = work_seconds
        check.deadline = now + max(PATIENCE_SECONDS, 3 * check.own_seconds)
    return Effects()


def own_digest(s: State, mark: Mark) -> StateDigest | None:
    """What the answer to a message with this mark brings to the leader."""
    digest = s.agreement.digest
    return digest if digest is not None and digest.mark == mark else None


def verdict_out(s: State) -> Verdict | None:
    """What a leader's heartbeats say of the last comparison; None: it knows of none, which must not
    make who knows of one forget it.
    """
    return s.agreement.verdict if s.agreement.verdict.index else None


def mark_out(s: State) -> Mark | None:
    """What a leader's messages say of the check under way."""
    check = s.leadership.check if s.leadership is not None else None
    return None if check is None else check.mark


def _take(s: State, fx: Effects, verdict: Verdict) -> None:
    before, s.agreement.verdict = s.agreement.verdict, verdict
    if before.differing == verdict.differing:
        return
    known = {known.node: known.what for known in before.differing}
    for node, what in verdict.differing:
        if known.pop(node, None) != what:
            text = f"the state of {node} differs at entry {verdict.index}: {what}"
            s.event(fx, EventKind.STATE_DIFFERS, text, node)
    for node in known:
        text = f"the state of {node} agrees again, at entry {verdict.index}"
        s.event(fx, EventKind.STATE_AGREES, text, node)
