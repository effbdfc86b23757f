"""A leader's snapshot on its way to a follower that needs what is compacted (Section 7).

What is refused is tried again less and less often, and never at the cost of a newer snapshot: a
file that has gone bad would else be sent for as long as this node leads.
"""

from __future__ import annotations

from raftd.core.effects import Effects
from raftd.core.leader import leadership, pin_is_over
from raftd.core.messages import Channel, Room, SnapshotReply, SnapshotRequest
from raftd.core.progress import Sending
from raftd.core.state import State
from raftd.core.types import NodeId


def next_chunk(s: State, peer: NodeId, now: float) -> SnapshotRequest | None:
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
    )


def _is_given_up(s: State, sending: Sending) -> bool:
    """Was it refused, or its file found to be bad, and is there another one to send instead?"""
    return sending.refusals > 0 and s.snapshot != sending.meta


def on_chunk_reply(
    s: State, fx: Effects, peer: NodeId, sent: SnapshotRequest, reply: SnapshotReply, now: float
) -> None:
    progress = leadership(s).progress.get(peer)
    if progress is None:
        return
    progress.heard(sent.number, sent.pulled_at)
    progress.matched(reply.durable)
    sending = progress.sending
    if sending is not None and sending.inflight == sent.number:
        sending.inflight = None
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
    s.event(fx, "snapshot_restarted", what, peer)


def on_chunk_lost(s: State, peer: NodeId, sent: SnapshotRequest, now: float) -> None:
    progress = leadership(s).progress.get(peer)
    if progress is None or progress.sending is None or progress.sending.inflight != sent.number:
        return
    progress.sending.inflight = None
    progress.resume_at = now + s.settings.heartbeat_interval
    if s.snapshot.index > progress.sending.meta.index and pin_is_over(s, progress, now):
        progress.to_probe(progress.match + 1)
