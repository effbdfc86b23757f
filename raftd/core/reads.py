"""ReadIndex (dissertation 6.4): linearizable reads without writing to the log.

A read is confirmed by answers to requests that were *pulled after it arrived*: pull numbers, not
clocks, say so. A process that was paused and wakes up can therefore not confirm a new read with an
old round, and a retried read is a new one.
"""

from __future__ import annotations

from raftd.core.effects import Effects, NotLeader, Token
from raftd.core.messages import Channel, ReadIndexReply, ReadIndexRequest
from raftd.core.state import State, leadership
from raftd.core.types import NodeId
from raftd.core.underway import PendingRead

FOREVER = 2**63


def add(s: State, fx: Effects, token: Token, remote: ReadIndexRequest | None = None) -> None:
    """Leader: queue a read. It may not be answered before an entry of this term is committed."""
    lead = leadership(s)
    index = max(s.commit_index, lead.first_index)
    lead.reads.append(PendingRead(token, s.pull_number, index, remote))
    s.wake_all(fx, Channel.CONTROL)
    confirm(s, fx)


def confirm(s: State, fx: Effects) -> None:
    """Release every read whose round a majority has answered.

    A round's acks count for earlier reads only.
    """
    lead = leadership(s)
    if not lead.reads or s.commit_index < lead.first_index:
        return

    def acked(voter: NodeId) -> int:
        if voter == s.me:
            return FOREVER
        progress = lead.progress.get(voter)
        return progress.acked_number if progress else 0

    confirmed = s.configuration.reached_by_majority(acked)
    while lead.reads and lead.reads[0].stamp < confirmed:
        _release(s, fx, lead.reads.popleft())


def _release(s: State, fx: Effects, read: PendingRead) -> None:
    if read.remote is None:
        fx.reads.append((read.token, read.index))
        return
    reply = ReadIndexReply(s.current_term, True, read.index, read.remote.number)
    s.hold(fx, read.token, 0, reply)


def more_rounds_wanted(s: State) -> bool:
    """Does a leader have reads that no round has confirmed yet?"""
    return s.leadership is not None and bool(s.leadership.reads)


def fail_all(s: State, fx: Effects, reason: str) -> None:
    """Leadership is lost: nobody waits for a round that will not come."""
    if s.leadership is None:
        return
    for read in s.leadership.reads:
        if read.remote is None:
            fx.failed.append((read.token, NotLeader(s.leader_id, reason)))
        else:
            refuse(s, fx, read.remote, read.token)
    s.leadership.reads.clear()


def refuse(s: State, fx: Effects, request: ReadIndexRequest, token: Token) -> None:
    """This node cannot say: it does not lead the term of the request."""
    reply = ReadIndexReply(s.current_term, False, 0, request.number)
    s.hold(fx, token, 0, reply)


def on_request(s: State, fx: Effects, request: ReadIndexRequest, token: Token) -> None:
    """A follower asks. Only a leader of that very term answers with an index."""
    if s.leadership is None or request.term != s.current_term:
        refuse(s, fx, request, token)
    else:
        add(s, fx, token, request)


# -- a follower's own clients --


def forward(s: State, fx: Effects, token: Token) -> None:
    """Follower: ask the leader. Raises NotLeader when there is none to ask."""
    if s.leader_id is None or s.leader_id == s.me:
        raise NotLeader(s.leader_id, "no leader is known")
    s.forwarded.waiting.append(token)
    fx.wake[(s.leader_id, Channel.CONTROL)] = None


def next_read_request(s: State, peer: NodeId, now: float) -> ReadIndexRequest | None:
    """All reads that wait share one request; those that come later wait for the next one."""
    forwarded = s.forwarded
    if peer != s.leader_id or not forwarded.waiting or forwarded.asked:
        return None
    number = s.next_number()
    forwarded.asked[number] = forwarded.waiting
    forwarded.waiting = []
    return ReadIndexRequest(s.current_term, number, now)


def on_reply(
    s: State, fx: Effects, peer: NodeId, sent: ReadIndexRequest, reply: ReadIndexReply | None
) -> None:
    """The leader answered our clients' reads, or (`reply` None) no answer will come."""
    tokens = s.forwarded.asked.pop(sent.number, [])
    for token in tokens:
        if reply is not None and reply.ok:
            fx.reads.append((token, reply.index))
        else:
            reason = (
                "the leader did not answer" if reply is None else "the asked node does not lead"
            )
            fx.failed.append((token, NotLeader(s.leader_id, reason)))
    if s.forwarded.waiting:
        if s.leader_id is None or s.leader_id == s.me:
            fail_forwarded(s, fx, "no leader is known")
        else:
            fx.wake[(s.leader_id, Channel.CONTROL)] = None


def fail_forwarded(s: State, fx: Effects, reason: str) -> None:
    """Reads that have not been sent to a leader fail: there is none any more."""
    for token in s.forwarded.waiting:
        fx.failed.append((token, NotLeader(s.leader_id, reason)))
    s.forwarded.waiting = []
