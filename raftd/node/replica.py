"""Replica: THE lock round the core, and the hands that do what the core decides.

Theory of operation. One plain lock guards the core. `_enter` is the only way in: it takes the lock,
lets the core decide, puts the effects on the workers' queues (never blocking, nothing awaited), and
leaves the lock; so queue order is core order, and that is the whole ordering argument. Then,
outside
the lock, `_deliver` acts: replies, wakes, answers. Any exception that the core does not declare
poisons the node and goes to the fatal port; asyncio would have swallowed it.

All methods: network thread (the asyncio loop), except where a docstring says otherwise. What other
threads have to say (a write is durable, a snapshot is on disk) is posted to the loop first, so the
lock is practically never contended; it stands for whoever looks in from elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from raftd.core.core import RaftCore
from raftd.core.effects import BrokenInvariant, Effects, Event, NotLeader, Unavailable
from raftd.core.messages import Channel, Reply, Request, SnapshotRequest
from raftd.core.types import Identity, Index, RaftState, Role, SnapshotMeta, WriteSeq
from raftd.node import health
from raftd.node.apply_worker import ApplyEntries, ApplyWorker, Capture, Install, Query, Slice
from raftd.node.door import Door
from raftd.node.events import EventFeed, EventRing
from raftd.node.outcomes import Answered, Applied, Outcome, Refusal, Refused, Unknown
from raftd.node.ports import Clock, FatalPort, PeerTransport
from raftd.node.settings import NodeSettings
from raftd.node.snapshots import SnapshotDesk
from raftd.node.waiters import Waiters
from raftd.node.wal_worker import WalWorker

Done = Callable[[Outcome], None]

TICK_SECONDS_MIN = 0.001
"""What is due stays due until a sender pulls it: without a pause a stuck sender would spin us."""

TICK_SECONDS_MAX = 0.02
"""The timer is set to the core's `wake_at`, but not further ahead: what moves it needs no
bookkeeping.
"""


class NodeStopped(Exception):
    """The node takes no more calls: it was stopped, or it failed and the process is about to end."""


class Replica:
    def __init__(
        self,
        core: RaftCore,
        settings: NodeSettings,
        clock: Clock,
        fatal: FatalPort,
        loop: asyncio.AbstractEventLoop,
        observer: Callable[[Event], None],
        stagger: float,
    ) -> None:
        """observer: sees every event, for the log. stagger: 0..1, drawn once a node, so that nodes
        do not

        all snapshot at the same moment.
        """
        self._core = core
        self._lock = threading.Lock()
        self._settings = settings
        self._clock = clock
        self._fatal = fatal
        self._loop = loop
        self._observer = observer
        self._events = EventRing()
        self._waiters = Waiters()
        self._door = Door(settings)
        self._stopped = ""
        self._timer: asyncio.TimerHandle | None = None
        self._leading = False
        self._applying = False
        self._snapshot_wanted: list[Done] = []
        self._snapshot_running = False
        self._snapshot_bytes = 0
        self._snapshot_scale = 1.0 + 0.25 * stagger
        self._transfers: list[Done] = []
        self._transport: PeerTransport | None = None
        self._wal: WalWorker
        self._apply: ApplyWorker
        self._desk: SnapshotDesk

    def attach(
        self, wal: WalWorker, apply: ApplyWorker, desk: SnapshotDesk, transport: PeerTransport
    ) -> None:
        """Once, before `start`. The workers need the replica's callbacks and it needs them."""
        self._wal, self._apply, self._desk, self._transport = wal, apply, desk, transport

    def start(self) -> None:
        self._enter(self._core.start)
        self._arm_timer()

    def stop(self, why: str) -> None:
        """Take no more calls and answer everybody who waits: whatever is in the log is unknown to
        them.
        """
        self._stopped = why
        if self._timer is not None:
            self._timer.cancel()
        self._waiters.fail_above(0, why, None)
        for query in self._apply.waiting_queries():
            query.done(Refused(Refusal.UNAVAILABLE, why))
        for done in self._door.everybody() + self._snapshot_wanted + self._transfers:
            done(Refused(Refusal.UNAVAILABLE, why))
        self._snapshot_wanted, self._transfers = [], []

    # -- the one way in
    # ------------------------------------------------------------------------------

    def _enter(self, call: Callable[[float], Effects]) -> Effects:
        """Let the core decide. Raises NotLeader, Unavailable (nothing was done) and NodeStopped."""
        if self._stopped:
            raise NodeStopped(self._stopped)
        with self._lock:
            try:
                fx = call(self._clock.now())
                self._queue(fx)
            except (NotLeader, Unavailable):
                raise
            except BaseException as error:
                self._stopped = "a broken invariant"
                what = (
                    "broken invariant"
                    if isinstance(error, BrokenInvariant)
                    else "error in the core"
                )
                self._fatal.fatal(what, error)
                raise NodeStopped(self._stopped) from error
        self._deliver(fx)
        return fx

    def _queue(self, fx: Effects) -> None:
        """Requires the lock. Enqueues only; never blocks."""
        assert self._lock.locked()
        if fx.persist or fx.released:
            self._wal.put(fx.persist, fx.released)
        if fx.install is not None:
            self._apply.put(Install(fx.install))
        if fx.committed:
            self._apply.put(ApplyEntries(fx.committed))

    def _deliver(self, fx: Effects) -> None:
        """Outside the lock: act. What goes to the peers leaves before our own disk is asked."""
        transport = self._transport
        assert transport is not None
        for peer, channel in fx.wake:
            transport.wake(peer, channel)
        for token, reply in fx.replies:
            token(reply)
        for token, request in fx.chunks:
            self._store_chunk(token, request)
        for token, index in fx.reads:
            token(index, None)
        for token, refusal in fx.failed:
            token(0, refusal)
        if fx.events:
            self._tell(fx.events)
        if fx.install is not None:
            self._waiters.fail_up_to(fx.install.index, "a snapshot jumped over the entry")
            self._retain()
        if fx.install is not None or fx.committed:
            self._apply_now()
        if fx.persist or fx.released:
            self._wal.kick(inline=self._core.role is not Role.LEADER)

    def _tell(self, events: list[Event]) -> None:
        now = self._clock.now()
        for event in events:
            self._events.add(now, event)
            self._observer(event)
        self._after_role_change()
        self._arm_timer()

    def _after_role_change(self) -> None:
        """On losing leadership everybody whose entry is not committed is told: the outcome is
        unknown.
        """
        leading = self._core.role is Role.LEADER
        if self._leading and not leading:
            self._waiters.fail_above(
                self._core.commit_index, "leadership was lost", self._core.leader_id
            )
        self._leading = leading
        if self._transfers and not leading and self._core.leader_id is not None:
            self._end_transfers()

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = self._clock.now()
        delay = min(max(self._core.wake_at(now) - now, TICK_SECONDS_MIN), TICK_SECONDS_MAX)
        self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        if self._stopped:
            return
        self._enter(self._core.tick)
        if not self._stopped:
            self._arm_timer()

    # -- peers
    # ---------------------------------------------------------------------------------------

    @property
    def identity(self) -> Identity:
        return self._core.identity

    def expected_incarnation(self, peer: str) -> str | None:
        return self._core.expected_incarnation(peer)

    def step(self, request: Request, reply: Callable[[Reply], None]) -> None:
        """A peer's RPC; `reply` is called exactly once, on this thread, unless the node stops."""
        core = self._core
        self._enter(lambda now: core.step(request, now, reply))

    def pull(self, peer: str, channel: Channel) -> Request | None:
        """What is owed to `peer` now. Ask until None."""
        if self._stopped:
            return None
        with self._lock:
            return self._core.next_request(peer, channel, self._clock.now())

    def on_reply(self, peer: str, sent: Request, reply: Reply) -> None:
        if not self._stopped:
            core = self._core
            self._enter(lambda now: core.on_reply(peer, sent, reply, now))

    def unreachable(self, peer: str, sent: Request) -> None:
        if not self._stopped:
            core = self._core
            self._enter(lambda now: core.unreachable(peer, sent, now))

    def link_lost(self, peer: str) -> None:
        if not self._stopped:
            core = self._core
            self._enter(lambda now: core.link_lost(peer, now))

    async def read_chunk(self, request: SnapshotRequest) -> SnapshotRequest:
        """`request` with its data. Raises FileNotFoundError if that snapshot is gone, OSError."""
        future: asyncio.Future[SnapshotRequest] = self._loop.create_future()

        def done(result: SnapshotRequest | OSError) -> None:
            if future.done():
                return
            if isinstance(result, OSError):
                future.set_exception(result)
            else:
                future.set_result(result)

        self._desk.read_chunk(request, done)
        return await future

    def _store_chunk(self, token: Callable[[Reply], None], request: SnapshotRequest) -> None:
        core = self._core

        def stored(offset: int) -> None:
            if not self._stopped:
                self._enter(lambda now: core.chunk_stored(token, request, offset, now))

        def received(meta: SnapshotMeta) -> None:
            if not self._stopped:
                self._enter(lambda now: core.snapshot_received(meta, token, request, now))
                self._retain()

        self._desk.store_chunk(request, stored, received)

    # -- clients
    # -------------------------------------------------------------------------------------

    def submit(self, batch: bytes, done: Done) -> None:
        """Propose one BATCH payload (checked at the door by the caller) as one entry.

        All that is submitted in one turn of the loop becomes one append: one critical section, one
        write, one message a peer.
        """
        refused = self._refuse_at_door(len(batch))
        if refused is not None:
            done(refused)
            return
        if self._door.batch(batch, done):
            self._loop.call_soon(self._propose)

    def _refuse_at_door(self, size_bytes: int) -> Refused | None:
        if self._stopped:
            return Refused(Refusal.UNAVAILABLE, self._stopped)
        if not self._leading:
            return Refused(Refusal.NOT_LEADER, "not the leader", self._core.leader_id)
        return self._door.refuse(
            len(self._waiters), self._waiters.bytes + size_bytes, self._core.log.bytes
        )

    def _propose(self) -> None:
        batches, dones = self._door.take_batches()
        core = self._core
        try:
            fx = self._enter(lambda now: core.propose(batches, now))
        except NotLeader as error:
            self._refuse(dones, Refused(Refusal.NOT_LEADER, error.reason, error.leader))
        except Unavailable as error:
            self._refuse(dones, Refused(Refusal.UNAVAILABLE, str(error)))
        except NodeStopped as error:
            self._refuse(dones, Unknown(str(error)))
        else:
            for (index, term), batch, done in zip(fx.assigned, batches, dones, strict=True):
                self._waiters.add(index, term, len(batch), done)

    def _refuse(self, dones: Sequence[Done], outcome: Outcome) -> None:
        for done in dones:
            done(outcome)

    def query(self, queries: Sequence[bytes], stale: bool, done: Done) -> None:
        """Answer from the applied state: after a ReadIndex round, or as it is now if `stale`.

        All linearizable queries of one turn of the loop share one read; rounds share their
        heartbeats.
        """
        if self._stopped:
            done(Refused(Refusal.UNAVAILABLE, self._stopped))
        elif stale:
            self._apply.put(Query(0, queries, done))
            self._apply_now()
        elif self._door.full(queries):
            done(Refused(Refusal.OVERLOADED, "too many reads are waiting: try again later"))
        elif self._door.read(queries, done):
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        waiting = self._door.take_reads()
        core = self._core

        def confirmed(index: Index, refusal: NotLeader | None) -> None:
            self._door.reads_done(waiting)
            for queries, done in waiting:
                if refusal is not None:
                    done(Refused(Refusal.NOT_LEADER, refusal.reason, refusal.leader))
                else:
                    self._apply.put(Query(index, queries, done))
            if refusal is None:
                self._apply_now()

        try:
            self._enter(lambda now: core.read(now, confirmed))
        except NotLeader as error:
            confirmed(0, error)
        except NodeStopped as error:
            confirmed(0, NotLeader(None, str(error)))

    # -- disk and machine
    # ------------------------------------------------------------------------------

    def persisted(self, seq: WriteSeq) -> None:
        """Posted by the raft-wal thread, or called at once after an inline write."""
        if not self._stopped:
            core = self._core
            self._enter(lambda now: core.persisted(seq, now))

    def _apply_now(self) -> None:
        """A quick machine works right here; what does not fit the slice goes on in the next turn."""
        if not self._apply.quick or self._applying:
            return
        self._applying = True
        try:
            more = self._apply.step()
        except BaseException as error:
            self._stopped = "the state machine failed"
            self._fatal.fatal("the state machine failed", error)
            raise NodeStopped(self._stopped) from error
        finally:
            self._applying = False
        if more:
            self._loop.call_soon(self.resume_applying)

    def resume_applying(self) -> None:
        """The machine is free again, or there is more to apply."""
        if not self._stopped:
            self._apply_now()

    def report(self, done: Slice) -> None:
        """What a slice of applying did. Owner's thread of the machine."""
        if self._apply.quick:
            self._applied(done)
        else:
            self._loop.call_soon_threadsafe(self._applied, done)

    def _applied(self, done: Slice) -> None:
        if self._stopped:
            return
        with self._lock:
            self._core.applied(done.index, self._clock.now())
        for entry, results in done.applied:
            self._waiters.applied(entry, results)
        for callback, outcome in done.answers:
            callback(outcome)
        if done.jumped_to:
            self._snapshot_bytes = 0
            self._loop.call_soon(self.resume_applying)
        self._snapshot_bytes += done.bytes
        if not self._snapshot_running and self._snapshot_is_due(done.index):
            self._take_snapshot()

    def _snapshot_is_due(self, applied: Index) -> bool:
        entries = applied - self._core.snapshot_index
        settings, scale = self._settings, self._snapshot_scale
        return entries > 0 and (
            entries >= settings.snapshot_entries * scale
            or self._snapshot_bytes >= settings.snapshot_bytes * scale
            or bool(self._snapshot_wanted)
        )

    def _take_snapshot(self) -> None:
        self._snapshot_running = True
        self._snapshot_bytes = 0

        def captured(what: tuple[Index, int, bytes, object]) -> None:
            with self._lock:
                configuration = self._core.configuration_at(what[0])
            self._desk.take(what, configuration, self._snapshot_taken, self._snapshot_failed)  # type: ignore[arg-type]

        self._apply.put(Capture(captured))
        self._loop.call_soon(self.resume_applying)

    def _snapshot_taken(self, meta: SnapshotMeta) -> None:
        self._snapshot_running = False
        if self._stopped:
            return
        core = self._core
        self._enter(lambda now: core.snapshot_taken(meta, now))
        self._retain()
        wanted, self._snapshot_wanted = self._snapshot_wanted, []
        self._refuse(wanted, Applied(meta.index, meta.term, b""))

    def _snapshot_failed(self, error: OSError) -> None:
        self._snapshot_running = False
        wanted, self._snapshot_wanted = self._snapshot_wanted, []
        message = f"the snapshot could not be written: {error}"
        self._refuse(wanted, Refused(Refusal.UNAVAILABLE, message))
        state = self.state()
        self._observer(Event("snapshot_failed", state.term, state.role, state.leader, message))

    def _retain(self) -> None:
        with self._lock:
            keep = self._core.snapshots_in_use()
        self._desk.retain(keep)

    # -- operators
    # -----------------------------------------------------------------------------------

    def state(self) -> RaftState:
        """Any thread."""
        with self._lock:
            return self._core.state(self._clock.now())

    def problems(self) -> Sequence[str]:
        return health.problems(self.state(), self._stopped, self._wal.no_space)

    def serving(self) -> bool:
        """May clients be sent here? A leader is known and this node takes part."""
        return not self._stopped and self._core.leader_id is not None

    def subscribe(self, from_start: bool) -> EventFeed:
        return self._events.subscribe(from_start)

    def digest(self, done: Done) -> None:
        """Answered(applied index, [(0, SHA-256 of sessions and machine)])."""
        if self._stopped:
            done(Refused(Refusal.UNAVAILABLE, self._stopped))
            return

        def captured(what: tuple[Index, int, bytes, object]) -> None:
            index = what[0]
            self._desk.digest(what, lambda value: done(Answered(index, [(0, value)])))  # type: ignore[arg-type]

        self._apply.put(Capture(captured))
        self._apply_now()

    def snapshot_now(self, done: Done) -> None:
        """Applied(index, term, b"") of the newest snapshot: of one taken now, unless nothing is
        new.
        """
        state = self.state()
        if self._stopped:
            done(Refused(Refusal.UNAVAILABLE, self._stopped))
        elif state.applied_index == state.snapshot_index:
            done(Applied(state.snapshot_index, state.snapshot_term, b""))
        else:
            self._snapshot_wanted.append(done)
            if not self._snapshot_running:
                self._take_snapshot()

    def transfer(self, target: str | None, done: Done) -> None:
        """Hand leadership over; Applied(commit, term, new leader's id) when it is known here."""
        core = self._core
        try:
            self._enter(lambda now: core.transfer(target, now))
        except NotLeader as error:
            done(Refused(Refusal.NOT_LEADER, error.reason, error.leader))
        except (Unavailable, NodeStopped) as error:
            done(Refused(Refusal.UNAVAILABLE, str(error)))
        else:
            self._transfers.append(done)
            self._loop.call_later(self._settings.transfer_seconds, self._give_up_transfer, done)

    def _end_transfers(self) -> None:
        transfers, self._transfers = self._transfers, []
        state = self.state()
        leader = (state.leader or "").encode()
        self._refuse(transfers, Applied(state.commit_index, state.term, leader))

    def _give_up_transfer(self, done: Done) -> None:
        if done in self._transfers:
            self._transfers.remove(done)
            done(
                Refused(
                    Refusal.UNAVAILABLE, "the transfer did not end in time; this node may lead on"
                )
            )
