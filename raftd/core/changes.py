"""Changes of the membership while the cluster runs (dissertation, chapter 4).

A leader changes one member at a time, so that a majority before and one after always overlap; only
`REPLACE` moves two at once, and goes through a joint configuration, in which both majorities are
needed. A change is proposed only when the one before is committed, and never before an entry of the
leader's own term is: without that, two leaders of different terms can each commit a change of the
same configuration (Ongaro, raft-dev, July 2015).

An id is used once. Whoever was removed may have voted in a term that the cluster has not seen, and
may have forgotten it with its disk; so `retired` ids are never members again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from raftd.core import admission, agreement, leader, roles, transfer
from raftd.core.configuration_format import RETIRED_MAX, encode_configuration
from raftd.core.effects import ChangeRefused, Effects, NotLeader, Unavailable
from raftd.core.progress import Mode, Progress
from raftd.core.state import Leadership, State
from raftd.core.types import Configuration, Entry, EntryType, Member, NodeId

MEMBERS_MAX = 64
"""A leader sends to each of them; more would be a mistake."""

PROMOTE_LAG_MAX = 1024
"""Entries that a learner may lack when it becomes a voter: what it gets in a fraction of a
second."""


class ChangeKind(Enum):
    ADD = "add"  # as a learner
    PROMOTE = "promote"  # a learner becomes a voter
    DEMOTE = "demote"  # a voter becomes a learner
    REMOVE = "remove"
    REPLACE = "replace"  # a learner takes a voter's place, in one step
    UPDATE = "update"  # other addresses


@dataclass(frozen=True, slots=True)
class Change:
    """What an operator asks for.

    member: whom it is about. ADD: with addresses and incarnation; UPDATE: with the new addresses.
    by: REPLACE only: the learner that takes its place.
    force: although a majority of the new voters is not in contact, or the learner lags.
    known: addresses of present members, for those of whom the configuration says none yet.
    """

    kind: ChangeKind
    member: Member
    by: NodeId = ""
    force: bool = False
    known: tuple[Member, ...] = ()


def propose(s: State, fx: Effects, change: Change, now: float) -> None:
    """Append the configuration that `change` asks for; nothing if it is in force already.

    Raises NotLeader, Unavailable (try again), ChangeRefused (it must not be done like this).
    """
    lead = _who_may_change(s, now)
    wanted = next_configuration(s.configuration, change)
    if wanted == s.configuration:
        return
    wanted = replace(wanted, about=_about(s, wanted, change.known))
    _check_incarnations(wanted, s.configuration)
    _check_admitted(lead, change)
    if not change.force:
        _check_learner(s, lead, change, now)
        _check_majority(s, lead, wanted, now)
    _append(s, fx, wanted, now)


def _append(s: State, fx: Effects, wanted: Configuration, now: float) -> None:
    entry = Entry(
        s.log.last_index + 1,
        s.current_term,
        EntryType.CONFIGURATION,
        encode_configuration(wanted),
    )
    leader.append(s, fx, now, (entry,))
    fx.assigned.append((entry.index, entry.term))


def _who_may_change(s: State, now: float) -> Leadership:
    lead = s.leadership
    if lead is None:
        raise NotLeader(s.leader_id)
    leader.check_open(s, lead, now)
    if s.commit_index < lead.first_index:
        raise Unavailable(f"the leader has not committed an entry of its term {s.current_term} yet")
    if s.configurations[-1][0] > s.commit_index or s.configuration.outgoing:
        raise Unavailable("another change of the members is under way")
    return lead


# -- the next configuration --


def next_configuration(now: Configuration, change: Change) -> Configuration:
    """Raises ChangeRefused for what makes no sense, whoever is up."""
    node = change.member.node
    if node in now.retired and change.kind is ChangeKind.REPLACE and change.by in now.voters:
        return now
    if node in now.retired and change.kind is not ChangeKind.REMOVE:
        raise ChangeRefused(f"{node!r} was removed, and an id is used once: choose a new one")
    if change.kind is ChangeKind.ADD:
        return _added(now, change.member)
    if not now.is_member(node):
        if node in now.retired:
            return now
        raise ChangeRefused(f"{node!r} is no member; members: {', '.join(sorted(now.members()))}")
    if change.kind is ChangeKind.UPDATE:
        return _moved(now, change.member)
    if change.kind is ChangeKind.REPLACE:
        return _replaced(now, node, change.by)
    if change.kind is ChangeKind.PROMOTE:
        return _with(now, voters={*now.voters, node}, learners={*now.learners} - {node})
    voters = {*now.voters} - {node}
    if not voters:
        raise ChangeRefused(f"{node!r} is the only voter: add and promote another one first")
    if change.kind is ChangeKind.DEMOTE:
        return _with(now, voters=voters, learners={*now.learners, node})
    return _with(now, voters=voters, learners={*now.learners} - {node}, gone=(node,))


def _with(
    now: Configuration,
    *,
    voters: Iterable[NodeId],
    learners: Iterable[NodeId],
    outgoing: tuple[NodeId, ...] = (),
    gone: tuple[NodeId, ...] = (),
) -> Configuration:
    left = tuple(member for member in now.about if member.node not in gone)
    return Configuration(
        tuple(sorted(voters)),
        tuple(sorted(learners)),
        outgoing,
        left,
        (*now.retired, *gone)[-RETIRED_MAX:],
    )


def _added(now: Configuration, member: Member) -> Configuration:
    known = now.member(member.node)
    if now.is_member(member.node):
        if known == member:
            return now
        why = f"at {known.peer_address}; `update` changes its addresses"
        if member.incarnation and known.incarnation not in ("", member.incarnation):
            why = "this directory lacks its votes and log: give it an id of its own, and replace"
        raise ChangeRefused(f"{member.node!r} is a member already: {why}")
    if not (member.incarnation and member.peer_address and member.client_address):
        raise ChangeRefused(f"{member.node!r} needs addresses, and must run when it is added")
    if len(now.members()) >= MEMBERS_MAX:
        raise ChangeRefused(f"the cluster has {MEMBERS_MAX} members, which is the limit")
    _check_addresses(now, member)
    about = tuple(sorted((*now.about, member), key=lambda item: item.node))
    grown = _with(now, voters=now.voters, learners={*now.learners, member.node})
    return replace(grown, about=about)


def _moved(now: Configuration, member: Member) -> Configuration:
    known = now.member(member.node)
    wanted = replace(
        known,
        peer_address=member.peer_address or known.peer_address,
        client_address=member.client_address or known.client_address,
        moved=True,
    )
    _check_addresses(now, wanted)
    others = (item for item in now.about if item.node != member.node)
    return replace(now, about=tuple(sorted((*others, wanted), key=lambda item: item.node)))


def _check_addresses(now: Configuration, member: Member) -> None:
    for other in now.about:
        taken = {other.peer_address, other.client_address} - {""}
        both = taken & {member.peer_address, member.client_address}
        if other.node != member.node and both:
            raise ChangeRefused(f"{both.pop()} is an address of {other.node!r} already")


def _replaced(now: Configuration, node: NodeId, by: NodeId) -> Configuration:
    """Joint: a majority of the old voters and one of the new ones are both needed in it."""
    if node not in now.voters:
        raise ChangeRefused(f"{node!r} is a learner: remove it, and promote another one")
    if by not in now.learners:
        raise ChangeRefused(f"{by!r} is no learner: add it first, then it can replace {node!r}")
    voters = ({*now.voters} - {node}) | {by}
    return _with(now, voters=voters, learners={*now.learners} - {by}, outgoing=now.voters)


def _left(joint: Configuration) -> Configuration:
    """What follows a joint configuration: the new voters alone."""
    gone = tuple(node for node in joint.members() if not _stays(joint, node))
    return _with(joint, voters=joint.voters, learners=joint.learners, gone=gone)


def _stays(joint: Configuration, node: NodeId) -> bool:
    return node in joint.voters or node in joint.learners


def _about(s: State, wanted: Configuration, known: tuple[Member, ...]) -> tuple[Member, ...]:
    """Of each member what the cluster knows by now: addresses, and the incarnation on record."""
    hints = {member.node: member for member in known}
    found = []
    for node in sorted(wanted.members()):
        member, hint = wanted.member(node), hints.get(node, Member(node))
        own = s.identity.incarnation if node == s.me else ""
        member = replace(
            member,
            peer_address=member.peer_address or hint.peer_address,
            client_address=member.client_address or hint.client_address,
            incarnation=member.incarnation or own or s.incarnations.get(node, ""),
        )
        if member != Member(node):
            found.append(member)
    return tuple(found)


# -- whether it may be done now --


def _check_incarnations(wanted: Configuration, before: Configuration) -> None:
    """With more voters, a voter whose incarnation nobody new has on record could come back from a
    lost disk and be believed.
    """
    if wanted.voters == before.voters:
        return
    unknown = [node for node in wanted.voters if not wanted.member(node).incarnation]
    if unknown:
        raise ChangeRefused(
            f"{', '.join(unknown)} has not been heard of by this leader: start it, or remove it"
        )


def _check_admitted(lead: Leadership, change: Change) -> None:
    """A voter that may not vote yet would be missing when this leader is lost, perhaps for ever: it
    is admitted only by what a leader sends it.
    """
    node = change.by if change.kind is ChangeKind.REPLACE else change.member.node
    if change.kind in (ChangeKind.PROMOTE, ChangeKind.REPLACE) and lead.progress[node].joining:
        raise ChangeRefused(f"{node!r} is still joining, or has not answered this leader yet")


def _check_learner(s: State, lead: Leadership, change: Change, now: float) -> None:
    """A voter that lacks much would hold up every commit that needs it."""
    node = change.by if change.kind is ChangeKind.REPLACE else change.member.node
    if change.kind not in (ChangeKind.PROMOTE, ChangeKind.REPLACE):
        return
    progress = lead.progress[node]
    if not _in_contact(s, progress, now):
        raise ChangeRefused(f"{node!r} does not answer: see that it runs and can be reached")
    lacks = s.log.last_index - progress.match
    if progress.mode is Mode.SNAPSHOT or lacks > PROMOTE_LAG_MAX:
        raise ChangeRefused(
            f"{node!r} has not caught up: it lacks {lacks} entries, {PROMOTE_LAG_MAX} are allowed; "
            "try again later"
        )


def _check_majority(s: State, lead: Leadership, wanted: Configuration, now: float) -> None:
    """A change that leaves no majority in contact could not even be undone."""
    if wanted.voters == s.configuration.voters:
        return
    up = [p.peer for p in lead.progress.values() if _in_contact(s, p, now)] + [s.me]
    if not wanted.has_majority(up):
        down = [voter for voter in wanted.voters if voter not in up]
        raise ChangeRefused(
            f"then {len(wanted.voters)} voters would need more than are up: no contact with "
            f"{', '.join(down)}; bring it back or remove it first, or use force"
        )


def _in_contact(s: State, progress: Progress, now: float) -> bool:
    """It has answered within an election timeout."""
    if progress.contact is None:
        return False
    return now - progress.contact <= s.settings.election_timeout_max


# -- once it is committed --


def settle(s: State, fx: Effects, now: float) -> None:
    """The configuration in force is committed, as far as this node knows: what follows from that.

    A joint one is left; a leader that is no voter any more hands over; who joins is admitted, who
    was removed ends.
    """
    lead, configuration = s.leadership, s.configuration
    if lead is not None and s.commit_index < lead.first_index:
        return
    s.settled = True
    if lead is not None and configuration.outgoing:
        _append(s, fx, _left(configuration), now)
        return
    admission.admit_if_joined(s, fx, now)
    if s.agreement.verdict.differing:
        agreement.forget_retired(s, fx)
    if lead is not None and not configuration.is_voter(s.me):
        _hand_over(s, fx, lead, now)
    elif lead is None and s.me in configuration.retired:
        roles.note_removed(s, fx, now, "the change is committed")


def _hand_over(s: State, fx: Effects, lead: Leadership, now: float) -> None:
    """It has led until its own departure was committed (4.2.2), without counting itself."""
    if lead.transfer is not None:
        return
    try:
        transfer.begin(s, fx, None, now)
    except Unavailable:
        roles.step_down(s, fx, now, "it is no voter any more, and there is nobody to hand over to")
