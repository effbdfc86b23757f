"""InstallSnapshot (Figure 13): a leader's chunks on their way out, a follower's on their way in.

What is refused is tried again less and less often, and never at the cost of a newer snapshot: a
file that has gone bad would else be sent for as long as this node leads.
"""

from __future__ import annotations

from raftd.core import follower, membership, snapshots
from raftd.core.effects import Effects, Token
from raftd.core.events import EventKind
from raftd.core.messages import Channel, NotAdmitted, Room, SnapshotReply, SnapshotRequest
from raftd.core.progress import Sending
from raftd.core.state import State, leadership
from raftd.core.types import NodeId, Role, SnapshotMarker, SnapshotMeta

# -- a leader --


def next_chunk(s: State, peer: NodeId, now: float) -> SnapshotRequest | None:
    """One chunk is under way at a time; its bytes are the driver's to fill in."""
    progress = leadership(s).progress.get(peer)
    if progress is None or progress.sending is None or now < progress.resume_at:
        return None
    sending = progress.sending
    if sending.inflight is None and _is_given_up(s, sending):
        sending = progress.to_snapshot(s.snapshot, now, s.settings.election_timeout_min)
    if sending.inflight is not None or now < sending.not_before or sending.meta == s.rotten:
        return None
    if progress.room is Room.NOTHING:
        return None
    sending.inflight = s.next_number()
    return SnapshotRequest(
        s.current_term,
        s.me,
        sending.meta,
        sending.offset,
        number=sending.inflight,
        pulled_at=now,
        probes=sending.refusals > 0 and sending.chunks == 0,
    )


def _is_given_up(s: State, sending: Sending) -> bool:
    """Was it refused, or its file found to be bad, and is there another one to send instead?"""
    return sending.refusals > 0 and s.snapshot != sending.meta


def on_chunk_reply(
    s: State, fx: Effects, peer: NodeId, sent: SnapshotRequest, reply: SnapshotReply, now: float
) -> None:
    """Go on where the follower says. `match` rises by its `durable`, as with appends."""
    progress = leadership(s).progress.get(peer)
    if progress is None:
        return
    progress.heard(sent.number, sent.pulled_at)
    progress.matched(reply.durable, sent.number, s.pull_number)
    sending = progress.sending
    if sending is not None and sending.inflight == sent.number:
        sending.inflight = None
        sending.chunks += 1
        if sending.got_to(min(reply.next_offset, sending.meta.size_bytes)):
            progress.pinned(sent.pulled_at)
        if reply.next_offset <= sending.offset and not reply.done:
            _no_further(s, fx, peer, sending, reply.next_offset, now)
        sending.offset = reply.next_offset
        if reply.done:
            progress.to_probe(sending.meta.index + 1)
    fx.wake[(peer, Channel.BULK)] = None
    fx.wake[(peer, Channel.APPEND)] = None


def _no_further(
    s: State, fx: Effects, peer: NodeId, sending: Sending, next_offset: int, now: float
) -> None:
    """It refused what it got, whole or in part: our file may have gone bad since it was written.

    Sent again at once it would be refused again at once. A newer one is sent at once, and there
    will be one soon if this file turns out to be bad.
    """
    sending.refused(now, s.settings.election_timeout_min)
    if sending.meta == s.snapshot:
        fx.suspect = sending.meta
    what = f"{peer} wants snapshot {sending.meta.index} from offset {next_offset} again"
    s.event(fx, EventKind.SNAPSHOT_RESTARTED, what, peer)


def on_chunk_lost(s: State, peer: NodeId, sent: SnapshotRequest, now: float) -> None:
    """No answer came: the same chunk again after a heartbeat interval."""
    progress = leadership(s).progress.get(peer)
    if progress is None or progress.sending is None or progress.sending.inflight != sent.number:
        return
    progress.sending.inflight = None
    progress.resume_at = now + s.settings.heartbeat_interval
    if s.snapshot.index > progress.sending.meta.index and snapshots.pin_is_over(s, progress, now):
        progress.to_probe(progress.match + 1)


# -- a follower --


def on_chunk(s: State, fx: Effects, request: SnapshotRequest, now: float, token: Token) -> None:
    """A chunk from our own term's leader, or of a term that `step` has just adopted."""
    follower.hear_leader(s, fx, request.leader, now)
    chunk(s, fx, request, token)


def refuse_chunk(s: State, fx: Effects, request: SnapshotRequest, token: Token) -> None:
    """Figure 13, rule 1. The answer shows our term."""
    reply = SnapshotReply(s.current_term, 0, False, 0, request.number)
    s.hold(fx, token, 0, reply)


def chunk(s: State, fx: Effects, request: SnapshotRequest, token: Token) -> None:
    """Store it, unless what it stands for is here already."""
    if request.offset + len(request.data) > request.meta.size_bytes:
        _refuse_more_than_all(s, fx, request, token)
        return
    if request.meta.index <= s.commit_index:
        _have_it(s, fx, request, token)
    elif snapshots.room(s) is Room.NOTHING:
        fx.replies.append((token, NotAdmitted(request.number)))
    else:
        fx.chunks.append((token, request))


def _refuse_more_than_all(s: State, fx: Effects, request: SnapshotRequest, token: Token) -> None:
    end, size = request.offset + len(request.data), request.meta.size_bytes
    what = f"{request.leader} sent bytes up to {end} of a snapshot of {size}: none was stored"
    s.event(fx, EventKind.REFUSED, what, request.leader)
    refuse_chunk(s, fx, request, token)


def chunk_stored(
    s: State, fx: Effects, token: Token, request: SnapshotRequest, next_offset: int
) -> None:
    """Answer where the next chunk is to start."""
    number = request.number

    def make() -> SnapshotReply:
        return SnapshotReply(
            s.current_term, next_offset, False, follower.durable_for_leader(s), number
        )

    s.hold_late(fx, token, 0, make)


def received(
    s: State, fx: Effects, meta: SnapshotMeta, request: SnapshotRequest, now: float, token: Token
) -> None:
    """A whole snapshot is durable on disk: mark it in the log, and only then use it.

    The answer waits for the mark: entries after it must not be acknowledged on a log that a crash
    would show with a gap before them.

    Whoever became the leader meanwhile holds all that is committed, and so all that it stands for:
    a leader's log is nobody else's to replace or to commit (Leader Append-Only).
    """
    if s.role is Role.LEADER:
        refuse_chunk(s, fx, request, token)
        return
    if meta.index > s.commit_index:
        take(s, fx, meta, now)
    _have_it(s, fx, request, token)


def _have_it(s: State, fx: Effects, request: SnapshotRequest, token: Token) -> None:
    number = request.number

    def make() -> SnapshotReply:
        return SnapshotReply(
            s.current_term, request.meta.size_bytes, True, follower.durable_for_leader(s), number
        )

    s.hold_late(fx, token, s.log.write_of(request.meta.index), make)


def take(s: State, fx: Effects, meta: SnapshotMeta, now: float) -> None:
    """Figure 13, rules 6-8.

    If the log holds that very entry the snapshot brings nothing new: all of it is matched and
    committed, and is applied from the log. Else the whole log goes: keeping what follows would keep
    entries of another history.
    """
    if s.log.term_at(meta.index) == meta.term:
        s.verified_index = max(s.verified_index, meta.index)
        s.commit_index = meta.index
        return
    seq = s.write(fx, now, marker=SnapshotMarker(meta, reset=True))
    s.orphan_bytes += s.log.bytes_between(s.applied_index + 1, s.handed_index)
    s.log.reset(meta.index, meta.term, seq, still_durable=s.commit_index)
    membership.replaced_by_snapshot(s, fx, now, meta)
    s.snapshot = meta
    s.commit_index = meta.index
    s.installing = (seq, meta)
