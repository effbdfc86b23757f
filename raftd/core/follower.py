"""A follower: AppendEntries' receiver (Figure 2, rules 2-5), and what it hears of its leader."""

from __future__ import annotations

from raftd.core import agreement, membership, roles, snapshots
from raftd.core.effects import BrokenInvariant, Effects, Token
from raftd.core.events import EventKind
from raftd.core.messages import AppendReply, AppendRequest, NotAdmitted, Room
from raftd.core.state import State
from raftd.core.types import Index, NodeId, Role


def on_append(s: State, fx: Effects, request: AppendRequest, now: float, token: Token) -> None:
    """AppendEntries of our own term's leader, or of a term that `step` has just adopted."""
    hear_leader(s, fx, request.leader, now)
    if s.first_named is None:
        s.first_named = request.term, request.commit
    if request.mark is not None or request.verdict is not None:
        agreement.hear(s, fx, request)
    append(s, fx, request, now, token)


def hear_leader(s: State, fx: Effects, node: NodeId, now: float) -> None:
    """A message of our term's leader: follow it, wait anew. Section 5.2, Figure 2 "Followers"."""
    term = s.current_term
    if s.leadership is not None or s.leader_id not in (None, node):
        other = s.leader_id or s.me
        raise BrokenInvariant(f"two leaders in term {term}, unnoticed: {other} and {node}")
    if s.role is not Role.FOLLOWER or s.leader_id is None:
        roles.become_follower(s, fx, node, now, f"{node} leads term {term}")
    elif s.link_lost:
        s.event(fx, EventKind.LEADER, f"leader {node} is heard again", node)
    s.leader_contact, s.link_lost = now, False
    roles.arm_election(s, now)
    roles.note_leader(s, node)


def durable_for_leader(s: State) -> Index:
    """How much of this term's leader's log is durable here.

    What is committed agrees with any leader.
    """
    return min(s.log.durable_index, max(s.verified_index, s.commit_index))


def refuse_append(s: State, fx: Effects, request: AppendRequest, token: Token) -> None:
    """Rule 1: the request is of an older term.

    The answer shows ours, so that the sender steps down.
    """
    reply = AppendReply(s.current_term, False, 0, number=request.number)
    s.hold(fx, token, 0, reply)


def append(s: State, fx: Effects, request: AppendRequest, now: float, token: Token) -> None:
    """Rules 2-5."""
    if request.entries and snapshots.room(s) is not Room.ALL:
        fx.replies.append((token, NotAdmitted(request.number)))
        return
    if not _previous_matches(s, request):
        _refuse_mismatch(s, fx, request, token)
        return
    last = request.prev_index + len(request.entries)
    if request.entries:
        _store(s, fx, request, now)
    s.verified_index = max(s.verified_index, last)
    s.commit_index = max(s.commit_index, min(request.commit, s.verified_index))
    number, prefer = request.number, s.settings.priority
    digest = None if request.mark is None else agreement.own_digest(s, request.mark)

    def make() -> AppendReply:
        durable = durable_for_leader(s)
        unfit, room = s.unfit, snapshots.room(s)
        return AppendReply(
            s.current_term, True, durable, 0, 0, number, unfit, room, not s.may_vote, digest, prefer
        )

    # A resend has nothing to write and must still wait for the write that covers its entries. An
    # empty request says nothing of entries, and a heartbeat never waits for a disk.
    s.hold_late(fx, token, s.log.write_of(last) if request.entries else 0, make)


def _previous_matches(s: State, request: AppendRequest) -> bool:
    """Rule 2. At or below the commit index every leader's log agrees with ours (`plausible`)."""
    ours = s.log.term_at(request.prev_index)
    if request.prev_index <= s.commit_index:
        return True
    return ours is not None and ours == request.prev_term


def _refuse_mismatch(s: State, fx: Effects, request: AppendRequest, token: Token) -> None:
    """Say where to look next; the log is never cut by a refusal. Section 5.3, last paragraphs."""
    if request.prev_index > s.log.last_index:
        term, index = 0, s.log.last_index + 1
    else:
        term = s.log.term_at(request.prev_index) or 0
        index = s.log.first_index_of_term(request.prev_index, floor=s.commit_index)
    number = request.number

    def make() -> AppendReply:
        durable = durable_for_leader(s)
        unfit, room = s.unfit, snapshots.room(s)
        return AppendReply(
            s.current_term, False, durable, term, index, number, unfit, room, not s.may_vote
        )

    s.hold_late(fx, token, 0, make)


def _store(s: State, fx: Effects, request: AppendRequest, now: float) -> None:
    """Rules 3 and 4: skip what we have, truncate only at a real conflict, append the rest."""
    new = _first_new(s, request)
    if new is None:
        return
    entries = request.entries[new:]
    first = entries[0].index
    if first <= s.commit_index:
        raise BrokenInvariant(f"entry {first} would go, but {s.commit_index} is committed here")
    if first <= s.log.last_index:
        s.event(
            fx,
            EventKind.TRUNCATED,
            f"from {first} to {s.log.last_index}, overridden by {request.leader}",
        )
        membership.note_truncated(s, fx, now, first)
    seq = s.write(fx, now, entries=entries)
    s.log.append(entries, seq)
    membership.note_appended(s, fx, now, entries)


def _first_new(s: State, request: AppendRequest) -> int | None:
    """The offset of the first entry that the log lacks or contradicts; None if it has them all."""
    if request.prev_index == s.log.last_index:
        return 0
    for offset, entry in enumerate(request.entries):
        ours = s.log.term_at(entry.index)
        if ours is None:
            if entry.index > s.log.last_index:
                return offset
            continue  # compacted, so committed: the same
        if ours != entry.term:
            return offset
    return None
