"""What the core asks its driver to do. The whole of a driver's duties, there are no others:

1. `persist`: queue the writes in order, on one queue for everything that becomes durable in the
   log. Call `persisted(seq)` after the fsync that covers write `seq`, never before.
2. `replies`: release at once. The core has already waited for what they rest on.
3. `install`, then `committed`: give them to the machine in this order, once; then say `applied`.
4. `chunks`: store each chunk of a snapshot on its way in, then say `chunk_stored`; when the file is
   whole, checked and durable say `snapshot_received` instead.
5. `reads` and `failed`: a read is confirmed once the machine has applied that index; or it failed.
6. `released`: log entries up to here are no longer needed on disk (whole segments may go).
7. `suspect`: a follower would not take the file of this snapshot of ours: read it again. Whenever
   such a file turns out to have gone bad, say `snapshot_is_rotten`, and take another one.
8. `wake`: ask `next_request` for each of these (peer, channel), until it says None.
9. `configuration`: other members are in force. Close the links to those who are gone; the addresses
   of the others may have changed.
10. `mark`: digest the machine's state as it is once everything up to that index is applied and
   nothing after; the index is that of an entry in `committed`, or the one before. Say `digested`.
11. After anything: ask `wake_at` when to `tick` next.

Effects of one call must be handed over before the next call enters the core, in this object's
order per list, with nothing awaited in between: a call cancelled halfway would lose a write that
the next `persisted` acknowledges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raftd.core.comparing import Mark
from raftd.core.events import EventKind
from raftd.core.messages import Channel, Reply, SnapshotRequest
from raftd.core.types import Configuration, Entry, Index, NodeId, Role, SnapshotMeta, Term, Write

Token = Any
"""The driver's handle of one waiting caller. The core stores it and gives it back, nothing else."""


class NotLeader(Exception):
    """A proposal or read was refused before anything was done: it certainly did not happen.

    leader: whom to ask instead, or None when this node knows of none.
    """

    def __init__(self, leader: NodeId | None, reason: str = "not the leader") -> None:
        super().__init__(f"{reason}; leader: {leader or 'unknown'}")
        self.leader = leader
        self.reason = reason


class Unavailable(Exception):
    """The leader takes no proposals for now (handing over, its disk stalls). Nothing was done.

    leader: who soon leads instead.
    """

    def __init__(self, reason: str, leader: NodeId | None = None) -> None:
        super().__init__(reason)
        self.leader = leader


class ChangeRefused(Exception):
    """The leader will not change the members like this: one line says why, and what to do instead.

    Nothing was done.
    """


class BrokenInvariant(Exception):
    """This node contradicts itself. The process must stop: going on could lose data."""


class ImpossibleMessage(Exception):
    """A peer said what no correct peer can say. Nothing was changed, nothing must stop.

    Whoever reaches the port could send it: it says something of its sender, not of this node.
    """


NOTHING_DONE = (NotLeader, Unavailable, ChangeRefused, ImpossibleMessage)
"""What a call of the core may raise after which all is as it was before."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth a log line. `detail` is for people."""

    kind: EventKind
    term: Term
    role: Role
    leader: NodeId | None
    detail: str
    peer: NodeId | None = None


@dataclass(slots=True)
class Effects:
    persist: list[Write] = field(default_factory=list)
    replies: list[tuple[Token, Reply]] = field(default_factory=list)
    assigned: list[tuple[Index, Term]] = field(default_factory=list)
    install: SnapshotMeta | None = None
    committed: list[Entry] = field(default_factory=list)
    mark: Mark | None = None
    chunks: list[tuple[Token, SnapshotRequest]] = field(default_factory=list)
    reads: list[tuple[Token, Index]] = field(default_factory=list)
    failed: list[tuple[Token, NotLeader]] = field(default_factory=list)
    released: Index = 0
    suspect: SnapshotMeta | None = None
    configuration: Configuration | None = None
    events: list[Event] = field(default_factory=list)
    wake: dict[tuple[NodeId, Channel], None] = field(default_factory=dict)
