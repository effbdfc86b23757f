"""What nodes say to each other: the paper's RPCs and the few that the dissertation adds.

The envelope (cluster, sender, addressee, incarnations) is not here: the shell checks it before a
message reaches the core and drops what is not meant for this node. `number` is the pull number of
a request: it grows with every request that the core hands out, and the answer carries it back.
`pulled_at` stays on the sender: contact is dated by it, never by when the answer came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from raftd.core.comparing import Mark, StateDigest, Verdict
from raftd.core.types import Entry, Identity, Incarnation, Index, NodeId, SnapshotMeta, Term


class Channel(IntEnum):
    """Three connections a peer, so that a slow message never delays an urgent one."""

    CONTROL = 0
    APPEND = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """RequestVote (Figure 2); with `pre` the trial run of dissertation 9.6: no term moves.

    transfer: sent because the leader asked for it (TimeoutNow): voters do not defend that leader.
    """

    term: Term
    candidate: NodeId
    last_index: Index
    last_term: Term
    pre: bool = False
    transfer: bool = False
    number: int = 0
    pulled_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class VoteReply:
    """term: the voter's own term, or for a granted pre-vote the term that was asked about.

    removed: the voter knows that the candidate was removed from the cluster, for good.
    """

    term: Term
    granted: bool
    pre: bool = False
    removed: bool = False


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """AppendEntries (Figure 2). Without entries it is a heartbeat and may overtake appends.

    mark: every member is to digest its state there. verdict: in heartbeats, what was found last.
    """

    term: Term
    leader: NodeId
    prev_index: Index
    prev_term: Term
    entries: tuple[Entry, ...]
    commit: Index
    number: int = 0
    pulled_at: float = field(default=0.0, compare=False)
    mark: Mark | None = None
    verdict: Verdict | None = None

    @property
    def is_heartbeat(self) -> bool:
        return not self.entries


class Room(IntEnum):
    """What a node has room for. The numbers are on the wire."""

    ALL = 0
    NO_ENTRIES = 1
    NOTHING = 2  # no entries, and no snapshot either


@dataclass(frozen=True, slots=True)
class AppendReply:
    """The only source of `match` on the leader.

    durable: min(durable prefix of the follower's log, what this term's leader has verified here).
    conflict_term, conflict_index: on a refusal, where to look next (the first index of the term
    that the follower holds at prev_index; term 0 and last index + 1 when its log is too short).
    unfit: this node says of itself that it should not lead. room: what it takes at present.
    joining: it is not admitted yet, and could not vote.
    digest: of its state, at the request's mark. priority: how much it is preferred as leader.
    """

    term: Term
    ok: bool
    durable: Index
    conflict_term: Term = 0
    conflict_index: Index = 0
    number: int = 0
    unfit: bool = False
    room: Room = Room.ALL
    joining: bool = False
    digest: StateDigest | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """InstallSnapshot (Figure 13), one chunk.

    `data` is filled in by the shell, from its own files. probes: a few bytes will do: the last
    chunk was refused, and this one may be, too. That is not sent.
    """

    term: Term
    leader: NodeId
    meta: SnapshotMeta
    offset: int
    data: bytes = b""
    number: int = 0
    pulled_at: float = field(default=0.0, compare=False)
    probes: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class SnapshotReply:
    """next_offset: where the receiver wants the next chunk to start; done: it needs no more."""

    term: Term
    next_offset: int
    done: bool
    durable: Index = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class ReadIndexRequest:
    """A follower asks its leader for a read index (dissertation 6.4)."""

    term: Term
    number: int = 0
    pulled_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class ReadIndexReply:
    term: Term
    ok: bool
    index: Index
    number: int = 0


@dataclass(frozen=True, slots=True)
class TimeoutNowRequest:
    """The leader hands over: campaign at once (dissertation 3.10)."""

    term: Term
    leader: NodeId
    number: int = 0
    pulled_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class TimeoutNowReply:
    term: Term
    number: int = 0


@dataclass(frozen=True, slots=True)
class HelloRequest:
    """Who I am, and which incarnations of others I have durably recorded. Needs no admission."""

    identity: Identity
    records: tuple[tuple[NodeId, Incarnation], ...]
    number: int = 0
    pulled_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class HelloReply:
    """refused: empty, or why this node will not deal with the caller (one line, for people).

    removed: as in VoteReply.
    """

    identity: Identity
    records: tuple[tuple[NodeId, Incarnation], ...]
    refused: str = ""
    number: int = 0
    removed: bool = False


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """The answer of a node that is not admitted, to everything but Hello. It counts for nothing.

    So does that of a node whose disk is stuck, past what it may hold back, and that of one that
    has no room for what it was sent.
    """

    number: int = 0


Request = (
    VoteRequest
    | AppendRequest
    | SnapshotRequest
    | ReadIndexRequest
    | TimeoutNowRequest
    | HelloRequest
)
Reply = (
    VoteReply
    | AppendReply
    | SnapshotReply
    | ReadIndexReply
    | TimeoutNowReply
    | HelloReply
    | NotAdmitted
)
