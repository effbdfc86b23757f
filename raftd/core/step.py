"""What comes from a peer: the rule for terms, then one switch by kind of message.

Figure 2, "All Servers": a higher term is adopted. Here is the only place that says of which
messages, and that refuses those of an older term; the receivers' rules take it as done.
"""

from __future__ import annotations

from raftd.core import (
    admission,
    election,
    follower,
    install_snapshot,
    leader,
    reads,
    roles,
    transfer,
    voting,
)
from raftd.core.effects import Effects, Token
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
    TimeoutNowRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.state import UNSYNCED_MAX, State, leadership
from raftd.core.types import NodeId

TermRequest = VoteRequest | AppendRequest | SnapshotRequest | ReadIndexRequest | TimeoutNowRequest
"""Every request but Hello has its sender's term."""


def take(s: State, fx: Effects, request: Request, now: float, token: Token) -> None:
    """Exactly one reply comes out, now or later. A heartbeat is heard even while the disk hangs."""
    if len(s.unsynced) >= UNSYNCED_MAX and not _is_heartbeat(request):
        fx.replies.append((token, NotAdmitted(request.number)))
    elif isinstance(request, HelloRequest):
        admission.on_hello(s, fx, request, now, token)
    elif not s.may_vote and not _from_leader_to_joiner(s, request):
        fx.replies.append((token, NotAdmitted(request.number)))
    elif request.term < s.current_term:
        _refuse(s, fx, request, token)
    else:
        if request.term > s.current_term and (why := _adopt_because(s, request, now)):
            roles.adopt_term(s, fx, request.term, now, why)
        _deliver(s, fx, request, now, token)


def _is_heartbeat(request: Request) -> bool:
    return isinstance(request, AppendRequest) and request.is_heartbeat


def _from_leader_to_joiner(s: State, request: TermRequest) -> bool:
    """A node that joins gets the log before it is admitted, since that is how it is admitted. It is
    a learner until then, whose acknowledgements count for nothing.
    """
    return s.joins and isinstance(request, AppendRequest | SnapshotRequest)


def _adopt_because(s: State, request: TermRequest, now: float) -> str:
    """Whose higher term is adopted: a leader's, and a candidate's; empty: it is not.

    Not that of a pre-vote (dissertation 9.6), nor of a candidate while a leader is alive (4.2.3).
    """
    if isinstance(request, AppendRequest | SnapshotRequest):
        return f"{request.leader} leads it"
    if not isinstance(request, VoteRequest):
        return ""
    if request.pre or voting.defends_leader(s, request, now):
        return ""
    return f"{request.candidate} asks for votes"


def _refuse(s: State, fx: Effects, request: TermRequest, token: Token) -> None:
    """Receiver rule 1 of Figures 2 and 13: its term is older than ours, which the answer shows."""
    if isinstance(request, AppendRequest):
        follower.refuse_append(s, fx, request, token)
    elif isinstance(request, VoteRequest):
        voting.refuse(s, fx, request, token)
    elif isinstance(request, SnapshotRequest):
        install_snapshot.refuse_chunk(s, fx, request, token)
    elif isinstance(request, ReadIndexRequest):
        reads.refuse(s, fx, request, token)
    else:
        transfer.answer(s, fx, request, token)


def _deliver(s: State, fx: Effects, request: TermRequest, now: float, token: Token) -> None:
    if isinstance(request, AppendRequest):
        follower.on_append(s, fx, request, now, token)
    elif isinstance(request, VoteRequest):
        voting.on_vote_request(s, fx, request, now, token)
    elif isinstance(request, SnapshotRequest):
        install_snapshot.on_chunk(s, fx, request, now, token)
    elif isinstance(request, ReadIndexRequest):
        reads.on_request(s, fx, request, token)
    else:
        transfer.on_timeout_now(s, fx, request, now, token)


def chunk_stored(
    s: State, fx: Effects, token: Token, request: SnapshotRequest, next_offset: int
) -> None:
    """The driver stored a chunk. The term may have moved on meanwhile."""
    if request.term < s.current_term:
        _refuse(s, fx, request, token)
    else:
        install_snapshot.chunk_stored(s, fx, token, request, next_offset)


def on_reply(s: State, fx: Effects, peer: NodeId, sent: Request, reply: Reply, now: float) -> None:
    """The answer to `sent`: first who speaks, then the common term rule, then what it is about."""
    if isinstance(reply, NotAdmitted):
        lost(s, fx, peer, sent, now)
        return
    if isinstance(reply, HelloReply):
        admission.on_hello_reply(s, fx, peer, reply, now)
        return
    if isinstance(sent, ReadIndexRequest):
        answer = reply if isinstance(reply, ReadIndexReply) else None
        reads.on_reply(s, fx, peer, sent, answer)
    if reply.term > s.current_term and not _granted_prevote(sent, reply):
        roles.adopt_term(s, fx, reply.term, now, f"{peer} answered from a higher term")
    elif isinstance(sent, VoteRequest) and isinstance(reply, VoteReply):
        election.on_vote_reply(s, fx, peer, sent, reply, now)
    elif s.leadership is not None and reply.term == s.current_term:
        _on_follower_reply(s, fx, peer, sent, reply, now)


def _on_follower_reply(
    s: State, fx: Effects, peer: NodeId, sent: Request, reply: Reply, now: float
) -> None:
    if isinstance(sent, AppendRequest) and isinstance(reply, AppendReply):
        if sent.term != s.current_term:
            return
        leader.on_append_reply(s, fx, peer, sent, reply)
    elif isinstance(sent, SnapshotRequest) and isinstance(reply, SnapshotReply):
        if sent.term != s.current_term:
            return
        install_snapshot.on_chunk_reply(s, fx, peer, sent, reply, now)
    else:
        return
    leader.maybe_commit(s)
    reads.confirm(s, fx)
    if reads.more_rounds_wanted(s) or leadership(s).transfer is not None:
        _wake_member(s, fx, peer)


def _wake_member(s: State, fx: Effects, peer: NodeId) -> None:
    """It may have been removed since the request left: nothing is owed to it then."""
    if s.configuration.is_member(peer):
        fx.wake[(peer, Channel.CONTROL)] = None


def lost(s: State, fx: Effects, peer: NodeId, sent: Request, now: float) -> None:
    """No answer to `sent` will come, or one that counts for nothing."""
    if isinstance(sent, HelloRequest):
        admission.on_hello_lost(s, peer, now)
    elif isinstance(sent, ReadIndexRequest):
        reads.on_reply(s, fx, peer, sent, None)
    elif isinstance(sent, VoteRequest):
        election.on_vote_lost(s, fx, peer, sent, now)
    elif s.leadership is not None and sent.term == s.current_term:
        if isinstance(sent, AppendRequest):
            leader.on_append_lost(s, peer, sent, now)
            if reads.more_rounds_wanted(s):
                _wake_member(s, fx, peer)
        elif isinstance(sent, SnapshotRequest):
            install_snapshot.on_chunk_lost(s, peer, sent, now)


def _granted_prevote(sent: Request, reply: Reply) -> bool:
    """Its term is the one that was asked about, nobody's yet."""
    return (
        isinstance(sent, VoteRequest)
        and sent.pre
        and isinstance(reply, VoteReply)
        and reply.pre
        and reply.granted
    )
