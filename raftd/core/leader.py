"""What a leader owes its followers, and when an entry is committed (Figure 2, "Rules for Servers,
Leaders").
"""

from __future__ import annotations

from raftd.core.effects import BrokenInvariant, Effects
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Channel,
    Room,
    TimeoutNowRequest,
)
from raftd.core.progress import Mode, Progress
from raftd.core.quorum import reached_by_majority
from raftd.core.state import Leadership, State
from raftd.core.types import Index, NodeId

HEARTBEATS_INFLIGHT_MAX = 8
"""Lost heartbeats must not block the next ones, a dead peer must not collect them without end."""


def leadership(s: State) -> Leadership:
    assert s.leadership is not None, "only a leader comes here"
    return s.leadership


def new_progress(s: State, peer: NodeId, now: float) -> Progress:
    """Figure 2: nextIndex starts at the leader's last index + 1, matchIndex at 0."""
    return Progress(peer, next=s.log.last_index + 1, heartbeat_at=now)


# -- what a peer is owed --


def next_heartbeat(s: State, peer: NodeId, now: float) -> AppendRequest | None:
    """An empty append with prev = match: it can overtake appends without being refused."""
    progress = leadership(s).progress.get(peer)
    if progress is None or progress.heartbeats_inflight >= HEARTBEATS_INFLIGHT_MAX:
        return None
    for_reads = _read_round_due(s, progress, now)
    if now < progress.heartbeat_at and not for_reads:
        return None
    number = s.next_number()
    if for_reads:
        progress.read_heartbeat = (number, now)
    progress.heartbeat_at = now + s.settings.heartbeat_interval
    progress.heartbeats_inflight += 1
    prev_term = s.log.term_at(progress.match)
    prev_index = progress.match if prev_term is not None else 0
    return AppendRequest(
        s.current_term,
        s.me,
        prev_index,
        prev_term or 0,
        (),
        s.commit_index,
        number=number,
        pulled_at=now,
    )


def _read_round_due(s: State, progress: Progress, now: float) -> bool:
    """Does a read wait that no request to this peer can confirm yet? One such round at a time."""
    reads = leadership(s).reads
    if not reads:
        return False
    newest = reads[-1].stamp
    if progress.acked_number > newest:
        return False
    if progress.read_heartbeat is None:
        return True
    number, pulled_at = progress.read_heartbeat
    stuck = now - pulled_at > s.settings.heartbeat_interval
    return stuck and number <= newest


def next_append(s: State, peer: NodeId, now: float) -> AppendRequest | None:
    progress = leadership(s).progress.get(peer)
    if progress is None or not _may_append(s, progress, now):
        return None
    prev_index = progress.next - 1
    prev_term = s.log.term_at(prev_index)
    if prev_term is not None and progress.room is not Room.ALL:
        return None  # its next heartbeat's answer may say otherwise
    if prev_term is None:
        # What it needs next is compacted: send the snapshot instead (Section 7), on the bulk
        # channel,
        # which is woken by the next answer or tick.
        progress.to_snapshot(s.snapshot, now, s.settings.election_timeout_min)
        return None
    entries = s.log.batch_from(
        progress.next, s.settings.batch_entries_max, s.settings.batch_bytes_max
    )
    if not entries:
        return None
    number = s.next_number()
    size = sum(entry.size_bytes for entry in entries)
    progress.sent(number, entries[-1].index, size)
    return AppendRequest(
        s.current_term,
        s.me,
        prev_index,
        prev_term,
        entries,
        s.commit_index,
        number=number,
        pulled_at=now,
    )


def _may_append(s: State, progress: Progress, now: float) -> bool:
    if progress.mode is Mode.SNAPSHOT or now < progress.resume_at:
        return False
    if progress.mode is Mode.PROBE:
        return not progress.inflight
    return (
        len(progress.inflight) < s.settings.window_messages_max
        and progress.inflight_bytes < s.settings.window_bytes_max
    )


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


# -- what comes back --


def on_append_reply(
    s: State, fx: Effects, peer: NodeId, sent: AppendRequest, reply: AppendReply
) -> None:
    """A reply of our own term. `match` rises by its `durable` and by nothing else."""
    progress = leadership(s).progress.get(peer)
    if progress is None:
        return
    if not sent.entries:
        _heartbeat_over(progress, sent.number)
    if sent.entries:
        progress.losses = 0
    progress.heard(sent.number, sent.pulled_at)
    progress.told(sent.number, reply)
    in_window = bool(sent.entries) and progress.settled(sent.number)
    if progress.matched(reply.durable):
        progress.pinned(sent.pulled_at)
        if progress.sending is None and progress.match >= s.snapshot.index:
            progress.pinned_at = None
    if in_window:
        if reply.ok:
            _accepted(progress, sent)
        else:
            _refused(s, progress, sent, reply)
    fx.wake[(peer, Channel.APPEND)] = None
    if progress.sending is not None:
        fx.wake[(peer, Channel.BULK)] = None


def _accepted(progress: Progress, sent: AppendRequest) -> None:
    if progress.mode is Mode.PROBE:
        progress.next = max(progress.next, sent.prev_index + len(sent.entries) + 1)
        progress.to_replicate()


def _refused(s: State, progress: Progress, sent: AppendRequest, reply: AppendReply) -> None:
    """Section 5.3: back up. Only the first refusal of a window gets here; the rest is given up."""
    if sent.prev_index <= progress.match:
        progress.to_probe(progress.match + 1)  # late: it was refused before, and matched since
        return
    next_index = reply.conflict_index
    if reply.conflict_term:
        ours = s.log.last_index_of_term(reply.conflict_term, at_most=sent.prev_index)
        if ours is not None:
            next_index = ours + 1
    progress.to_probe(max(1, min(next_index, sent.prev_index)))


def _heartbeat_over(progress: Progress, number: int) -> None:
    progress.heartbeats_inflight = max(0, progress.heartbeats_inflight - 1)
    if progress.read_heartbeat is not None and progress.read_heartbeat[0] == number:
        progress.read_heartbeat = None


def on_append_lost(s: State, peer: NodeId, sent: AppendRequest, now: float) -> None:
    """No answer came. The message may have arrived: probe from what is known to match."""
    progress = leadership(s).progress.get(peer)
    if progress is None:
        return
    if not sent.entries:
        _heartbeat_over(progress, sent.number)
    elif progress.settled(sent.number):
        progress.to_probe(progress.match + 1 if progress.match else sent.prev_index + 1)
        progress.append_lost(now, s.settings.heartbeat_interval)


def pin_is_over(s: State, progress: Progress, now: float) -> bool:
    """A pinned log must not grow without end for a follower that takes nothing."""
    if progress.pinned_at is None:
        return True
    too_long = now - progress.pinned_at > s.settings.pin_seconds_max
    return too_long or s.log.bytes > min(s.settings.pin_bytes_max, s.pin_bytes_max)


def pinned_index(s: State, now: float) -> Index | None:
    """Entries above this one must stay, for followers that are receiving a snapshot, or what comes
    after it: one that were let go then would need the next snapshot, and so on for ever.
    """
    if s.leadership is None:
        return None
    pins = [
        p.sending.meta.index if p.sending is not None else p.match
        for p in s.leadership.progress.values()
        if not pin_is_over(s, p, now)
    ]
    return min(pins, default=None)


# -- commit --


def maybe_commit(s: State) -> bool:
    """Figure 2, last rule for leaders: only an entry of the current term is committed by counting.

    Counting an older term's entry could commit what a later leader may still overwrite (Figure 8).
    Our own share is what is durable here, like everybody's.
    """
    lead = leadership(s)

    def match(voter: NodeId) -> Index:
        if voter == s.me:
            return s.log.durable_index
        progress = lead.progress.get(voter)
        return progress.match if progress else 0

    reached = reached_by_majority(s.configuration.voters, match)
    if reached <= s.commit_index or s.log.term_at(reached) != s.current_term:
        return False
    _assert_majority_holds(s, lead, reached)
    s.commit_index = reached
    return True


def _assert_majority_holds(s: State, lead: Leadership, index: Index) -> None:
    """Counted anew, and in another way than it was found: what is committed is never taken back."""
    holders = [p.peer for p in lead.progress.values() if p.match >= index]
    if s.log.durable_index >= index:
        holders.append(s.me)
    voters = [voter for voter in s.configuration.voters if voter in holders]
    if 2 * len(voters) <= len(s.configuration.voters):
        raise BrokenInvariant(
            f"commit never past what a majority holds: entry {index} of term {s.current_term} is "
            f"durable on {','.join(voters) or 'nobody'} of {','.join(s.configuration.voters)} only"
        )
