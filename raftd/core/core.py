"""RaftCore: one node of Raft as values in, values out.

It does no I/O, reads no clock, draws no randomness of its own and starts no thread. Durability is
an input: the core withholds every promise (a vote, an acknowledgement, its own vote, its own match,
a term that it shows, a record) until `persisted` covers the write that the promise rests on. The
daemon and the simulator drive this same class; their duties are in `effects.py`.

By the paper's words: the state in `state.py`, the rule for terms and the switch by kind of message
in `step.py`, the five transitions in `roles.py`; RequestVote in `election.py` (asking), `voting.py`
(giving), AppendEntries in `leader.py`, `follower.py`, InstallSnapshot in `install_snapshot.py`.
Hello is in `admission.py`. What time causes is in `timers.py`, what the disk in `durability.py`.

Not thread-safe: the driver holds one lock round every call. `now` is seconds on a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from raftd.core import (
    admission,
    agreement,
    changes,
    durability,
    election,
    install_snapshot,
    invariants,
    leader,
    membership,
    picture,
    plausible,
    reads,
    recover,
    roles,
    snapshots,
    step,
    timers,
    transfer,
)
from raftd.core.changes import Change
from raftd.core.comparing import StateDigest, Verdict
from raftd.core.effects import BrokenInvariant, Effects, Token
from raftd.core.log import RaftLog
from raftd.core.messages import Channel, Reply, Request, SnapshotRequest
from raftd.core.state import Rng
from raftd.core.types import (
    Configuration,
    Identity,
    Incarnation,
    Index,
    NodeId,
    RaftState,
    Recovered,
    Role,
    Settings,
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
        """A node as its disk left it. `configuration`: the first one, the virtual snapshot's.

        Raises BrokenInvariant if `recovered` has a gap between its snapshot and its log.
        """
        self._s = recover.state_of(identity, settings, configuration, recovered, rng)
        roles.arm_election(self._s, now)

    def start(self, now: float) -> Effects:
        """Call once, first: restores the snapshot, greets the peers; alone, admits itself."""
        fx = Effects()
        s = self._s
        if s.snapshot.index > 0:
            fx.install = s.snapshot
            s.installs_out.append(s.snapshot)
        fx.configuration = s.configuration
        if not s.admitted:
            admission.admit_if_recorded(s, fx, now)
        s.wake_all(fx, Channel.CONTROL)
        return fx

    # -- peers --

    def step(self, request: Request, now: float, token: Token) -> Effects:
        """A peer's RPC. Exactly one reply comes out, now or later, with `token`.

        Raises ImpossibleMessage on what no correct peer can say: nothing was done, no reply comes.
        """
        fx = Effects()
        plausible.check_request(self._s, request)
        step.take(self._s, fx, request, now, token)
        return self._done(fx, now)

    def on_reply(self, peer: NodeId, sent: Request, reply: Reply, now: float) -> Effects:
        """The answer to `sent`, the very object that `next_request` gave out. Once per request.

        Raises ImpossibleMessage: nothing was done, and `sent` is still to be called unreachable.
        """
        fx = Effects()
        plausible.check_reply(self._s, sent, reply)
        step.on_reply(self._s, fx, peer, sent, reply, now)
        return self._done(fx, now)

    def unreachable(self, peer: NodeId, sent: Request, now: float) -> Effects:
        """No answer to `sent` will come: lost, refused below Raft, or too late.

        It may have arrived.
        """
        fx = Effects()
        step.lost(self._s, fx, peer, sent, now)
        admission.greet_anew(self._s, peer, now)
        return self._done(fx, now)

    def link_lost(self, peer: NodeId, now: float) -> Effects:
        """The connections to `peer` broke and a quick probe failed: see `election.link_lost`."""
        fx = Effects()
        election.link_lost(self._s, fx, peer, now)
        return self._done(fx, now)

    def next_request(self, peer: NodeId, channel: Channel, now: float) -> Request | None:
        """What is owed to `peer` on `channel` now, or None. Ask until None; send what you get.

        Every request given out ends in exactly one `on_reply` or `unreachable`.
        """
        s = self._s
        if channel is Channel.CONTROL and admission.hello_due(s, peer, now):
            return admission.make_hello(s, peer, now)
        if not s.may_vote or not s.term_is_durable or peer not in s.incarnations:
            return None
        if channel is Channel.CONTROL:
            return self._next_control(peer, now)
        if s.leadership is None:
            return None
        if channel is Channel.BULK:
            return install_snapshot.next_chunk(s, peer, now)
        return leader.next_append(s, peer, now)

    def _next_control(self, peer: NodeId, now: float) -> Request | None:
        s = self._s
        if s.leadership is not None:
            return transfer.next_timeout_now(s, peer, now) or leader.next_heartbeat(s, peer, now)
        return election.next_vote_request(s, peer, now) or reads.next_read_request(s, peer, now)

    # -- time and disk --

    def tick(self, now: float) -> Effects:
        """Fire what is due. A late call is harmless, an early one does nothing."""
        fx = Effects()
        timers.tick(self._s, fx, now)
        invariants.check(self._s)
        return self._done(fx, now)

    def wake_at(self, now: float) -> float:
        """When to `tick` next. It may move with any call."""
        return timers.wake_at(self._s, now)

    def persisted(self, seq: WriteSeq, now: float) -> Effects:
        """Every write up to and including `seq` is durable: release what rests on them."""
        fx = Effects()
        durability.persisted(self._s, fx, seq, now)
        return self._done(fx, now)

    # -- clients --

    def propose(self, batches: Sequence[bytes], now: float) -> Effects:
        """Append one entry per batch; `assigned` says where. `committed` brings them back.

        Raises NotLeader or Unavailable: then nothing was appended, and never will be.
        """
        fx = Effects()
        leader.propose(self._s, fx, batches, now)
        return self._done(fx, now)

    def read(self, now: float, token: Token) -> Effects:
        """A linearizable read (dissertation 6.4): `reads` gives the index, or it has `failed`. A
        follower asks its leader. Raises NotLeader when none is known.
        """
        fx = Effects()
        ask = reads.forward if self._s.leadership is None else reads.add
        ask(self._s, fx, token)
        return self._done(fx, now)

    def change(self, change: Change, now: float) -> Effects:
        """Change the members, as a leader. `assigned` says where the entry is; nothing there: it is
        so already. Raises NotLeader, Unavailable, ChangeRefused: then nothing was done.
        """
        fx = Effects()
        changes.propose(self._s, fx, change, now)
        return self._done(fx, now)

    def transfer(self, target: NodeId | None, now: float) -> Effects:
        """Hand leadership to `target`, or to whoever has most (dissertation 3.10). Ends with a role
        or, after an election timeout, a transfer event. Raises NotLeader, Unavailable."""
        fx = Effects()
        transfer.begin(self._s, fx, target, now)
        return self._done(fx, now)

    def limit_pin(self, size_bytes: int) -> Effects:
        """The disk has no more room than for so much log held back for a follower."""
        self._s.pin_bytes_max = size_bytes
        return Effects()

    def fit_to_lead(self, fit: bool) -> Effects:
        """Not `fit`: it tells its leader so; leading itself, it hands over a while later."""
        self._s.unfit = not fit
        return Effects()

    # -- snapshots and the machine --

    def chunk_stored(
        self, token: Token, request: SnapshotRequest, next_offset: int, now: float
    ) -> Effects:
        """A chunk of `effects.chunks` was stored (or was not wanted); go on at `next_offset`."""
        fx = Effects()
        step.chunk_stored(self._s, fx, token, request, next_offset)
        return self._done(fx, now)

    def snapshot_received(
        self, meta: SnapshotMeta, token: Token, request: SnapshotRequest, now: float
    ) -> Effects:
        """The snapshot that `request` completes is whole, checked and *durable* on disk."""
        fx = Effects()
        install_snapshot.received(self._s, fx, meta, request, now, token)
        return self._done(fx, now)

    def snapshot_taken(self, meta: SnapshotMeta, now: float) -> Effects:
        """Our own snapshot of what is applied, at `meta.index`, is durable: mark it, compact."""
        fx = Effects()
        snapshots.taken(self._s, fx, meta, now)
        return self._done(fx, now)

    def snapshot_is_rotten(self, meta: SnapshotMeta, what: str, now: float) -> Effects:
        """The file of our newest snapshot has changed on disk, or is gone: `what` says how.

        Nothing happens if a newer one is there. Until `snapshot_taken` none is sent.
        """
        fx = Effects()
        snapshots.note_rotten(self._s, fx, meta, what)
        return self._done(fx, now)

    def applied(self, index: Index, now: float) -> Effects:
        """The machine has applied everything up to `index`; also after a restore."""
        s = self._s
        if index > s.handed_index:
            raise BrokenInvariant(f"applied {index}, but only {s.handed_index} was handed over")
        s.applied_index = max(s.applied_index, index)
        snapshots.restored(s, index)
        return Effects()

    def digested(self, digest: StateDigest, now: float, work_seconds: float) -> Effects:
        """The machine's state was digested at `effects.mark`; it took so much of a processor."""
        return agreement.digested(self._s, digest, now, work_seconds)

    def snapshots_in_use(self) -> tuple[SnapshotMeta, ...]:
        """The snapshot files that must stay, ascending: marked, sent, or not restored yet."""
        return snapshots.in_use(self._s)

    # -- looking in --

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
    def seeks_leader(self) -> bool:
        """Is none known, or the link to it broken?"""
        return self._s.leader_id is None or self._s.link_lost

    @property
    def snapshot(self) -> SnapshotMeta:
        """The newest one; index 0 if there is none."""
        return self._s.snapshot

    @property
    def verdict(self) -> Verdict:
        return self._s.agreement.verdict

    @property
    def identity(self) -> Identity:
        return self._s.identity

    def expected_incarnation(self, peer: NodeId) -> Incarnation | None:
        """What `peer` is recorded as; None while it has not been heard of."""
        return self._s.incarnations.get(peer)

    @property
    def configuration(self) -> Configuration:
        """The one in force."""
        return self._s.configuration

    def configuration_at(self, index: Index) -> Configuration:
        """The configuration that belongs into a snapshot at `index`."""
        return membership.configuration_at(self._s, index)

    def state(self, now: float) -> RaftState:
        return picture.state_of(self._s, now)

    def closer(self, now: float, request: Request | None = None) -> picture.CloserLook:
        return picture.closer_look(self._s, now, request)

    def _done(self, fx: Effects, now: float) -> Effects:
        """Hand what is committed to the machine, in order and once; not past an unmarked snapshot,
        and not if this node contradicts itself."""
        s = self._s
        if not s.settled and s.configurations[-1][0] <= s.commit_index:
            changes.settle(s, fx, now)
        if fx.events:
            invariants.check(s)
        if s.installing is None and s.handed_index < s.commit_index:
            if not invariants.positions(s):
                invariants.check(s)
            fx.committed = s.log.between(s.handed_index + 1, s.commit_index)
            s.handed_index = s.commit_index
        if s.agreement.due is not None:
            agreement.place(s, fx)
        return fx
