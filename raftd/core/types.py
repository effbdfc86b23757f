"""The nouns of the paper's Figure 2, as values.

Everything here is immutable, comparable and free of I/O. Times are seconds as float on one
monotonic clock; sizes are bytes; an index of 0 means "before the first entry".
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

from raftd.core import quorum
from raftd.core.comparing import NOTHING_COMPARED, Verdict

NodeId = str
Index = int
Term = int
WriteSeq = int
Incarnation = str

TERM_MAX = 2**62
"""Past this a message is refused: a term that wraps would elect two leaders."""

INDEX_MAX = 2**62

ENTRY_OVERHEAD_BYTES = 32
"""What an entry costs beside its payload, on the wire and in our books."""


class EntryType(IntEnum):
    """What the bytes of an entry mean.

    The numbers are in the disk and wire formats: never reuse one.
    """

    NOOP = 1
    BATCH = 2
    CONFIGURATION = 3


class Entry(NamedTuple):
    """One log entry (Figure 2, "log[]").

    `payload` is opaque to all but sessions and the machine.
    """

    index: Index  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    term: Term
    type: EntryType
    payload: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.payload) + ENTRY_OVERHEAD_BYTES


class Role(Enum):
    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class HardState(NamedTuple):
    """currentTerm and votedFor (Figure 2, "persistent state"): one record, never written apart."""

    term: Term
    vote: NodeId | None


@dataclass(frozen=True, slots=True)
class Member:
    """What a configuration says of one member beside its standing; all but the id may be empty.

    peer_address, client_address: `host:port`. moved: an operator has given these at run time, and
    they count before what the nodes' own settings say of this member.
    incarnation: of its data directory; another one under this id is refused.
    more: fields that this version does not know, (tag, value), kept as they are.
    """

    node: NodeId
    peer_address: str = ""
    client_address: str = ""
    incarnation: Incarnation = ""
    moved: bool = False
    more: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Who is in the cluster. All tuples are sorted; `voters` and `learners` are disjoint.

    Every question about a majority is asked here, so that nobody else knows what makes one.

    outgoing: with them this is a joint configuration, and they are the voters that it comes from:
    whatever needs a majority needs one of either set (Section 6).
    about: only members of whom there is something to say. retired: ids that were members, oldest
    first; none of them may come back, for its votes may be remembered somewhere.
    """

    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...] = ()
    outgoing: tuple[NodeId, ...] = ()
    about: tuple[Member, ...] = ()
    retired: tuple[NodeId, ...] = ()

    def members(self) -> tuple[NodeId, ...]:
        """Everybody who gets the log, each once."""
        if not self.outgoing:
            return self.voters + self.learners
        leaving = (node for node in self.outgoing if node not in self.voters + self.learners)
        return self.voters + self.learners + tuple(leaving)

    def member(self, node: NodeId) -> Member:
        """Empty fields where nothing is known."""
        for member in self.about:
            if member.node == node:
                return member
        return Member(node)

    def is_plain(self) -> bool:
        """Does it say no more than version 1 of the formats can hold?"""
        return not (self.outgoing or self.about or self.retired)

    def is_member(self, node: NodeId) -> bool:
        return node in self.voters or node in self.learners or node in self.outgoing

    def is_voter(self, node: NodeId) -> bool:
        return node in self.voters or node in self.outgoing

    def voters_besides(self, node: NodeId) -> tuple[NodeId, ...]:
        """Of both sets, each once."""
        return tuple(dict.fromkeys(v for v in self.voters + self.outgoing if v != node))

    def vote_result(self, votes: Mapping[NodeId, bool]) -> quorum.VoteResult:
        """Of an election with these votes, True for granted. Only voters' votes count."""
        result = quorum.vote_result(self.voters, votes)
        if not self.outgoing:
            return result
        return quorum.both(result, quorum.vote_result(self.outgoing, votes))

    def reached_by_majority(self, value_of: Callable[[NodeId], quorum.Number]) -> quorum.Number:
        """The largest value that a majority has reached: of match indexes what is committed, of
        contacts since when a majority was heard, of answered requests the newest round.
        """
        reached = quorum.reached_by_majority(self.voters, value_of)
        if not self.outgoing:
            return reached
        return min(reached, quorum.reached_by_majority(self.outgoing, value_of))

    def has_majority(self, nodes: Container[NodeId]) -> bool:
        """Are enough voters among `nodes`?"""
        if not quorum.is_majority(self.voters, nodes):
            return False
        return not self.outgoing or quorum.is_majority(self.outgoing, nodes)

    def has_majority_besides(self, node: NodeId, nodes: Container[NodeId]) -> bool:
        """Is a majority of the voters but `node` among `nodes`? True if there is no other."""
        sets = (tuple(v for v in voters if v != node) for voters in (self.voters, self.outgoing))
        return all(quorum.is_majority(others, nodes) for others in sets if others)

    def __str__(self) -> str:
        learners = f", learners {','.join(self.learners)}" if self.learners else ""
        outgoing = f", from {','.join(self.outgoing)}" if self.outgoing else ""
        return f"voters {','.join(self.voters)}{outgoing}{learners}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks. An incarnation is a random id made together with an empty data directory."""

    cluster: str
    node: NodeId
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """What a snapshot stands for (Figure 13). `size_bytes` and `crc` are of the whole file."""

    index: Index
    term: Term
    configuration: Configuration
    size_bytes: int = 0
    crc: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotMarker:
    """The log's own record that a snapshot is durable.

    reset: the log that came before does not agree with the snapshot and is void; the next entry
    is `meta.index + 1` (Figure 13, step 7). Otherwise entries after `meta.index` stay.
    """

    meta: SnapshotMeta
    reset: bool


@dataclass(frozen=True, slots=True)
class Write:
    """One unit of durability: its parts become durable together, and count in field order.

    entries: contiguous; the first one's index overrides whatever the log held from there on
    (an overriding record, never a cut in place).
    records: incarnations of other nodes that this node promises to hold them to.
    """

    seq: WriteSeq
    hard_state: HardState | None = None
    marker: SnapshotMarker | None = None
    entries: tuple[Entry, ...] = ()
    records: tuple[tuple[NodeId, Incarnation], ...] = ()
    admitted: bool = False


NO_HARD_STATE = HardState(0, None)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the disk holds when a node starts.

    entries: contiguous, after `snapshot.index` at the latest (a tail before it may be kept: then
    the first entry's index is at most `snapshot.index + 1`).
    snapshot: the newest one marked in the log, or None for the virtual snapshot at (0, 0).
    """

    hard_state: HardState = NO_HARD_STATE
    admitted: bool = False
    records: tuple[tuple[NodeId, Incarnation], ...] = ()
    snapshot: SnapshotMeta | None = None
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The core's settings, validated by whoever builds them. Times in seconds, sizes in bytes."""

    heartbeat_interval: float = 0.1
    heartbeat_company: float = 0.25  # those due within this share of it go with one that is due
    election_timeout_min: float = 0.75
    election_timeout_max: float = 1.5
    candidate_retry_min: float = 0.15
    candidate_retry_max: float = 0.75
    prevote: bool = True
    check_quorum: bool = True
    concede: bool = True
    self_vote_last: bool = False
    batch_entries_max: int = 512
    batch_bytes_max: int = 1 << 20
    window_messages_max: int = 64
    window_bytes_max: int = 16 << 20
    snapshot_chunk_bytes: int = 1 << 20
    keep_entries: int = 5_000
    keep_bytes: int = 64 << 20
    pin_bytes_max: int = 512 << 20
    pin_seconds_max: float = 600.0
    link_lost_stagger_max: float = 0.02
    disk_stall_refuse: float = 1.0
    disk_stall_step_down: float = 5.0
    hand_over_after: float = 2.0
    priority: int = 0
    prefer_after: float = 10.0
    log_bytes_max: int = 1 << 30
    hello_retry: float = 0.1
    state_check_interval: float = 0.0


@dataclass(frozen=True, slots=True)
class PeerState:
    """One follower as the leader sees it (Figure 2, nextIndex[] and matchIndex[]).

    contact_age: seconds since it was heard, or since this leadership began if it never was.
    """

    peer: NodeId
    match: Index
    next: Index
    mode: str
    inflight: int
    contact_age: float
    unfit: bool = False  # it says of itself that it should not lead
    held_back: bool = False  # it has no room for entries, and says so


@dataclass(frozen=True, slots=True)
class RaftState:
    """A picture of one node, for people and machines.

    Invariant: snapshot <= applied <= commit <= last. refused_by: peers that will not know this
    node, each with its reason. caught_up: all is applied here that was committed when a leader was
    first heard since the start, and by a leader an entry of its own term; None: none was heard.
    """

    node: NodeId
    role: Role
    term: Term
    vote: NodeId | None
    leader: NodeId | None
    first_index: Index
    last_index: Index
    last_term: Term
    durable_index: Index
    commit_index: Index
    applied_index: Index
    snapshot_index: Index
    snapshot_term: Term
    log_bytes: int
    admitted: bool
    waiting_for: tuple[NodeId, ...]
    refused_by: tuple[tuple[NodeId, str], ...]
    configuration: Configuration
    peers: tuple[PeerState, ...]
    verdict: Verdict = NOTHING_COMPARED
    caught_up: bool | None = None
