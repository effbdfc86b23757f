"""What a follower does with AppendEntries and InstallSnapshot (Figure 2 and 13, receiver rules)."""

from __future__ import annotations

from raftd.core import compaction, membership
from raftd.core.effects import BrokenInvariant, Effects, Token
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    NotAdmitted,
    Room,
    SnapshotReply,
    SnapshotRequest,
)
from raftd.core.state import State
from raftd.core.types import Index, SnapshotMarker, SnapshotMeta


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
    s.hold(fx, token, 0, lambda: reply)


def append(s: State, fx: Effects, request: AppendRequest, now: float, token: Token) -> None:
    """Rules 2-5, for a request of the current term's leader."""
    if request.entries and compaction.room(s) is not Room.ALL:
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
    number = request.number

    def make() -> AppendReply:
        durable = durable_for_leader(s)
        unfit, room = s.unfit, compaction.room(s)
        return AppendReply(s.current_term, True, durable, 0, 0, number, unfit, room)

    # A resend has nothing to write and must still wait for the write that covers its entries. An
    # empty request says nothing of entries, and a heartbeat never waits for a disk.
    s.hold(fx, token, s.log.write_of(last) if request.entries else 0, make)


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
        unfit, room = s.unfit, compaction.room(s)
        return AppendReply(s.current_term, False, durable, term, index, number, unfit, room)

    s.hold(fx, token, 0, make)


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
            fx, "truncated", f"from {first} to {s.log.last_index}, overridden by {request.leader}"
        )
        membership.note_truncated(s, first)
    seq = s.write(fx, now, entries=entries)
    s.log.append(entries, seq)
    membership.note_appended(s, entries)


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


# -- InstallSnapshot --


def refuse_chunk(s: State, fx: Effects, request: SnapshotRequest, token: Token) -> None:
    reply = SnapshotReply(s.current_term, 0, False, 0, request.number)
    s.hold(fx, token, 0, lambda: reply)


def chunk(s: State, fx: Effects, request: SnapshotRequest, token: Token) -> None:
    """A chunk from this term's leader: store it, unless what it stands for is here already."""
    if request.offset + len(request.data) > request.meta.size_bytes:
        _refuse_more_than_all(s, fx, request, token)
        return
    if request.meta.index <= s.commit_index:
        _have_it(s, fx, request, token)
    elif compaction.room(s) is Room.NOTHING:
        fx.replies.append((token, NotAdmitted(request.number)))
    else:
        fx.chunks.append((token, request))


def _refuse_more_than_all(s: State, fx: Effects, request: SnapshotRequest, token: Token) -> None:
    end, size = request.offset + len(request.data), request.meta.size_bytes
    what = f"{request.leader} sent bytes up to {end} of a snapshot of {size}: none was stored"
    s.event(fx, "refused", what, request.leader)
    refuse_chunk(s, fx, request, token)


def chunk_stored(
    s: State, fx: Effects, token: Token, request: SnapshotRequest, next_offset: int
) -> None:
    number = request.number

    def make() -> SnapshotReply:
        return SnapshotReply(s.current_term, next_offset, False, durable_for_leader(s), number)

    s.hold(fx, token, 0, make)


def received(
    s: State, fx: Effects, meta: SnapshotMeta, request: SnapshotRequest, now: float, token: Token
) -> None:
    """A whole snapshot is durable on disk: mark it in the log, and only then give it to the
    machine.

    The answer waits for the mark: entries after it must not be acknowledged on a log that a crash
    would show with a gap before them.
    """
    if meta.index > s.commit_index:
        take(s, fx, meta, now)
    _have_it(s, fx, request, token)


def _have_it(s: State, fx: Effects, request: SnapshotRequest, token: Token) -> None:
    number = request.number

    def make() -> SnapshotReply:
        return SnapshotReply(
            s.current_term, request.meta.size_bytes, True, durable_for_leader(s), number
        )

    s.hold(fx, token, s.log.write_of(request.meta.index), make)


def take(s: State, fx: Effects, meta: SnapshotMeta, now: float) -> None:
    """Figure 13, rules 6-8. If the log holds that very entry the snapshot brings nothing new: all
    of it is matched and committed, and is applied from the log. Else the whole log goes: keeping
    what follows would keep entries of another history.
    """
    if s.log.term_at(meta.index) == meta.term:
        s.verified_index = max(s.verified_index, meta.index)
        s.commit_index = meta.index
        return
    seq = s.write(fx, now, marker=SnapshotMarker(meta, reset=True))
    s.orphan_bytes += s.log.bytes_between(s.applied_index + 1, s.handed_index)
    s.log.reset(meta.index, meta.term, seq, still_durable=s.commit_index)
    s.configurations = [(meta.index, meta.configuration)]
    s.snapshot = meta
    s.commit_index = meta.index
    s.installing = (seq, meta)
