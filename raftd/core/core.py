"""RaftCore: one node of Raft as values in, values out.

It does no I/O, reads no clock, draws no randomness of its own and starts no thread. Durability is an
input: the core withholds every promise (a vote, an acknowledgement, its own vote, its own match, a
term that it shows, a record) until `persisted` covers the write that the promise rests on. The
daemon, the simulator and a trace replay drive this same class; their duties are in `effects.py`.

Where things are: the paper's state is in `state.py`, receiver rules in `follower.py`, votes in
`candidate.py`, replication and commit in `leader.py`, ReadIndex in `reads.py`, Hello and admission
in `membership.py`, every role transition in `roles.py`, everything that time causes in `timers.py`.

Not thread-safe: the driver holds one lock round every call. `now` is seconds on a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from raftd.core import candidate, compaction, follower, leader, membership, reads, roles, timers
from raftd.core.effects import BrokenInvariant, Effects, NotLeader, Token, Unavailable
from raftd.core.log import RaftLog
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
    TimeoutNowReply,
    TimeoutNowRequest,
    VoteReply,
    VoteRequest,
)
from raftd.core.state import Rng, State, Transfer
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    Identity,
    Incarnation,
    Index,
    NodeId,
    PeerState,
    RaftState,
    Recovered,
    Role,
    Settings,
    SnapshotMarker,
    SnapshotMeta,
    Term,
    WriteSeq,
)


class RaftCore:
    def __init__(
        self,
        identity: Identity,
        settings: Settings,
        configuration: Configuration,
        recovered: Recovered,
        rng: Rng,
        now: float,
    ) -> None:
        """A node as its disk left it. `configuration` is the first one, the virtual snapshot at (0, 0).

        Raises BrokenInvariant if `recovered` has a gap between its snapshot and its log.
        """
        snapshot = recovered.snapshot or SnapshotMeta(0, 0, configuration)
        log = _log_of(recovered, snapshot)
        term = max(recovered.hard_state.term, log.last_term)
        if term != recovered.hard_state.term and log.last_term > 0:
            raise BrokenInvariant(
                f"the log ends in term {log.last_term}, the disk remembers term {recovered.hard_state.term}"
            )
        self._s = State(
            identity=identity,
            settings=settings,
            rng=rng,
            current_term=term,
            voted_for=recovered.hard_state.vote,
            log=log,
            admitted=recovered.admitted,
            records=dict(recovered.records),
            snapshot=snapshot,
            configurations=[(snapshot.index, snapshot.configuration)],
            commit_index=snapshot.index,
            handed_index=snapshot.index,
            applied_index=0,
        )
        after = log.between(snapshot.index + 1, log.last_index)
        membership.note_appended(self._s, tuple(after))
        roles.arm_election(self._s, now)

    def start(self, now: float) -> Effects:
        """Call once, first: restores the snapshot, greets the peers; alone, admits itself."""
        fx = Effects()
        s = self._s
        if s.snapshot.index > 0:
            fx.install = s.snapshot
        if not s.admitted:
            membership.admit_if_recorded(s, fx, now)
        s.wake_all(fx, Channel.CONTROL)
        return fx

    # -- peers -------------------------------------------------------------------------------------

    def step(self, request: Request, now: float, token: Token) -> Effects:
        """A peer's RPC. Exactly one reply comes out, now or later, with `token`.

        Raises BrokenInvariant on what no correct peer can say; the process must stop.
        """
        fx = Effects()
        s = self._s
        if isinstance(request, HelloRequest):
            membership.on_hello(s, fx, request, now, token)
        elif not s.may_vote:
            fx.replies.append((token, NotAdmitted(request.number)))
        elif isinstance(request, AppendRequest):
            self._on_append(fx, request, now, token)
        elif isinstance(request, VoteRequest):
            self._on_vote_request(fx, request, now, token)
        elif isinstance(request, SnapshotRequest):
            self._on_chunk(fx, request, now, token)
        elif isinstance(request, ReadIndexRequest):
            reads.on_request(s, fx, request, token)
        else:
            self._on_timeout_now(fx, request, now, token)
        return self._done(fx)

    def on_reply(self, peer: NodeId, sent: Request, reply: Reply, now: float) -> Effects:
        """The answer to `sent`, the very object that `next_request` gave out. Once per request."""
        fx = Effects()
        s = self._s
        if isinstance(reply, NotAdmitted):
            self._lost(fx, peer, sent, now)
            return self._done(fx)
        if isinstance(reply, HelloReply):
            membership.on_hello_reply(s, fx, peer, reply, now)
            return self._done(fx)
        if isinstance(sent, ReadIndexRequest):
            answer = reply if isinstance(reply, ReadIndexReply) else None
            reads.on_reply(s, fx, peer, sent, answer)
        if reply.term > s.current_term and not _granted_prevote(sent, reply):
            roles.adopt_term(s, fx, reply.term, now, f"{peer} answered from a higher term")
        elif isinstance(sent, VoteRequest) and isinstance(reply, VoteReply):
            self._on_vote_reply(fx, peer, sent, reply, now)
        elif s.leadership is not None and reply.term == s.current_term:
            self._on_follower_reply(fx, peer, sent, reply)
        return self._done(fx)

    def unreachable(self, peer: NodeId, sent: Request, now: float) -> Effects:
        """No answer to `sent` will come: lost, refused below Raft, or too late. It may have arrived."""
        fx = Effects()
        self._lost(fx, peer, sent, now)
        return self._done(fx)

    def link_lost(self, peer: NodeId, now: float) -> Effects:
        """The connections to `peer` broke and a quick probe failed. If it led, ask at once whether the

        others have lost it too: a pre-vote, so that one broken path disturbs nobody. At most once per
        election timeout, and staggered: all followers see a leader's death in the same millisecond.
        """
        fx = Effects()
        s = self._s
        recent = (
            s.link_lost_at is not None
            and now - s.link_lost_at < s.settings.election_timeout_min
        )
        if s.role is not Role.FOLLOWER or s.leader_id != peer or s.link_lost or recent:
            return fx
        s.link_lost, s.link_lost_at, s.link_lost_tries = True, now, 0
        s.election_deadline = now + s.uniform(0.0, s.settings.link_lost_stagger_max)
        s.event(fx, "leader", f"the link to leader {peer} broke", peer)
        return self._done(fx)

    def next_request(self, peer: NodeId, channel: Channel, now: float) -> Request | None:
        """What is owed to `peer` on `channel` now, or None. Ask until None; send what you get.

        Every request given out ends in exactly one `on_reply` or `unreachable`.
        """
        s = self._s
        if channel is Channel.CONTROL and membership.hello_due(s, peer, now):
            hello = membership.make_hello(s, peer, now)
            if hello is not None:
                return hello
        if not s.may_vote or not s.term_is_durable or peer not in s.records:
            return None
        if channel is Channel.CONTROL:
            return self._next_control(peer, now)
        if s.leadership is None:
            return None
        if channel is Channel.BULK:
            return leader.next_chunk(s, peer, now)
        return leader.next_append(s, peer, now)

    def _next_control(self, peer: NodeId, now: float) -> Request | None:
        s = self._s
        if s.leadership is not None:
            return leader.next_timeout_now(s, peer, now) or leader.next_heartbeat(s, peer, now)
        return candidate.next_vote_request(s, peer, now) or reads.next_read_request(s, peer, now)

    # -- time and disk -----------------------------------------------------------------------------

    def tick(self, now: float) -> Effects:
        """Fire what is due. A late call is harmless, an early one does nothing."""
        fx = Effects()
        timers.tick(self._s, fx, now)
        return self._done(fx)

    def wake_at(self, now: float) -> float:
        """When to `tick` next. It may move with any call."""
        return timers.wake_at(self._s, now)

    def persisted(self, seq: WriteSeq, now: float) -> Effects:
        """Every write up to and including `seq` is durable: release what rests on them."""
        fx = Effects()
        s = self._s
        before = s.durable_seq
        term_was_durable, could_vote = s.term_is_durable, s.may_vote
        s.durable_seq = max(before, seq)
        while s.unsynced and s.unsynced[0][0] <= seq:
            s.unsynced.popleft()
        s.log.persisted(seq)
        self._release_held(fx, now)
        if not term_was_durable or not could_vote or s.records_seq > before:
            s.wake_all(fx, Channel.CONTROL, Channel.APPEND)
        if s.may_vote and not could_vote:
            roles.arm_election(s, now)
        self._snapshot_is_marked(fx, before, now)
        self._own_vote_is_durable(fx, now)
        if s.leadership is not None and leader.maybe_commit(s):
            reads.confirm(s, fx)
        return self._done(fx)

    # -- clients -----------------------------------------------------------------------------------

    def propose(self, batches: Sequence[bytes], now: float) -> Effects:
        """Append one entry per batch; `assigned` says where. Committed means (index, term) comes out of

        `committed`. Raises NotLeader or Unavailable: then nothing was appended, and never will be.
        """
        s = self._s
        if s.leadership is None:
            raise NotLeader(s.leader_id)
        if s.leadership.transfer is not None:
            raise Unavailable(f"leadership is being handed to {s.leadership.transfer.target}")
        if s.unsynced and now - s.unsynced[0][1] > s.settings.disk_stall_refuse:
            raise Unavailable("the leader's disk has not synced for a while")
        fx = Effects()
        first, term = s.log.last_index + 1, s.current_term
        entries = tuple(
            Entry(first + offset, term, EntryType.BATCH, batch)
            for offset, batch in enumerate(batches)
        )
        if entries:
            roles.append(s, fx, now, entries)
            fx.assigned = [(entry.index, term) for entry in entries]
        return self._done(fx)

    def read(self, now: float, token: Token) -> Effects:
        """A linearizable read (dissertation 6.4): `reads` gives the index to have applied, or `failed`.

        A follower asks its leader. Raises NotLeader when none is known.
        """
        fx = Effects()
        if self._s.leadership is not None:
            reads.add(self._s, fx, token)
        else:
            reads.forward(self._s, fx, token)
        return self._done(fx)

    def transfer(self, target: NodeId | None, now: float) -> Effects:
        """Hand leadership to `target`, or to whoever has most (dissertation 3.10). Ends with a role event

        or, after an election timeout, a transfer event. Raises NotLeader, Unavailable.
        """
        s = self._s
        if s.leadership is None:
            raise NotLeader(s.leader_id)
        voters = [p for p in s.leadership.progress.values() if p.peer in s.configuration.voters]
        if target is None and voters:
            target = max(voters, key=lambda p: (p.match, p.acked_number)).peer
        if target not in [p.peer for p in voters]:
            raise Unavailable(f"cannot hand leadership to {target!r}: not another voter")
        if s.leadership.transfer is not None:
            raise Unavailable(f"leadership is being handed to {s.leadership.transfer.target}")
        fx = Effects()
        s.leadership.transfer = Transfer(target, now + s.settings.election_timeout_max)
        s.event(fx, "transfer", f"handing leadership to {target}", target)
        fx.wake[(target, Channel.CONTROL)] = None
        fx.wake[(target, Channel.APPEND)] = None
        return self._done(fx)

    # -- snapshots and the machine -----------------------------------------------------------------

    def chunk_stored(
        self, token: Token, request: SnapshotRequest, next_offset: int, now: float
    ) -> Effects:
        """A chunk of `effects.chunks` was stored (or was not wanted); go on at `next_offset`."""
        fx = Effects()
        if request.term < self._s.current_term:
            follower.refuse_chunk(self._s, fx, request, token)
        else:
            follower.chunk_stored(self._s, fx, token, request, next_offset)
        return self._done(fx)

    def snapshot_received(
        self, meta: SnapshotMeta, token: Token, request: SnapshotRequest, now: float
    ) -> Effects:
        """The snapshot that `request` completes is whole, checked and *durable* on disk."""
        fx = Effects()
        follower.received(self._s, fx, meta, request, now, token)
        return self._done(fx)

    def snapshot_taken(self, meta: SnapshotMeta, now: float) -> Effects:
        """Our own snapshot of the applied state at `meta.index` is durable: mark it, then compact."""
        fx = Effects()
        s = self._s
        if meta.index <= s.snapshot.index:
            return fx
        if meta.index > s.handed_index:
            raise BrokenInvariant(
                f"a snapshot at {meta.index}, but only {s.handed_index} was handed to the machine"
            )
        seq = s.write(fx, now, marker=SnapshotMarker(meta, reset=False))
        s.snapshot = meta
        s.compact_after = (seq, meta)
        s.event(fx, "snapshot_taken", f"at {meta.index}, {meta.size_bytes} bytes")
        return self._done(fx)

    def applied(self, index: Index, now: float) -> Effects:
        """The machine has applied everything up to `index`; also after a restore."""
        s = self._s
        if index > s.handed_index:
            raise BrokenInvariant(f"applied {index}, but only {s.handed_index} was handed over")
        s.applied_index = max(s.applied_index, index)
        return Effects()

    def snapshots_in_use(self) -> tuple[SnapshotMeta, ...]:
        """The snapshot files that must stay: the newest, and those that are being sent or marked."""
        s = self._s
        metas = {s.snapshot.index: s.snapshot}
        if s.leadership is not None:
            for progress in s.leadership.progress.values():
                if progress.sending is not None:
                    metas[progress.sending.meta.index] = progress.sending.meta
        return tuple(meta for index, meta in sorted(metas.items()) if index > 0)

    # -- looking in --------------------------------------------------------------------------------

    @property
    def current_term(self) -> Term:
        return self._s.current_term

    @property
    def voted_for(self) -> NodeId | None:
        return self._s.voted_for

    @property
    def role(self) -> Role:
        return self._s.role

    @property
    def leader_id(self) -> NodeId | None:
        return self._s.leader_id

    @property
    def log(self) -> RaftLog:
        return self._s.log

    @property
    def commit_index(self) -> Index:
        return self._s.commit_index

    @property
    def durable_index(self) -> Index:
        return self._s.log.durable_index

    @property
    def identity(self) -> Identity:
        return self._s.identity

    def expected_incarnation(self, peer: NodeId) -> Incarnation | None:
        """What `peer` is recorded as; None while it has not been heard of."""
        return self._s.records.get(peer)

    def configuration_at(self, index: Index) -> Configuration:
        """The configuration that belongs into a snapshot at `index`."""
        return membership.configuration_at(self._s, index)

    def state(self, now: float) -> RaftState:
        s = self._s
        return RaftState(
            node=s.me,
            role=s.role,
            term=s.current_term,
            vote=s.voted_for,
            leader=s.leader_id,
            first_index=s.log.first_index,
            last_index=s.log.last_index,
            last_term=s.log.last_term,
            durable_index=s.log.durable_index,
            commit_index=s.commit_index,
            applied_index=s.applied_index,
            snapshot_index=s.snapshot.index,
            snapshot_term=s.snapshot.term,
            log_bytes=s.log.bytes,
            admitted=s.admitted,
            waiting_for=membership.waiting_for(s),
            configuration=s.configuration,
            peers=_peer_states(s, now),
        )

    # -- the parts of the above --------------------------------------------------------------------

    def _on_append(
        self, fx: Effects, request: AppendRequest, now: float, token: Token
    ) -> None:
        s = self._s
        if request.term < s.current_term:
            follower.refuse_append(s, fx, request, token)
            return
        self._hear_leader(fx, request.term, request.leader, now)
        follower.append(s, fx, request, now, token)

    def _on_chunk(
        self, fx: Effects, request: SnapshotRequest, now: float, token: Token
    ) -> None:
        s = self._s
        if request.term < s.current_term:
            follower.refuse_chunk(s, fx, request, token)
            return
        self._hear_leader(fx, request.term, request.leader, now)
        follower.chunk(s, fx, request, token)

    def _hear_leader(self, fx: Effects, term: Term, node: NodeId, now: float) -> None:
        """A message of a leader whose term is at least ours. Section 5.2, Figure 2 "Followers"."""
        s = self._s
        if term > s.current_term:
            roles.adopt_term(s, fx, term, now, f"{node} leads it")
        if s.leadership is not None or s.leader_id not in (None, node):
            other = s.leader_id or s.me
            raise BrokenInvariant(f"two leaders in term {term}: {other} and {node}")
        if s.role is not Role.FOLLOWER or s.leader_id is None:
            roles.become_follower(s, fx, node, now, f"{node} leads term {term}")
        s.leader_contact, s.link_lost = now, False
        roles.arm_election(s, now)

    def _on_vote_request(
        self, fx: Effects, request: VoteRequest, now: float, token: Token
    ) -> None:
        s = self._s
        if not request.transfer and candidate.leader_is_alive(s, now):
            candidate.refuse(s, fx, request, token)
        elif request.pre:
            self._answer_prevote(fx, request, token)
        else:
            if request.term > s.current_term:
                roles.adopt_term(s, fx, request.term, now, f"{request.candidate} asks for votes")
            if candidate.judge_vote(s, request):
                if s.role is not Role.FOLLOWER:
                    roles.become_follower(s, fx, None, now, f"voted for {request.candidate}")
                candidate.grant(s, fx, request, now, token)
                roles.arm_election(s, now)
            else:
                candidate.refuse(s, fx, request, token)

    def _answer_prevote(self, fx: Effects, request: VoteRequest, token: Token) -> None:
        s = self._s
        if candidate.judge_prevote(s, request):
            reply = VoteReply(request.term, True, True)
            s.hold(fx, token, 0, lambda: reply, survives_term=True)
        else:
            candidate.refuse(s, fx, request, token)

    def _on_timeout_now(
        self, fx: Effects, request: TimeoutNowRequest, now: float, token: Token
    ) -> None:
        """Only the current leader's word counts, and only for a voter that follows it."""
        s = self._s
        obey = (
            request.term == s.current_term
            and s.role is Role.FOLLOWER
            and s.leader_id == request.leader
            and s.me in s.configuration.voters
        )
        reply = TimeoutNowReply(s.current_term, request.number)
        s.hold(fx, token, 0, lambda: reply, survives_term=True)
        if obey:
            roles.start_election(s, fx, now, f"{request.leader} hands over", transfer=True)

    def _on_vote_reply(
        self, fx: Effects, peer: NodeId, sent: VoteRequest, reply: VoteReply, now: float
    ) -> None:
        if candidate.is_current(self._s, sent):
            candidate.count(self._s, peer, reply.granted)
            roles.judge(self._s, fx, now)

    def _on_follower_reply(self, fx: Effects, peer: NodeId, sent: Request, reply: Reply) -> None:
        s = self._s
        if isinstance(sent, AppendRequest) and isinstance(reply, AppendReply):
            if sent.term != s.current_term:
                return
            leader.on_append_reply(s, fx, peer, sent, reply)
        elif isinstance(sent, SnapshotRequest) and isinstance(reply, SnapshotReply):
            if sent.term != s.current_term:
                return
            leader.on_chunk_reply(s, fx, peer, sent, reply)
        else:
            return
        leader.maybe_commit(s)
        reads.confirm(s, fx)
        if reads.more_rounds_wanted(s) or leader.leadership(s).transfer is not None:
            fx.wake[(peer, Channel.CONTROL)] = None

    def _lost(self, fx: Effects, peer: NodeId, sent: Request, now: float) -> None:
        s = self._s
        if isinstance(sent, HelloRequest):
            membership.on_hello_lost(s, peer, now)
        elif isinstance(sent, ReadIndexRequest):
            reads.on_reply(s, fx, peer, sent, None)
        elif isinstance(sent, VoteRequest):
            if candidate.is_current(s, sent) and s.campaign is not None:
                candidate.ask_again_later(s, s.campaign, peer, now)
        elif s.leadership is not None and sent.term == s.current_term:
            if isinstance(sent, AppendRequest):
                leader.on_append_lost(s, peer, sent, now)
                if reads.more_rounds_wanted(s):
                    fx.wake[(peer, Channel.CONTROL)] = None
            elif isinstance(sent, SnapshotRequest):
                leader.on_chunk_lost(s, peer, sent, now)

    def _release_held(self, fx: Effects, now: float) -> None:
        s = self._s
        if not s.held:
            return
        waiting = []
        for held in s.held:
            if held.seq > s.durable_seq:
                waiting.append(held)
                continue
            reply = held.make()
            fx.replies.append((held.token, reply))
            if isinstance(reply, VoteReply) and reply.granted and not reply.pre:
                self._vote_left(reply.term, now)
        s.held = waiting

    def _vote_left(self, term: Term, now: float) -> None:
        """The timer starts when the vote leaves: a slow disk must not eat the candidate's time."""
        s = self._s
        if term == s.current_term and s.role is Role.FOLLOWER and s.leader_id is None:
            roles.arm_election(s, now)

    def _own_vote_is_durable(self, fx: Effects, now: float) -> None:
        s = self._s
        campaign = s.campaign
        if campaign is None or campaign.own_vote is None or campaign.own_vote > s.durable_seq:
            return
        if s.me not in campaign.votes:
            candidate.count(s, s.me, True)
            roles.judge(s, fx, now)

    def _snapshot_is_marked(self, fx: Effects, before: WriteSeq, now: float) -> None:
        """Only now may the machine move to a received snapshot, and the log before ours go."""
        s = self._s
        if s.installing is not None and s.installing[0] <= s.durable_seq:
            meta = s.installing[1]
            s.installing = None
            fx.install = meta
            fx.released = meta.index
            s.handed_index = meta.index
            s.event(fx, "snapshot_installed", f"at {meta.index}, {meta.size_bytes} bytes")
        if s.compact_after is not None and before < s.compact_after[0] <= s.durable_seq:
            compaction.compact(s, fx, now)

    def _done(self, fx: Effects) -> Effects:
        """Hand what is committed to the machine, in order and once; not past a snapshot that is not marked yet."""
        s = self._s
        if s.installing is None and s.handed_index < s.commit_index:
            fx.committed = s.log.between(s.handed_index + 1, s.commit_index)
            s.handed_index = s.commit_index
        return fx


def _log_of(recovered: Recovered, snapshot: SnapshotMeta) -> RaftLog:
    if not recovered.entries:
        return RaftLog(snapshot.index, snapshot.term, ())
    first = recovered.entries[0].index
    if first > snapshot.index + 1:
        raise BrokenInvariant(
            f"the snapshot ends at {snapshot.index}, the log starts at {first}: entries are missing"
        )
    covered = snapshot.index + 1 - first
    if covered >= len(recovered.entries):
        last = recovered.entries[-1]
        if last.index != snapshot.index or last.term != snapshot.term:
            return RaftLog(snapshot.index, snapshot.term, ())
    if first == snapshot.index + 1:
        return RaftLog(snapshot.index, snapshot.term, recovered.entries)
    # A tail before the snapshot: its first entry only serves as the position before the rest.
    boundary = recovered.entries[0]
    return RaftLog(boundary.index, boundary.term, recovered.entries[1:])


def _granted_prevote(sent: Request, reply: Reply) -> bool:
    """Its term is the one that was asked about, nobody's yet."""
    return (
        isinstance(sent, VoteRequest)
        and sent.pre
        and isinstance(reply, VoteReply)
        and reply.pre
        and reply.granted
    )


def _peer_states(s: State, now: float) -> tuple[PeerState, ...]:
    if s.leadership is None:
        return ()
    return tuple(
        PeerState(
            peer=p.peer,
            match=p.match,
            next=p.next,
            mode=p.mode.value,
            inflight=len(p.inflight),
            contact_age=None if p.contact is None else now - p.contact,
        )
        for p in s.leadership.progress.values()
    )
