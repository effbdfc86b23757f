"""What comes back for a request of ours: an answer, or the news that none will come."""

from __future__ import annotations

from raftd.core import candidate, leader, membership, reads, roles, sending
from raftd.core.effects import Effects
from raftd.core.messages import (
    AppendReply,
    AppendRequest,
    Channel,
    HelloReply,
    HelloRequest,
    NotAdmitted,
    ReadIndexReply,
    ReadIndexRequest,
    Reply,
    Request,
    SnapshotReply,
    SnapshotRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.state import State
from raftd.core.types import NodeId


def on_reply(s: State, fx: Effects, peer: NodeId, sent: Request, reply: Reply, now: float) -> None:
    """The answer to `sent`: first who speaks, then the common term rule, then what it is about."""
    if isinstance(reply, NotAdmitted):
        lost(s, fx, peer, sent, now)
        return
    if isinstance(reply, HelloReply):
        membership.on_hello_reply(s, fx, peer, reply, now)
        return
    if isinstance(sent, ReadIndexRequest):
        answer = reply if isinstance(reply, ReadIndexReply) else None
        reads.on_reply(s, fx, peer, sent, answer)
    if reply.term > s.current_term and not granted_prevote(sent, reply):
        roles.adopt_term(s, fx, reply.term, now, f"{peer} answered from a higher term")
    elif isinstance(sent, VoteRequest) and isinstance(reply, VoteReply):
        on_vote_reply(s, fx, peer, sent, reply, now)
    elif s.leadership is not None and reply.term == s.current_term:
        on_follower_reply(s, fx, peer, sent, reply, now)


def on_vote_reply(
    s: State, fx: Effects, peer: NodeId, sent: VoteRequest, reply: VoteReply, now: float
) -> None:
    if candidate.is_current(s, sent):
        candidate.count(s, peer, reply.granted)
        roles.judge(s, fx, now)


def on_follower_reply(
    s: State, fx: Effects, peer: NodeId, sent: Request, reply: Reply, now: float
) -> None:
    if isinstance(sent, AppendRequest) and isinstance(reply, AppendReply):
        if sent.term != s.current_term:
            return
        leader.on_append_reply(s, fx, peer, sent, reply)
    elif isinstance(sent, SnapshotRequest) and isinstance(reply, SnapshotReply):
        if sent.term != s.current_term:
            return
        sending.on_chunk_reply(s, fx, peer, sent, reply, now)
    else:
        return
    leader.maybe_commit(s)
    reads.confirm(s, fx)
    if reads.more_rounds_wanted(s) or leader.leadership(s).transfer is not None:
        fx.wake[(peer, Channel.CONTROL)] = None


def lost(s: State, fx: Effects, peer: NodeId, sent: Request, now: float) -> None:
    if isinstance(sent, HelloRequest):
        membership.on_hello_lost(s, peer, now)
    elif isinstance(sent, ReadIndexRequest):
        reads.on_reply(s, fx, peer, sent, None)
    elif isinstance(sent, VoteRequest):
        if candidate.is_current(s, sent) and s.campaign is not None:
            if s.link_lost and peer == s.link_lost_to:
                # The leader whose death this is about: waiting for its answer would hide that the
                # others have refused, and cost a whole retry timeout where tens of ms do.
                candidate.count(s, peer, False)
                roles.judge(s, fx, now)
            else:
                candidate.ask_again_later(s, s.campaign, peer, now)
    elif s.leadership is not None and sent.term == s.current_term:
        if isinstance(sent, AppendRequest):
            leader.on_append_lost(s, peer, sent, now)
            if reads.more_rounds_wanted(s):
                fx.wake[(peer, Channel.CONTROL)] = None
        elif isinstance(sent, SnapshotRequest):
            sending.on_chunk_lost(s, peer, sent, now)


def granted_prevote(sent: Request, reply: Reply) -> bool:
    """Its term is the one that was asked about, nobody's yet."""
    return (
        isinstance(sent, VoteRequest)
        and sent.pre
        and isinstance(reply, VoteReply)
        and reply.pre
        and reply.granted
    )
