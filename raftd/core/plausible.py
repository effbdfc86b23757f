"""What no correct peer can say, found before anything has changed.

A forged or buggy message must not be able to end this node: it is refused, and its sender is told
of. Only a contradiction in this node's own state is a BrokenInvariant.
"""

from __future__ import annotations

from raftd.core.effects import ImpossibleMessage
from raftd.core.log import RaftLog
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Reply,
    Request,
    SnapshotReply,
    SnapshotRequest,
)
from raftd.core.state import State
from raftd.core.types import Index, NodeId, Term


def check_request(s: State, request: Request) -> None:
    """Raises ImpossibleMessage."""
    if isinstance(request, AppendRequest):
        _one_leader(s, request.term, request.leader)
        if request.term >= s.current_term and request.prev_index <= s.commit_index:
            _same_history(s, request)
        if request.entries and request.term == s.current_term:
            _only_appends(s, request)
    elif isinstance(request, SnapshotRequest):
        _one_leader(s, request.term, request.leader)
        if request.term >= s.current_term:
            _same_snapshot(s, request)


def _one_leader(s: State, term: Term, node: NodeId) -> None:
    """Election safety (Figure 3): a term has one leader, also after it was lost sight of."""
    led_term, led_by = s.led_by
    if term == s.current_term and s.leadership is not None:
        raise ImpossibleMessage(f"two leaders in term {term}: {s.me} and {node}")
    if term == led_term and led_by != node:
        raise ImpossibleMessage(f"two leaders in term {term}: {led_by} and {node}")


def _same_history(s: State, request: AppendRequest) -> None:
    """Leader completeness (Figure 3): what is committed here is in every later leader's log."""
    prev_index, prev_term, commit = request.prev_index, request.prev_term, s.commit_index
    ours = s.log.term_at(prev_index)
    if prev_index and ours is not None and ours != prev_term:
        raise ImpossibleMessage(
            f"{request.leader} says entry {prev_index} is of term {prev_term}; "
            f"here it is committed with term {ours}"
        )
    if request.entries and prev_index < commit:
        first = first_conflict(s.log, request)
        if first is not None and first <= commit:
            raise ImpossibleMessage(
                f"{request.leader} overwrites entry {first}, but {commit} is committed here"
            )


def _only_appends(s: State, request: AppendRequest) -> None:
    """Leader append-only (Figure 3): what a leader has sent in its term it never takes back."""
    if request.prev_index >= s.verified_index:
        return
    first = first_conflict(s.log, request)
    if first is not None and first <= s.verified_index:
        raise ImpossibleMessage(
            f"{request.leader} takes back entry {first} of its own term {request.term}"
        )


def first_conflict(log: RaftLog, request: AppendRequest) -> Index | None:
    """The first entry of `request` that contradicts one in the log."""
    for entry in request.entries:
        ours = log.term_at(entry.index)
        if ours is not None and ours != entry.term:
            return entry.index
    return None


def _same_snapshot(s: State, request: SnapshotRequest) -> None:
    """A snapshot holds committed entries only, and terms never fall along a log."""
    meta, commit = request.meta, s.commit_index
    ours = s.log.term_at(min(meta.index, commit))
    if ours is None:
        return
    if meta.index <= commit and meta.term != ours:
        raise ImpossibleMessage(
            f"{request.leader} has a snapshot that ends with entry {meta.index} of term "
            f"{meta.term}; here it is committed with term {ours}"
        )
    if meta.index > commit and meta.term < ours:
        raise ImpossibleMessage(
            f"{request.leader} has a snapshot that ends with entry {meta.index} of term "
            f"{meta.term}; here entry {commit} is committed with term {ours}"
        )


def check_reply(s: State, sent: Request, reply: Reply) -> None:
    """Raises ImpossibleMessage: a follower's log cannot hold more of ours than we have."""
    if not isinstance(reply, AppendReply | SnapshotReply) or reply.term != s.current_term:
        return
    if s.leadership is not None and reply.durable > s.log.last_index:
        raise ImpossibleMessage(
            f"it says that {reply.durable} entries of this leader are durable there, and this "
            f"leader has {s.log.last_index}: its log holds what this leader never sent"
        )
    if not isinstance(reply, SnapshotReply) or not isinstance(sent, SnapshotRequest):
        return
    if reply.next_offset > sent.meta.size_bytes:
        raise ImpossibleMessage(
            f"it wants offset {reply.next_offset} of a snapshot of {sent.meta.size_bytes} bytes"
        )
