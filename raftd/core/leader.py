"""A leader: what it owes its followers, and when an entry is committed (Figure 2, "Leaders")."""

from __future__ import annotations

from collections.abc import Sequence

from raftd.core import agreement, membership
from raftd.core.effects import BrokenInvariant, Effects, NotLeader, Unavailable
from raftd.core.events import EventKind
from raftd.core.messages import AppendReply, AppendRequest, Channel, Room
from raftd.core.progress import Mode, Progress
from raftd.core.state import Leadership, State, leadership
from raftd.core.types import Entry, EntryType, Index, NodeId

HEARTBEATS_INFLIGHT_MAX = 8
"""Lost heartbeats must not block the next ones, a dead peer must not collect them without end."""


def propose(s: State, fx: Effects, batches: Sequence[bytes], now: float) -> None:
    """A client's batches, each an entry. Raises NotLeader, Unavailable: nothing was appended."""
    if s.leadership is None:
        raise NotLeader(s.leader_id)
    check_open(s, s.leadership, now)
    first, term = s.log.last_index + 1, s.current_term
    entries = tuple(
        Entry(first + offset, term, EntryType.BATCH, batch) for offset, batch in enumerate(batches)
    )
    if entries:
        append(s, fx, now, entries)
        fx.assigned = [(entry.index, term) for entry in entries]


def check_open(s: State, lead: Leadership, now: float) -> None:
    """May something new be appended? Raises Unavailable."""
    if lead.transfer is not None:
        target = lead.transfer.target
        raise Unavailable(f"leadership is being handed to {target}", target)
    if s.unsynced and now - s.unsynced[0][1] > s.settings.disk_stall_refuse:
        raise Unavailable("the leader's disk has not synced for a while")


def append(s: State, fx: Effects, now: float, entries: tuple[Entry, ...]) -> None:
    """Leader: Figure 2, "append entry to local log". The peers get it while our own disk writes."""
    seq = s.write(fx, now, entries=entries)
    s.log.append(entries, seq)
    membership.note_appended(s, fx, now, entries)
    s.wake_all(fx, Channel.APPEND)


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
        mark=agreement.mark_out(s),
        verdict=agreement.verdict_out(s),
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
    """Figure 2: entries from nextIndex on; or the snapshot, if they are compacted."""
    lead = leadership(s)
    progress = lead.progress.get(peer)
    if progress is None or not _may_append(s, progress, now):
        return None
    prev_index = progress.next - 1
    prev_term = s.log.term_at(prev_index)
    if prev_term is not None and progress.room is not Room.ALL:
        return None  # its next heartbeat's answer may say otherwise
    if prev_term is None:
        # What it needs next is compacted: send the snapshot instead (Section 7), on the bulk
        # channel, which is woken by the next answer or tick.
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
        mark=None if lead.check is None else lead.check.mark,
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


def on_append_reply(
    s: State, fx: Effects, peer: NodeId, sent: AppendRequest, reply: AppendReply
) -> None:
    """A reply of our own term. `match` rises by its `durable` and by nothing else."""
    progress = leadership(s).progress.get(peer)
    if progress is None:
        return
    if sent.is_heartbeat:
        _heartbeat_over(progress, sent.number)
    else:
        progress.losses = 0
    progress.heard(sent.number, sent.pulled_at)
    progress.told(sent.number, reply)
    if reply.digest is not None:
        agreement.on_reply(s, peer, reply)
    in_window = not sent.is_heartbeat and progress.settled(sent.number)
    if progress.matched(reply.durable, sent.number, s.pull_number):
        progress.pinned(sent.pulled_at)
        if progress.sending is None and progress.match >= s.snapshot.index:
            progress.pinned_at = None
    if progress.contradicts(sent, reply):
        _serve_anew(s, fx, progress, sent, reply)
    elif in_window:
        if reply.ok:
            _accepted(progress, sent)
        else:
            _refused(s, progress, sent, reply)
    if progress.next <= s.log.last_index:
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
    _back_up(s, progress, sent, reply)


def _back_up(s: State, progress: Progress, sent: AppendRequest, reply: AppendReply) -> None:
    next_index = reply.conflict_index
    if reply.conflict_term:
        ours = s.log.last_index_of_term(reply.conflict_term, at_most=sent.prev_index)
        if ours is not None:
            next_index = ours + 1
    progress.to_probe(max(1, min(next_index, sent.prev_index)))


def _serve_anew(
    s: State, fx: Effects, progress: Progress, sent: AppendRequest, reply: AppendReply
) -> None:
    """Its disk has lost the end of its log, so it counts for that no more, and gets it again.

    A last batch that goes bad before anything proves that it was synced looks like a torn write.
    With match kept, what was sent would be refused for as long as this node leads.
    """
    what = (
        f"{progress.peer} had acknowledged entry {progress.match} and does not hold it any more: "
    )
    what += "its disk has lost what it had synced. It is sent again; look after that disk"
    s.event(fx, EventKind.ENTRIES_LOST, what, progress.peer)
    progress.fell(reply.durable, s.pull_number)
    _back_up(s, progress, sent, reply)


def _heartbeat_over(progress: Progress, number: int) -> None:
    progress.heartbeats_inflight = max(0, progress.heartbeats_inflight - 1)
    if progress.read_heartbeat is not None and progress.read_heartbeat[0] == number:
        progress.read_heartbeat = None


def on_append_lost(s: State, peer: NodeId, sent: AppendRequest, now: float) -> None:
    """No answer came. The message may have arrived: probe from what is known to match."""
    progress = leadership(s).progress.get(peer)
    if progress is None:
        return
    if sent.is_heartbeat:
        _heartbeat_over(progress, sent.number)
    elif progress.settled(sent.number):
        progress.to_probe(progress.match + 1 if progress.match else sent.prev_index + 1)
        progress.append_lost(now, s.settings.heartbeat_interval)


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

    reached = s.configuration.reached_by_majority(match)
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
    if not s.configuration.has_majority(holders):
        raise BrokenInvariant(
            f"commit never past what a majority holds: entry {index} of term {s.current_term} is "
            f"durable on {','.join(sorted(holders)) or 'nobody'} only, of {s.configuration}"
        )
