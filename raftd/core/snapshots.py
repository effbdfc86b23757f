"""A node's snapshots: its own are marked and then its log is compacted; which files must stay.

How a snapshot gets to a follower is in `install_snapshot.py`. Section 7.
"""

from __future__ import annotations

from raftd.core import membership
from raftd.core.effects import BrokenInvariant, Effects
from raftd.core.events import EventKind
from raftd.core.messages import Room
from raftd.core.progress import Progress, Sending
from raftd.core.state import State
from raftd.core.types import Index, SnapshotMarker, SnapshotMeta, WriteSeq

INSTALLS_OUT_MAX = 2
"""Received snapshots that the machine has not restored yet."""
COMPACT_ENTRIES_MAX = 4096
"""Of the log, that are let go at once: some 2 ms. The network thread stood still for 50 ms at each
snapshot that covered 100,000.
"""


def taken(s: State, fx: Effects, meta: SnapshotMeta, now: float) -> None:
    """Mark our own durable snapshot in the log; compaction waits for the mark to be durable."""
    if meta.index <= s.snapshot.index and not _replaces_rotten(s, meta):
        return
    if s.log.term_at(meta.index) not in (None, meta.term):
        raise BrokenInvariant(
            f"a snapshot at {meta.index} of term {meta.term}, where the log has one of term "
            f"{s.log.term_at(meta.index)}: it stands for the last entry that it covers"
        )
    s.rotten = None
    if meta == s.snapshot:
        for sending in _sendings(s, meta):  # the same bytes as before, and good now
            sending.refusals, sending.not_before = 0, 0.0
        s.event(
            fx, EventKind.SNAPSHOT_TAKEN, f"at {meta.index}, {meta.size_bytes} bytes, once more"
        )
        return
    if not meta.configuration.voters:
        raise BrokenInvariant(f"a snapshot at {meta.index} that does not say who the members are")
    if meta.index > s.handed_index:
        raise BrokenInvariant(
            f"a snapshot at {meta.index}, but only {s.handed_index} was handed to the machine"
        )
    seq = s.write(fx, now, marker=SnapshotMarker(meta, reset=False))
    s.snapshot = meta
    s.compact_after = (seq, meta)
    s.event(fx, EventKind.SNAPSHOT_TAKEN, f"at {meta.index}, {meta.size_bytes} bytes")


def _replaces_rotten(s: State, meta: SnapshotMeta) -> bool:
    """Of the same state, which nothing was applied to since: in place of a file that went bad."""
    return s.rotten is not None and s.rotten == s.snapshot and meta.index == s.snapshot.index


def _sendings(s: State, meta: SnapshotMeta) -> list[Sending]:
    """Where this one is on its way to a follower."""
    lead = s.leadership
    found = [] if lead is None else [progress.sending for progress in lead.progress.values()]
    return [sending for sending in found if sending is not None and sending.meta == meta]


def note_rotten(s: State, fx: Effects, meta: SnapshotMeta, what: str) -> None:
    """It is what a restart would rest on, and what followers get: it must be replaced at once."""
    if meta == s.snapshot:
        s.rotten = meta
        for sending in _sendings(s, meta):
            sending.refusals += 1
        s.event(fx, EventKind.SNAPSHOT_ROTTEN, f"{what}; another snapshot is taken at once")


def marker_is_durable(s: State, fx: Effects, before: WriteSeq, now: float) -> None:
    """Only now may the machine move to a received snapshot, and the log before ours go."""
    if s.installing is not None and s.installing[0] <= s.durable_seq:
        meta = s.installing[1]
        s.installing = None
        fx.install = meta
        s.installs_out.append(meta)
        fx.released = meta.index
        s.handed_index = meta.index
        s.event(fx, EventKind.SNAPSHOT_INSTALLED, f"at {meta.index}, {meta.size_bytes} bytes")
    if s.compact_after is not None and before < s.compact_after[0] <= s.durable_seq:
        compact(s, fx, now)


def compaction_is_due(s: State, now: float) -> bool:
    """A snapshot is marked, and there is more to let go: the next piece, or what a transfer pinned.

    While one pins, a piece must be whole: what is pinned may move with each answer.
    """
    if s.compact_after is None or s.compact_after[0] > s.durable_seq:
        return False
    pin = pinned_index(s, now)
    return pin is None or pin - s.log.base_index >= COMPACT_ENTRIES_MAX


def compact(s: State, fx: Effects, now: float) -> None:
    """Compact to the marked snapshot, less a bounded tail, and not past what is being sent.

    The tail is for briefly absent followers. The pin is for one that receives a snapshot: it must
    be able to go on from there, or the transfer starts over for ever. In pieces, one a tick.
    """
    assert s.compact_after is not None
    meta = s.compact_after[1]
    to = s.log.tail_start(meta.index, s.settings.keep_entries, s.settings.keep_bytes)
    pin = pinned_index(s, now)
    allowed = to if pin is None else min(pin, to)
    piece = min(allowed, s.log.base_index + COMPACT_ENTRIES_MAX)
    if piece == to:
        s.compact_after = None
    if piece > s.log.base_index:
        s.log.compact(piece)
        fx.released = max(fx.released, piece)
    membership.forget_before(s, s.snapshot.index)


def pin_is_over(s: State, progress: Progress, now: float) -> bool:
    """A pinned log must not grow without end for a follower that takes nothing."""
    if progress.pinned_at is None:
        return True
    too_long = now - progress.pinned_at > s.settings.pin_seconds_max
    return too_long or s.log.bytes > min(s.settings.pin_bytes_max, s.pin_bytes_max)


def pinned_index(s: State, now: float) -> Index | None:
    """Entries above this one must stay, for followers that are receiving a snapshot.

    And for those that are receiving what comes after it: let go then, they would need the next
    snapshot, and so on for ever.
    """
    if s.leadership is None:
        return None
    pins = [
        p.sending.meta.index if p.sending is not None else p.match
        for p in s.leadership.progress.values()
        if not pin_is_over(s, p, now)
    ]
    return min(pins, default=None)


def restored(s: State, index: Index) -> None:
    """The machine has got as far as `index`: the snapshots up to there are restored."""
    while s.installs_out and s.installs_out[0].index <= index:
        s.installs_out.popleft()
    if not s.installs_out:
        s.orphan_bytes = 0


def room(s: State) -> Room:
    """What this node may take from its leader without growing past `log_bytes_max`.

    Only what this node can make room for by itself counts against it: without a committed entry
    that a snapshot could cover there is none, and an entry of the new term must still come in, or
    those of older terms would never be committed. Nor is there for a node that joins: it takes no
    snapshot before it has heard who the members are, which stands at the end of all this. A
    snapshot makes room, but for a machine that has not come to the last one each would wait in a
    row with its file.
    """
    behind = bool(s.installs_out) or s.installing is not None
    full = s.log.bytes + s.orphan_bytes > s.settings.log_bytes_max
    if behind and (full or len(s.installs_out) >= INSTALLS_OUT_MAX):
        return Room.NOTHING
    if full and s.commit_index > s.snapshot.index and membership.committed(s).voters:
        return Room.NO_ENTRIES
    return Room.ALL


def in_use(s: State) -> tuple[SnapshotMeta, ...]:
    """Whose files must stay; ascending."""
    metas = [s.snapshot, s.marked_snapshot, *s.installs_out]
    metas.extend(meta for _, meta in s.pending_markers)
    if s.leadership is not None:
        sendings = (p.sending for p in s.leadership.progress.values())
        metas.extend(sending.meta for sending in sendings if sending is not None)
    unique = {(meta.index, meta.crc): meta for meta in metas if meta.index > 0}
    return tuple(meta for _, meta in sorted(unique.items()))
