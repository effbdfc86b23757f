"""One follower as the leader sees it (Figure 2: nextIndex[] and matchIndex[])."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from raftd.core.messages import AppendReply, AppendRequest, Room
from raftd.core.types import Index, NodeId, SnapshotMeta

REFUSALS_COUNTED = 4
"""Each doubles the pause before the same snapshot is tried again, up to so many."""

CHEAP_CHUNKS, CHEAP_COUNTED = 2, 1
"""One that was refused within so many chunks has cost next to nothing: so many refusals count. A
follower whose disk is full refuses the first chunk, and is to go on soon when it has room again."""

LOSSES_FORGIVEN = 3
"""Appends lost in a row before an answer on another channel no longer says "go on at once"."""

LOSSES_COUNTED = 4
"""Further ones double the pause, up to so many."""


class Mode(Enum):
    PROBE = "probe"  # where the logs agree is not known: one message at a time
    REPLICATE = "replicate"  # pipelined, up to the window
    SNAPSHOT = "snapshot"  # what it lacks is compacted: InstallSnapshot on the bulk channel


@dataclass(slots=True)
class Sending:
    """A snapshot on its way to one follower. While it is here the log is pinned from its index."""

    meta: SnapshotMeta
    offset: int = 0
    inflight: int | None = None
    furthest: int = 0  # the most that the follower ever had of it: only more is progress
    refusals: int = 0  # since it last got further
    chunks: int = 0  # answered since it was last refused
    not_before: float = 0.0  # it was refused: the next chunk not at once

    def got_to(self, next_offset: int) -> bool:
        """The follower has it up to there; True if it never had so much of it before."""
        if next_offset <= self.furthest:
            return False
        self.furthest, self.refusals = next_offset, 0
        return True

    def refused(self, now: float, pause: float) -> None:
        """Less and less often: what was refused will be refused again."""
        self.refusals += 1
        counted = CHEAP_COUNTED if self.chunks <= CHEAP_CHUNKS else REFUSALS_COUNTED
        self.chunks = 0
        self.not_before = now + pause * 2 ** min(self.refusals - 1, counted)


@dataclass(slots=True)
class Progress:
    peer: NodeId
    next: Index  # the next entry to send. Invariant: match < next
    match: Index = 0  # known to be durable there. Rises only by a reply's `durable`
    matched_number: int = 0  # the newest request when match last rose: later ones were asked after
    fell_number: int = 0  # the newest request when match last fell: older answers are of a lost log
    mode: Mode = Mode.PROBE
    inflight: dict[int, tuple[Index, int]] = field(
        default_factory=dict
    )  # number -> (last index, bytes)
    inflight_bytes: int = 0
    contact: float | None = None  # when the newest answered request was pulled
    lost_since: float | None = None  # reported as lost: when its silence began
    acked_number: int = 0  # the largest pull number answered in this term
    heartbeat_at: float = 0.0
    heartbeats_inflight: int = 0
    read_heartbeat: tuple[int, float] | None = (
        None  # the round that confirms reads: (number, pulled at)
    )
    resume_at: float = 0.0  # after a failed send: not before then, or contact on another channel
    unfit: bool = False
    room: Room = Room.ALL
    joining: bool = True  # it is not known to be admitted: it must not become a voter
    priority: int = 0
    told_number: int = 0  # the request whose answer said the four above
    losses: int = 0  # appends lost in a row, with no answer to one between
    sending: Sending | None = None
    last_sending: Sending | None = None  # the one before: what is begun again is no progress
    pinned_at: float | None = None
    """The log is pinned for this follower: when what it last acknowledged was pulled, or since when
    it is pinned. It moves with progress only, and ends when the follower needs nothing that a
    compaction could take."""

    def heard(self, number: int, pulled_at: float) -> None:
        """A reply of our own term to request `number` came back."""
        if self.contact is None or pulled_at > self.contact:
            self.contact = pulled_at
        self.acked_number = max(self.acked_number, number)
        if self.losses <= LOSSES_FORGIVEN:
            self.resume_at = 0.0

    def told(self, number: int, reply: AppendReply) -> None:
        """What the follower says of itself; the answer to the newest request counts."""
        if number >= self.told_number:
            self.told_number, self.unfit, self.room = number, reply.unfit, reply.room
            self.joining, self.priority = reply.joining, reply.priority

    def matched(self, durable: Index, number: int, newest: int) -> bool:
        """Raise match; True if it rose. Replies may come in any order, on any channel.

        number: of the request that this answers; newest: of the newest request to anybody. An
        answer that is older than the news of a loss may speak of the log that is lost.
        """
        if durable <= self.match or number <= self.fell_number:
            return False
        self.match, self.matched_number = durable, newest
        self.next = max(self.next, durable + 1)
        return True

    def contradicts(self, sent: AppendRequest, reply: AppendReply) -> bool:
        """Is what it acknowledged gone? In our term a log that lives never gets shorter than that.

        A request that was pulled after the acknowledgement was heard asked a log that had it, so to
        refuse it says that it is lost. An old refusal, or an old copy of one, says nothing.
        """
        refused = not reply.ok and reply.durable < sent.prev_index <= self.match
        return refused and sent.number > self.matched_number

    def fell(self, durable: Index, newest: int) -> None:
        """Only so much is known to be there any more. What was committed by it stays committed."""
        self.match, self.fell_number = durable, newest

    def sent(self, number: int, last: Index, size_bytes: int) -> None:
        self.inflight[number] = (last, size_bytes)
        self.inflight_bytes += size_bytes
        if self.mode is Mode.REPLICATE:
            self.next = last + 1

    def settled(self, number: int) -> bool:
        """Request `number` is over; False if it belongs to a window that was given up."""
        place = self.inflight.pop(number, None)
        if place is None:
            return False
        self.inflight_bytes -= place[1]
        return True

    def to_probe(self, next_index: Index) -> None:
        """Give up the window: what is in flight no longer counts, whatever is answered."""
        self.mode = Mode.PROBE
        self.next = max(self.match + 1, next_index)
        self.inflight.clear()
        self.inflight_bytes = 0
        if self.sending is not None:
            self.last_sending, self.sending = self.sending, None

    def to_replicate(self) -> None:
        self.mode = Mode.REPLICATE
        self.next = max(self.next, self.match + 1)

    def to_snapshot(self, meta: SnapshotMeta, now: float, pause: float) -> Sending:
        """pause: seconds before one that was sent before, and brought nothing, is sent again."""
        self.to_probe(self.next)
        self.mode = Mode.SNAPSHOT
        self.sending = sending = Sending(meta)
        last = self.last_sending
        if last is not None and last.meta == meta:
            sending.furthest, sending.refusals = last.furthest, last.refusals
            sending.chunks = last.chunks
            sending.refused(now, pause)
        if self.pinned_at is None:
            self.pinned_at = now
        return sending

    def append_lost(self, now: float, pause: float) -> None:
        """Sent again at once it would be lost again, if what refuses it is below Raft."""
        self.losses += 1
        extra = max(0, self.losses - LOSSES_FORGIVEN)
        self.resume_at = now + pause * 2 ** min(extra, LOSSES_COUNTED)

    def pinned(self, pulled_at: float) -> None:
        """A chunk, or entries after the snapshot, arrived: the pin lasts on from there."""
        if self.pinned_at is not None:
            self.pinned_at = max(self.pinned_at, pulled_at)

    def __str__(self) -> str:
        extra = f" inflight={len(self.inflight)}" if self.inflight else ""
        if self.sending:
            extra += f" snapshot={self.sending.meta.index}@{self.sending.offset}"
        return f"{self.peer} {self.mode.value} match={self.match} next={self.next}{extra}"
