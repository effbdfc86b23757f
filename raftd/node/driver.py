"""CoreDriver: THE lock round the core, and the hands that do what the core decides.

Theory of operation. One plain lock guards the core. `enter` is the only way in: it takes the lock,
lets the core decide, puts the effects on the workers' queues (never blocking, nothing awaited), and
leaves the lock; so queue order is core order, and that is the whole ordering argument. Then,
outside the lock, `_deliver` acts: replies, wakes, answers. Any exception that the core does not
declare poisons the node and goes to the fatal port; asyncio would have swallowed it.

Threads. The core changes on the network thread (the asyncio loop) only, and there only under the
lock; `enter` asserts both. So code on the network thread may read the core without the lock, and
every other thread must take it: that is what `state`, `configuration_at` and `snapshots_in_use` do.
What other threads have to say (a write is durable, a snapshot is on disk) is posted to the network
thread first, so the lock is hardly ever contended.

All methods: network thread, except where a docstring says otherwise.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from raftd.beat import until_beat
from raftd.core.core import RaftCore
from raftd.core.effects import NOTHING_DONE, BrokenInvariant, Effects, Event
from raftd.core.events import EventKind
from raftd.core.messages import Channel, Reply, Request, SnapshotRequest
from raftd.core.types import (
    Configuration,
    Index,
    RaftState,
    Role,
    SnapshotMeta,
    Write,
    WriteSeq,
)
from raftd.node.outcomes import NodeStopped
from raftd.node.ports import Clock, FatalPort, PeerTransport
from raftd.node.tick_timer import TickTimer

T = TypeVar("T")

WRONG_THREAD = "the core is entered on the network thread only"


class LogQueue(Protocol):
    """The log, as the driver uses it."""

    def put(self, writes: list[Write], release: Index) -> None:
        """Enqueue. Called under the driver's lock."""
        ...

    def kick(self, inline: bool) -> None:
        """Start the work that is queued. Called outside the lock."""
        ...


class MachineQueue(Protocol):
    """The state machine, as the driver uses it."""

    def take(self, fx: Effects) -> None:
        """Enqueue the machine's share. Called under the driver's lock."""
        ...

    def jump(self, index: Index) -> None:
        """A snapshot takes the place of all entries up to `index`. Called outside the lock."""
        ...

    def go_on(self) -> None:
        """There may be work: do it here if the machine is quick. Called outside the lock."""
        ...


class SnapshotDuties(Protocol):
    """Snapshot files, as the driver uses them. Called outside the lock."""

    def store_chunk(self, token: Callable[[Reply], None], request: SnapshotRequest) -> None: ...

    def suspect(self, meta: SnapshotMeta) -> None: ...

    def retain(self) -> None: ...


class CoreDriver:
    """See the module. Make it, `start` it and `stop` it on the network thread."""

    def __init__(
        self,
        core: RaftCore,
        clock: Clock,
        fatal: FatalPort,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.core = core
        """To be read on the network thread; to be changed by `enter` only."""
        self.clock = clock
        self.stopped = ""
        """Why no more calls are taken; empty while the node runs."""
        self.leading = False
        self._lock = threading.Lock()
        self._fatal = fatal
        self._loop = loop
        self._timer = TickTimer(core.wake_at, lambda: self.enter(core.tick), clock, loop)
        self._event_listeners: list[Callable[[Event], None]] = []
        self._role_listeners: list[Callable[[], None]] = []
        self._failure_listeners: list[Callable[[str], None]] = []
        self._network_thread = 0
        self._log: LogQueue
        self._machine: MachineQueue
        self._snapshots: SnapshotDuties
        self._transport: PeerTransport

    def on_event(self, call: Callable[[Event], None]) -> None:
        """Call this with every event, in order. Before start."""
        self._event_listeners.append(call)

    def on_role(self, call: Callable[[], None]) -> None:
        """Call this after events, when role, leader and `leading` may have changed. Before
        start.
        """
        self._role_listeners.append(call)

    def on_failure(self, call: Callable[[str], None]) -> None:
        """Call this with the reason, soon after the node was poisoned. Before start."""
        self._failure_listeners.append(call)

    def start(
        self,
        log: LogQueue,
        machine: MachineQueue,
        snapshots: SnapshotDuties,
        transport: PeerTransport,
    ) -> None:
        """Give the core its hands and let it begin. The core decides nothing before."""
        self._network_thread = threading.get_ident()
        self._log, self._machine = log, machine
        self._snapshots, self._transport = snapshots, transport
        self.enter(self.core.start)
        self._timer.arm()

    def stop(self, why: str) -> None:
        """Take no more calls. The first reason counts."""
        self.stopped = self.stopped or why
        self._timer.stop()

    # -- the one way in --

    def enter(self, call: Callable[[float], Effects]) -> Effects:
        """Let the core decide. Raises what NOTHING_DONE lists, and NodeStopped."""
        if self.stopped:
            raise NodeStopped(self.stopped)
        try:
            assert threading.get_ident() == self._network_thread, WRONG_THREAD
            with self._lock:
                now = self.clock.now()
                fx = call(now)
                self._queue(fx)
        except NOTHING_DONE:
            raise
        except BaseException as error:
            raise self.fail("the core", error) from error
        self.guarded("acting on what the core decided", lambda: self._deliver(fx))
        self._timer.called(now)
        return fx

    def _queue(self, fx: Effects) -> None:
        """Requires the lock. Enqueues only; never blocks."""
        assert self._lock.locked()
        if fx.persist or fx.released:
            self._log.put(fx.persist, fx.released)
        self._machine.take(fx)

    def _deliver(self, fx: Effects) -> None:
        """Outside the lock: act. What goes to the peers leaves before our own disk is asked."""
        if fx.configuration is not None:
            self._transport.members(fx.configuration)
        for peer, channel in fx.wake:
            self._transport.wake(peer, channel)
        for token, reply in fx.replies:
            token(reply)
        for token, request in fx.chunks:
            self._snapshots.store_chunk(token, request)
        if fx.suspect is not None:
            self._snapshots.suspect(fx.suspect)
        for token, index in fx.reads:
            token(index, None)
        for token, refusal in fx.failed:
            token(0, refusal)
        if fx.events:
            self.tell(fx.events)
        if fx.install is not None:
            self._machine.jump(fx.install.index)
            self._snapshots.retain()
        if fx.install is not None or fx.committed or fx.events or fx.mark is not None:
            self._machine.go_on()
        if fx.persist or fx.released:
            if self.leading:
                # The senders woken above run first: the peers' disks work while ours does.
                self._loop.call_soon(self._kick)
            else:
                self._log.kick(inline=True)

    def _kick(self) -> None:
        """A leader's own write, a turn of the loop after the peers' messages have left."""
        self.guarded("writing the log", lambda: self._log.kick(inline=not self.stopped))

    def guarded(self, what: str, call: Callable[[], T]) -> T:
        """Make `call`; whatever it raises is fatal to the node, whoever happens to be calling."""
        try:
            return call()
        except NodeStopped:
            raise
        except BaseException as error:
            raise self.fail(what, error) from error

    def fail(self, what: str, error: BaseException) -> NodeStopped:
        """The node cannot go on safely: poison it and report; returns what to raise."""
        kind = "broken invariant" if isinstance(error, BrokenInvariant) else "unexpected error"
        self.stopped = f"{kind} in {what}"
        self._timer.stop()
        self._fatal.fatal(self.stopped, error)
        for call in self._failure_listeners:
            self._loop.call_soon(call, self.stopped)
        return NodeStopped(self.stopped)

    def pull(self, peer: str, channel: Channel) -> Request | None:
        """What the core owes to `peer` now; None when nothing, or when the node has stopped."""
        if self.stopped:
            return None
        now = self.clock.now()
        with self._lock:
            request = self.core.next_request(peer, channel, now)
        if request is not None:  # else nothing is due that was not before
            self._timer.called(now)
        return request

    def persisted(self, seq: WriteSeq) -> None:
        """Posted by the raft-wal thread, or called at once after a write on this thread."""
        if not self.stopped:
            self.enter(lambda now: self.core.persisted(seq, now))

    def applied(self, index: Index) -> None:
        """The machine is at `index` now."""
        assert threading.get_ident() == self._network_thread, WRONG_THREAD
        now = self.clock.now()
        with self._lock:
            self.core.applied(index, now)
        self._timer.called(now)

    # -- events and time --

    def tell(self, events: Sequence[Event]) -> None:
        """Show events to whoever listens, and act on a change of role."""
        for event in events:
            for listener in self._event_listeners:
                listener(event)
        self.leading = self.core.role is Role.LEADER
        for call in self._role_listeners:
            call()
        self._timer.arm()

    def event(self, kind: EventKind, text: str, peer: str | None = None) -> Event:
        """An event of the node's own, in the core's present term and role."""
        core = self.core
        return Event(kind, core.current_term, core.role, core.leader_id, text, peer)

    def soon(self, call: Callable[[], None]) -> None:
        """Later in this or in the next turn of the loop."""
        self._loop.call_soon(call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._loop.call_later(seconds, call)

    def on_beat(self, seconds: float, call: Callable[[], None]) -> None:
        """In about `seconds`, together with other looks. See beat.py."""
        self._loop.call_later(until_beat(self._loop.time(), seconds), call)

    def post(self, call: Callable[[], None]) -> None:
        """Call this on the network thread, soon. Any thread; nothing happens after the loop."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    # -- looking in: any thread --

    def state(self) -> RaftState:
        """Any thread."""
        with self._lock:
            return self.core.state(self.clock.now())

    def configuration_at(self, index: Index) -> Configuration:
        """Any thread."""
        with self._lock:
            return self.core.configuration_at(index)

    def snapshots_in_use(self) -> tuple[SnapshotMeta, ...]:
        """Any thread."""
        with self._lock:
            return self.core.snapshots_in_use()
