"""Replica: THE lock round the core, and the hands that do what the core decides.

Theory of operation. One plain lock guards the core. `enter` is the only way in: it takes the lock,
lets the core decide, puts the effects on the workers' queues (never blocking, nothing awaited), and
leaves the lock; so queue order is core order, and that is the whole ordering argument. Then,
outside the lock, `_deliver` acts: replies, wakes, answers. Any exception that the core does not
declare poisons the node and goes to the fatal port; asyncio would have swallowed it.

All methods: network thread (the asyncio loop), except where a docstring says otherwise. What other
threads have to say (a write is durable, a snapshot is on disk) is posted to the loop first, so the
lock is hardly ever contended; it stands for whoever looks in from elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from raftd.core.core import RaftCore
from raftd.core.effects import NOTHING_DONE, BrokenInvariant, Effects, Event
from raftd.core.messages import Channel, Reply, Request
from raftd.core.types import Configuration, Identity, Index, RaftState, Role, SnapshotMeta, WriteSeq
from raftd.node.apply_worker import ApplyWorker, Slice
from raftd.node.clients import Clients
from raftd.node.disk_room import DiskRoom
from raftd.node.door import Door
from raftd.node.errors import NodeStopped
from raftd.node.events import EventFeed, EventRing
from raftd.node.handover import HandOver
from raftd.node.health import Ailment
from raftd.node.measures import Measures
from raftd.node.ports import Clock, FatalPort, PeerTransport
from raftd.node.settings import NodeSettings
from raftd.node.snapshots import SnapshotDesk
from raftd.node.snapshotting import Snapshotting
from raftd.node.suspects import Suspects
from raftd.node.wal_worker import WalWorker
from raftd.node.wellbeing import Wellbeing

T = TypeVar("T")

TICK_SECONDS_MIN = 0.001
"""What is due stays due until a sender pulls it: without a pause a stuck sender would spin us."""

TICK_SECONDS_MAX = 0.02
"""The timer is set by `wake_at`, but never further: what moves it needs no bookkeeping."""


class Replica:
    def __init__(
        self,
        core: RaftCore,
        settings: NodeSettings,
        clock: Clock,
        fatal: FatalPort,
        loop: asyncio.AbstractEventLoop,
        observer: Callable[[Event], None],
    ) -> None:
        """observer: sees every event, on the network thread."""
        self._core = core
        self._lock = threading.Lock()
        self._clock, self._fatal = clock, fatal
        self._loop, self._observer = loop, observer
        self._events = EventRing()
        self.measures = Measures(clock)
        self.suspects = Suspects(core, clock, lambda event: self.tell([event]))
        self._timer: asyncio.TimerHandle | None = None
        self._applying = False
        self.stopped = ""
        self.leading = False
        self.clients = Clients(self, core, Door(settings), clock)
        self.hand_over = HandOver(self, core, settings.transfer_seconds)
        self.submit, self.query = self.clients.submit, self.clients.query
        self.transfer, self.suspect = self.hand_over.transfer, self.suspects.suspect
        self._transport: PeerTransport
        self._wal: WalWorker
        self.apply: ApplyWorker
        self.wellbeing: Wellbeing

    def attach(
        self,
        wal: WalWorker,
        apply: ApplyWorker,
        desk: SnapshotDesk,
        settings: NodeSettings,
        stagger: float,
    ) -> None:
        """Once, after __init__: the workers need the replica's callbacks, and it needs them.

        stagger: 0..1, drawn once a node, so that nodes do not all snapshot at the same moment.
        """
        self._wal, self.apply = wal, apply
        self.snapshotting = snapshotting = Snapshotting(self, self._core, settings, desk, stagger)
        self.snapshot_now, self.digest = snapshotting.snapshot_now, snapshotting.digest
        self.read_chunk = snapshotting.read_chunk
        self.room = DiskRoom(self, self._core, desk)
        self.wellbeing = well = Wellbeing(self, self._core, self._clock, settings, wal, desk)
        self.problems, self.serving = well.problems, well.serving
        well.add(self.room.ailments)
        well.add(lambda: map(Ailment, self.suspects.problems()))

    def start(self, transport: PeerTransport) -> None:
        self._transport = transport
        self.enter(self._core.start)
        self._arm_timer()
        self.wellbeing.look()

    def stop(self, why: str) -> None:
        """Take no more calls; answer everybody who waits: what is in the log is unknown to them."""
        self.stopped = self.stopped or why
        if self._timer is not None:
            self._timer.cancel()
        self.clients.stop(why)
        self.snapshotting.stop(why)
        self.hand_over.stop(why)

    # -- the one way in --

    def enter(self, call: Callable[[float], Effects]) -> Effects:
        """Let the core decide. Raises what NOTHING_DONE lists, and NodeStopped."""
        if self.stopped:
            raise NodeStopped(self.stopped)
        try:
            with self._lock:
                fx = call(self._clock.now())
                self._queue(fx)
        except NOTHING_DONE:
            raise
        except BaseException as error:
            raise self._fail("the core", error) from error
        self._guarded("acting on what the core decided", lambda: self._deliver(fx))
        return fx

    def _queue(self, fx: Effects) -> None:
        """Requires the lock. Enqueues only; never blocks."""
        assert self._lock.locked()
        if fx.persist or fx.released:
            self._wal.put(fx.persist, fx.released)
        self.apply.take(fx)

    def _deliver(self, fx: Effects) -> None:
        """Outside the lock: act. What goes to the peers leaves before our own disk is asked."""
        for peer, channel in fx.wake:
            self._transport.wake(peer, channel)
        for token, reply in fx.replies:
            token(reply)
        for token, request in fx.chunks:
            self.snapshotting.store_chunk(token, request)
        if fx.suspect is not None:
            self.snapshotting.scrubber.suspect(fx.suspect)
        for token, index in fx.reads:
            token(index, None)
        for token, refusal in fx.failed:
            token(0, refusal)
        if fx.events:
            self.tell(fx.events)
        if fx.install is not None:
            self.clients.waiters.fail_up_to(fx.install.index, "a snapshot jumped over the entry")
            self.snapshotting.retain()
        if fx.install is not None or fx.committed or fx.events:
            self.apply_now()
        if fx.persist or fx.released:
            if self.leading:
                # The senders woken above run first: the peers' disks work while ours does.
                self._loop.call_soon(self._kick)
            else:
                self._wal.kick(inline=True)

    def _kick(self) -> None:
        """A leader's own write, a turn of the loop after the peers' messages have left."""
        self._guarded("writing the log", lambda: self._wal.kick(inline=not self.stopped))

    def _guarded(self, what: str, call: Callable[[], T]) -> T:
        """Whatever `call` raises is fatal to the node, whoever happens to be calling."""
        try:
            return call()
        except NodeStopped:
            raise
        except BaseException as error:
            raise self._fail(what, error) from error

    def _fail(self, what: str, error: BaseException) -> NodeStopped:
        """The node cannot go on safely: poison it and report; returns what to raise."""
        kind = "broken invariant" if isinstance(error, BrokenInvariant) else "unexpected error"
        self.stopped = f"{kind} in {what}"
        self._fatal.fatal(self.stopped, error)
        self._loop.call_soon(self.clients.stop, self.stopped)
        return NodeStopped(self.stopped)

    # -- events and time --

    def tell(self, events: Sequence[Event]) -> None:
        """Record events, tell the observer, and act on a change of role."""
        for event in events:
            self._events.add(self._clock.now(), event)
            self._observer(event)
        leading = self._core.role is Role.LEADER
        if self.leading and not leading:
            self.clients.lost_leadership(self._core.commit_index, self._core.leader_id)
        self.leading = leading
        self.measures.leader_seen(self._core.leader_id)
        if not leading and self._core.leader_id is not None:
            self.hand_over.leader_changed()
        self._arm_timer()

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = self._clock.now()
        delay = min(max(self._core.wake_at(now) - now, TICK_SECONDS_MIN), TICK_SECONDS_MAX)
        self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        if not self.stopped:
            self.enter(self._core.tick)
            self._arm_timer()

    def soon(self, call: Callable[[], None]) -> None:
        """Later in this or in the next turn of the loop."""
        self._loop.call_soon(call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._loop.call_later(seconds, call)

    # -- peers --

    @property
    def identity(self) -> Identity:
        return self._core.identity

    @property
    def term(self) -> int:
        return self._core.current_term

    def expected_incarnation(self, peer: str) -> str | None:
        """The recorded incarnation of `peer`; None: only Hello may be exchanged with it."""
        return self._core.expected_incarnation(peer)

    def step(self, request: Request, reply: Callable[[Reply], None]) -> None:
        """A peer's RPC: `reply` is called once, unless the node stops. Raises ImpossibleMessage."""
        self.enter(lambda now: self._core.step(request, now, reply))

    def pull(self, peer: str, channel: Channel) -> Request | None:
        """What is owed to `peer` now. Ask until None."""
        if self.stopped:
            return None
        with self._lock:
            return self._core.next_request(peer, channel, self._clock.now())

    def on_reply(self, peer: str, sent: Request, reply: Reply) -> None:
        if not self.stopped:
            self.measures.replied(peer, sent)
            self.enter(lambda now: self._core.on_reply(peer, sent, reply, now))

    def unreachable(self, peer: str, sent: Request) -> None:
        if not self.stopped:
            self.enter(lambda now: self._core.unreachable(peer, sent, now))

    def link_lost(self, peer: str) -> None:
        if not self.stopped:
            self.enter(lambda now: self._core.link_lost(peer, now))

    # -- disk and machine --

    def persisted(self, seq: WriteSeq) -> None:
        """Posted by the raft-wal thread, or called at once after an inline write."""
        if not self.stopped:
            self.enter(lambda now: self._core.persisted(seq, now))

    def apply_now(self) -> None:
        """A quick machine works right here; the rest of a long slice waits for the next turn."""
        if not self.apply.quick or self._applying:
            return
        self._applying = True
        try:
            more = self._guarded("the state machine", self.apply.step)
        finally:
            self._applying = False
        if more:
            self._loop.call_soon(self.resume_applying)

    def resume_applying(self) -> None:
        """The machine is free again, or there is more to do."""
        if not self.stopped:
            self.apply_now()

    def report(self, done: Slice) -> None:
        """What a slice of applying did. Thread: the machine's owner."""
        if self.apply.quick:
            self._applied(done)
        else:
            self._loop.call_soon_threadsafe(self._applied, done)

    def _applied(self, done: Slice) -> None:
        if self.stopped:
            self.clients.refuse([callback for callback, _ in done.answers], self.stopped)
            return
        with self._lock:
            self._core.applied(done.index, self._clock.now())
        waiters = self.clients.waiters
        for entry, results in done.applied:
            waiters.applied(entry, results)
        for callback, outcome in done.answers:
            callback(outcome)
        if done.jumped_to:
            self._loop.call_soon(self.resume_applying)
        self.snapshotting.applied(done.index, done.bytes, bool(done.jumped_to))

    # -- looking in --

    def state(self) -> RaftState:
        """Any thread."""
        with self._lock:
            return self._core.state(self._clock.now())

    def configuration_at(self, index: Index) -> Configuration:
        """Any thread."""
        with self._lock:
            return self._core.configuration_at(index)

    def snapshots_in_use(self) -> tuple[SnapshotMeta, ...]:
        """Any thread."""
        with self._lock:
            return self._core.snapshots_in_use()

    def subscribe(self, from_start: bool) -> EventFeed:
        return self._events.subscribe(from_start)
