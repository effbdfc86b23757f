"""All that a node remembers, in one place: Figure 2's "State" box, and what waits for the disk.

Role modules are functions over this. Nothing in here does I/O; every change that must survive a
crash goes through `State.write`, which gives it a number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from raftd.core.comparing import Agreement, Check
from raftd.core.effects import Effects, Event, Token
from raftd.core.events import EventKind
from raftd.core.log import RaftLog
from raftd.core.messages import Channel, NotAdmitted, Reply
from raftd.core.progress import Progress
from raftd.core.types import (
    Configuration,
    Entry,
    HardState,
    Identity,
    Incarnation,
    Index,
    NodeId,
    Role,
    Settings,
    SnapshotMarker,
    SnapshotMeta,
    Term,
    Write,
    WriteSeq,
)
from raftd.core.underway import ForwardedReads, Greeting, PendingRead

HELD_MAX = 1024
"""Replies that wait for the disk. A leader goes on asking a node whose disk hangs or is full; what
is asked beyond this is answered with what counts for nothing."""

HELD_VOTES_MAX = 256
"""Beyond that, for votes, hand-overs and Hellos: appends must not leave them without room."""

UNSYNCED_MAX = 16_384
"""Writes that wait for the disk, one a new term at least: past it only heartbeats are heard."""


class Rng(Protocol):
    """Injected randomness: random.Random satisfies it. The simulator owns every draw."""

    def random(self) -> float: ...


@dataclass(slots=True)
class Campaign:
    """One candidacy, or with `pre` its trial run. Votes count for this one only."""

    term: Term  # what is asked about: current_term, or current_term + 1 when `pre`
    pre: bool
    transfer: bool
    votes: dict[NodeId, bool] = field(default_factory=dict)
    asked: set[NodeId] = field(default_factory=set)
    ask_again_at: dict[NodeId, float] = field(default_factory=dict)
    own_vote: WriteSeq | None = None  # our own vote counts when this write is durable


@dataclass(slots=True)
class Transfer:
    """Leadership on its way to `target` (dissertation 3.10). No proposals meanwhile."""

    target: NodeId
    deadline: float
    not_before: float = 0.0  # of the next TimeoutNow


@dataclass(slots=True)
class Leadership:
    """What only a leader has."""

    since: float
    first_index: Index  # the no-op of this term
    progress: dict[NodeId, Progress]
    reads: deque[PendingRead] = field(default_factory=deque)
    transfer: Transfer | None = None
    quorum_grace_until: float = 0.0
    watched_at: float = 0.0  # the last look at who is silent
    watched_from: float = 0.0  # silence counts from here: the end of our own last stall
    hand_over_at: float = float("inf")  # unfit to lead: hand over then, to one who is not
    prefer_at: float = float("inf")  # hand over then, to one who is preferred
    check: Check | None = None
    check_at: float = 0.0  # when the next one begins
    compared: Check | None = None  # the last one


@dataclass(slots=True)
class Held:
    """A reply that rests on writes that are not durable yet. `make` builds it when they are."""

    seq: WriteSeq
    token: Token
    make: Callable[[], Reply]
    survives_term: bool


Configurations = list[tuple[Index, Configuration]]
"""Ascending, each with the index from which on it holds. Only `membership` makes one."""


@dataclass(slots=True)
class State:
    """Each field with what always holds of it; `invariants.RULES` asserts what a node can see.

    Persistent (Figure 2): nobody hears of a change before the write that holds it is durable.
    current_term: only grows; at or above the term of every entry of `log`.
    voted_for: at most one node a term; cleared with the term only.
    log: contiguous; terms never fall along it; nothing at or below `commit_index` is overridden.
    admitted: never false again.
    records: one incarnation a node, the first that was heard, for ever.
    joins: never changes. incarnations: of `records`, and of the members that `configurations` name.
    snapshot: the newest one; at or below `commit_index`, never older than the one before.
    configurations: ascending, never empty, the last one in force and in the log.

    What the disk is known to hold:
    durable_records, marked_snapshot: as `records` and `snapshot`, as far as they are durable.
    next_seq: above every write that was asked for. durable_seq: below it, only grows.
    term_seq: the write of (current_term, voted_for). admitted_seq: that of `admitted`.
    pending_records, pending_markers, unsynced: writes above durable_seq, ascending.
    held: replies, each with the write on which it rests; bounded by HELD_MAX and HELD_VOTES_MAX.

    Volatile (Figure 2):
    applied_index <= handed_index <= commit_index <= the log's last index; none of them falls.
    commit_index: durable on a majority, or said to be by a leader that has verified our log so far.
    verified_index: at most the log's last index; 0 again with every term.
    role, leadership, campaign: leadership with LEADER only, a campaign with the candidates' only.
    leader_id: of current_term; this node's own exactly if it leads. led_by: one node a term.
    first_named: of the first AppendEntries since the start, or of leading: term and commit index.
    leader_contact, link_lost, link_lost_at, link_lost_to, link_lost_tries: of `leader_id`, or of
    the leader that was lost; they decide how soon to ask, never who may win.
    election_deadline, late_rearmed: a timer that is late re-arms once, then counts.
    forwarded: reads of own clients; one request to the leader at a time.
    greetings, recorded_by: for members only; a Hello to each member at a time.
    rotten: `snapshot`, or nothing. installing: a snapshot whose marker is not durable; while it
    is there nothing is handed over. installs_out: ascending, not restored yet.
    compact_after: the marker on whose write the compaction up to it waits.
    orphan_bytes: 0 as soon as `installs_out` is empty.
    unfit, pin_bytes_max: what the driver said last. removed: never false again.
    agreement: its mark is due only until the machine is handed what is behind it.
    settled: true only while the configuration in force is committed.
    pull_number: only grows; no two requests of a node share one.
    identity, settings, rng: never change. peers_known: `peers()` of the configuration in force.
    """

    identity: Identity
    settings: Settings
    rng: Rng
    # -- persistent (Figure 2), durable before anybody hears of it --
    current_term: Term
    voted_for: NodeId | None
    log: RaftLog
    admitted: bool
    records: dict[NodeId, Incarnation]
    snapshot: SnapshotMeta
    rotten: SnapshotMeta | None  # the file of this one has gone bad: it is not sent, and replaced
    marked_snapshot: SnapshotMeta  # the newest one whose marker is durable: its file must stay
    durable_records: dict[NodeId, Incarnation]  # what may be shown to others
    joins: bool  # it began without a configuration: the cluster was there before it
    incarnations: dict[NodeId, Incarnation]  # by records, and by the configuration in force
    configurations: Configurations  # the last one is in force
    # -- volatile (Figure 2) --
    commit_index: Index
    handed_index: Index  # given to the machine. Invariant: handed <= commit
    applied_index: Index  # what the machine said it has applied
    role: Role = Role.FOLLOWER
    leader_id: NodeId | None = None
    led_by: tuple[Term, NodeId] = (0, "")  # the newest term in which this node has seen a leader
    first_named: tuple[Term, Index] | None = None
    leader_contact: float | None = None
    link_lost: bool = False
    link_lost_at: float = 0.0
    link_lost_to: NodeId | None = None
    link_lost_tries: int = 0
    verified_index: Index = 0  # what this term's leader has checked of our log
    election_deadline: float = 0.0
    late_rearmed: bool = False
    campaign: Campaign | None = None
    leadership: Leadership | None = None
    forwarded: ForwardedReads = field(default_factory=ForwardedReads)
    greetings: dict[NodeId, Greeting] = field(default_factory=dict)
    recorded_by: set[NodeId] = field(default_factory=set)
    installing: tuple[WriteSeq, SnapshotMeta] | None = None
    installs_out: deque[SnapshotMeta] = field(default_factory=deque)  # given out, not restored yet
    compact_after: tuple[WriteSeq, SnapshotMeta] | None = None
    orphan_bytes: int = 0  # entries of a log that was reset, which the machine has yet to apply
    settled: bool = False  # what follows from the configuration's being committed was done
    removed: bool = False  # this node knows that it is no member any more, and never will be
    unfit: bool = False  # the driver says that this node should not lead
    agreement: Agreement = field(default_factory=Agreement)
    # -- writes and what waits for them --
    next_seq: WriteSeq = 1
    durable_seq: WriteSeq = 0
    term_seq: WriteSeq = 0  # the write that makes (current_term, voted_for) durable
    pending_records: deque[tuple[WriteSeq, NodeId, Incarnation]] = field(default_factory=deque)
    pending_markers: deque[tuple[WriteSeq, SnapshotMeta]] = field(default_factory=deque)
    admitted_seq: WriteSeq = 0
    unsynced: deque[tuple[WriteSeq, float]] = field(default_factory=deque)
    held: list[Held] = field(default_factory=list)
    pull_number: int = 0
    pin_bytes_max: float = float("inf")
    """What the disk has room for; the setting of this name holds besides."""
    peers_known: tuple[Configuration | None, tuple[NodeId, ...]] = (None, ())

    @property
    def me(self) -> NodeId:
        return self.identity.node

    @property
    def configuration(self) -> Configuration:
        return self.configurations[-1][1]

    @property
    def term_is_durable(self) -> bool:
        return self.term_seq <= self.durable_seq

    @property
    def may_vote(self) -> bool:
        """Admitted, and the mark is durable: only then does this node's word count."""
        return self.admitted and self.admitted_seq <= self.durable_seq

    def peers(self) -> tuple[NodeId, ...]:
        """All members but this node. Every call of the core asks, so it is worked out once."""
        of, found = self.peers_known
        if of is not self.configurations[-1][1]:
            of = self.configurations[-1][1]
            found = tuple(node for node in of.members() if node != self.me)
            self.peers_known = of, found
        return found

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def next_number(self) -> int:
        self.pull_number += 1
        return self.pull_number

    def write(
        self,
        fx: Effects,
        now: float,
        *,
        hard_state: bool = False,
        marker: SnapshotMarker | None = None,
        entries: tuple[Entry, ...] = (),
        records: tuple[tuple[NodeId, Incarnation], ...] = (),
        admitted: bool = False,
    ) -> WriteSeq:
        """Queue one write; returns its number.

        Nothing may be said that rests on it until it is durable.
        """
        seq = self.next_seq
        self.next_seq = seq + 1
        state = HardState(self.current_term, self.voted_for) if hard_state else None
        fx.persist.append(Write(seq, state, marker, entries, records, admitted))
        self.unsynced.append((seq, now))
        if hard_state:
            self.term_seq = seq
        if marker is not None:
            self.pending_markers.append((seq, marker.meta))
        self.pending_records.extend((seq, node, incarnation) for node, incarnation in records)
        return seq

    def hold(
        self,
        fx: Effects,
        token: Token,
        seq: WriteSeq,
        reply: Reply,
        *,
        survives_term: bool = False,
    ) -> None:
        """Say `reply` as soon as write `seq` and the term that it shows are durable.

        survives_term: it says the same when the term has moved on meanwhile.
        """
        self.hold_late(fx, token, seq, lambda: reply, survives_term=survives_term)

    def hold_late(
        self,
        fx: Effects,
        token: Token,
        seq: WriteSeq,
        make: Callable[[], Reply],
        *,
        survives_term: bool = False,
    ) -> None:
        """The same for a reply that says what is true when it leaves: `make` builds it then."""
        seq = max(seq, self.term_seq)
        if seq <= self.durable_seq:
            fx.replies.append((token, make()))
        elif len(self.held) >= HELD_MAX + (HELD_VOTES_MAX if survives_term else 0):
            fx.replies.append((token, NotAdmitted(getattr(make(), "number", 0))))
        else:
            self.held.append(Held(seq, token, make, survives_term))

    def event(self, fx: Effects, kind: EventKind, detail: str, peer: NodeId | None = None) -> None:
        fx.events.append(Event(kind, self.current_term, self.role, self.leader_id, detail, peer))

    def wake_all(self, fx: Effects, *channels: Channel) -> None:
        for peer in self.peers():
            for channel in channels:
                fx.wake[(peer, channel)] = None


def leadership(s: State) -> Leadership:
    """For functions that only a leader comes to."""
    assert s.leadership is not None, "only a leader comes here"
    return s.leadership
