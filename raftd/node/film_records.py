"""A node's film: what it looks like and what it says to its peers, as records fit for JSON.

Pure functions of the core, for a running node and for the simulator alike. docs/page.md has the
format. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raftd.core.core import RaftCore
from raftd.core.effects import Event
from raftd.core.messages import (
    AppendRequest,
    HelloRequest,
    ReadIndexRequest,
    Request,
    SnapshotRequest,
    TimeoutNowRequest,
    VoteReply,
    VoteRequest,
)

Record = dict[str, Any]

VERSION = 1

KEY_BYTES = 64
"""Of a key, as many are shown."""

_NAMES: dict[type, str] = {
    SnapshotRequest: "snapshot",
    ReadIndexRequest: "read-index",
    TimeoutNowRequest: "timeout-now",
    HelloRequest: "hello",
}


def name_of(request: Request) -> str:
    """What a request is called in the film."""
    if isinstance(request, AppendRequest):
        return "heartbeat" if request.is_heartbeat else "append"
    if isinstance(request, VoteRequest):
        return "pre-vote" if request.pre else "vote"
    return _NAMES[type(request)]


def of_state(core: RaftCore, now: float) -> Record:
    """The node at this moment."""
    state, closer = core.state(now), core.closer(now)
    return {
        "kind": "state",
        "role": state.role.value,
        "term": state.term,
        "vote": state.vote,
        "leader": state.leader,
        "first": state.first_index,
        "last": state.last_index,
        "durable": state.durable_index,
        "commit": state.commit_index,
        "applied": state.applied_index,
        "snapshot": state.snapshot_index,
        "terms": closer.terms,
        "timer": round(closer.timer, 4) if closer.timer is not None else None,
        "timer_max": closer.timer_max,
        "votes": closer.votes,
        "voters": list(state.configuration.voters),
        "learners": list(state.configuration.learners),
        "admitted": state.admitted,
        "peers": {
            peer.peer: {
                "match": peer.match,
                "next": peer.next,
                "mode": peer.mode,
                "inflight": peer.inflight,
                "age": round(peer.contact_age, 3),
            }
            for peer in state.peers
        },
    }


def of_event(event: Event) -> Record:
    """Something that happened to the node."""
    return {
        "kind": "event",
        "event": str(event.kind),
        "level": event.kind.level.value,
        "term": event.term,
        "role": event.role.value,
        "leader": event.leader,
        "peer": event.peer,
        "detail": event.detail,
    }


def of_request(peer: str, request: Request) -> Record:
    """A request that leaves for `peer`."""
    record: Record = {"kind": "send", "to": peer, "what": name_of(request), "count": 1}
    if isinstance(request, VoteRequest | AppendRequest | SnapshotRequest):
        record["term"] = request.term
    if isinstance(request, VoteRequest):
        record |= {"last": request.last_index, "last_term": request.last_term}
    elif isinstance(request, AppendRequest):
        record["entries"] = len(request.entries)
    return record


def of_vote(request: VoteRequest, reply: VoteReply, why: str) -> Record:
    """The answer to a vote request. why: the rule by which it was refused, if it was."""
    return {
        "kind": "reply",
        "to": request.candidate,
        "what": name_of(request),
        "term": request.term,
        "granted": reply.granted,
        "why": "" if reply.granted else why,
    }


def of_changes(changes: Sequence[tuple[int, str, bytes, int]]) -> Record:
    """The store's newest: (revision, what was done, key, bytes of the value)."""
    return {
        "kind": "changes",
        "changes": [
            [revision, what, key[:KEY_BYTES].decode("utf-8", "backslashreplace"), size]
            for revision, what, key, size in changes
        ],
    }


def of_loss(peer: str, request: Request) -> Record:
    """No answer to it will come."""
    return {"kind": "lost", "to": peer, "what": name_of(request), "count": 1}
