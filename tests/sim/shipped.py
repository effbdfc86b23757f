"""The node that ships: raftd/node as it is, on a simulated loop, disk, network and clock.

Replica, Clients, Door, the four workers, SnapshotDesk, Snapshotting, HandOver and Waiters are put
together by raftd.node.node.Node itself. What is simulated is what they stand on: the loop
(loop.py), the threads (threads.py), and the ports, which the checkers watch (watched.py).
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from raftd.core.effects import Event
from raftd.core.messages import Channel, Reply, SnapshotRequest
from raftd.core.types import Identity, Index, NodeId, Write
from raftd.node.errors import NodeStopped
from raftd.node.node import Node as RaftdNode
from raftd.node.outcomes import Answered, Applied, Outcome, Refused
from raftd.node.settings import NodeSettings
from raftd.storage.errors import NoSpace
from tests.sim.disk_worker import probe
from tests.sim.loop import Loop
from tests.sim.network import Call
from tests.sim.process import PULLS_MAX, Answer, Process
from tests.sim.threads import ApplyThread, Died, JobThread, Thread, WalThread
from tests.sim.watched import WatchedCore, WatchedHost, WatchedLog, WatchedSnapshots

if TYPE_CHECKING:
    from tests.sim.node import Node

NEVER = 1 << 60
ENDS_WITHIN = 0.1
"""Seconds between a fatal error and the end of a process whose fatal port returns."""


class ShippedProcess(Process):
    core: WatchedCore

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.rng: random.Random = node.world.stream(f"shell {node.name} {node.lives}")
        self.spent = 0.0
        """Seconds that what runs now has taken so far: its clock goes on while it works."""
        self._busy_until = 0.0
        self.dying = False
        self._failed = False
        self._stopping = False

    def now(self) -> float:
        """The process's Clock."""
        return self.node.clock.local(self.world.now + self.spent)

    def costs(self, seconds: float) -> None:
        self.spent += seconds

    def wake_seconds(self) -> float:
        return self.rng.random() * self.plan.shell.wake_delay

    # life and death

    def _assemble(self, identity: Identity) -> None:
        node, plan = self.node, self.plan
        self.loop = Loop(
            self.world,
            self.rng,
            plan.shell.turn_delay,
            self.run,
            self._guard,
            self._when,
            lambda: self.spent,
        )
        snapshots = WatchedSnapshots(self)
        self.raftd = raftd = RaftdNode(
            identity=identity,
            core_settings=plan.settings,
            node_settings=self._settings(),
            configuration=node.cluster.configuration,
            recovered=self.stores.recovered,
            log=WatchedLog(self),
            snapshots=snapshots,
            machine=WatchedHost(self, snapshots),
            clock=self,
            rng=node.cluster.core_rng(node),
            fatal=self,
            loop=cast(asyncio.AbstractEventLoop, self.loop),
            observer=self._observe,
            make_core=self._make_core,
        )
        self.replica = raftd.replica
        self.desk = raftd._desk
        self.wal = WalThread(self, raftd._wal)
        self._threads: list[Thread] = [
            self.wal,
            JobThread(self, "raft-snapshot", self.desk.slow),
            JobThread(self, "raft-bulk", self.desk.bulk),
        ]
        if raftd._apply.worker is not None:
            self._threads.append(ApplyThread(self, raftd._apply))
        raftd._workers = cast(Any, self._threads)
        self.app = ShippedDoor(self)

    def _make_core(self, *args: Any) -> WatchedCore:
        self.core = WatchedCore(*args).watch(self)
        return self.core

    def _settings(self) -> NodeSettings:
        plan, shell = self.plan, self.plan.shell
        return NodeSettings(
            pending_batches_max=shell.pending_batches_max,
            pending_queries_max=shell.pending_queries_max,
            log_memory_limit_bytes=shell.log_memory_limit_bytes,
            snapshot_entries=plan.snapshot_entries or NEVER,
            snapshot_bytes=NEVER,
            inline_writes=shell.inline,
            transfer_seconds=4 * plan.settings.election_timeout_max,
        )

    def _observe(self, event: Event) -> None:
        self.world.trace(self.node.name, "event", event)
        self.world.stats[f"event {event.kind}"] += 1

    def go(self) -> None:
        self.run(self.raftd.start, Transport(self))

    def stop(self) -> None:
        self._stopping = True
        self._failed = self._failed or not self.raftd.stop("stopping")

    def cut_short(self) -> None:
        self.dying = True
        threads = list(self._threads)
        self.node.disk.rng.shuffle(threads)
        for thread in threads:
            thread.cut_short()

    def crash(self, where: str) -> None:
        """The node's doom is here. Does not return."""
        self.node.cluster.crash(self.node, where, lose_unsynced=self.node.doomed_power)
        raise Died

    def fatal(self, what: str, error: BaseException | None) -> None:
        """The FatalPort. An error of the disk ends the process, anything else the seed."""
        if not self.alive:
            raise Died
        if not isinstance(error, OSError) or error.errno != errno.EIO:
            if self._failed and not isinstance(error, AssertionError):
                return
            raise error if error is not None else AssertionError(what)
        self.world.stats["sync errors"] += 1
        self.world.trace(self.node.name, f"fatal: {what}")
        if not self.plan.shell.fatal_returns:
            self._end()
            raise Died
        if not self._failed:
            self._failed = True
            self.world.after(self.rng.random() * ENDS_WITHIN, self._end)

    def _end(self) -> None:
        if self.alive:
            power = self.rng.random() < self.plan.disk.power_loss
            self.node.cluster.crash(self.node, "sync failed", lose_unsynced=power)

    # the network thread and the others

    def run(self, call: Callable[..., None], *args: Any) -> None:
        """Call this on the network thread, as soon as that is free and not paused."""
        self.node.run(self._on_loop, call, args)

    def _on_loop(self, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not self.alive:
            return
        now = self.world.now
        if now < self._busy_until:
            self.world.at(self._busy_until, self.run, call, *args)
            return
        self.spent = 0.0
        try:
            self._guard(call, *args)
        except Died:
            return
        self._busy_until, self.spent = now + self.spent, 0.0

    def _guard(self, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except NodeStopped:
            if not self.replica.stopped:
                raise

    def turn(self, call: Callable[..., None], *args: Any) -> None:
        """Call this on a thread of its own, unless the process is paused."""
        self.node.run(self._on_thread, call, args)

    def _on_thread(self, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not self.alive:
            return
        self.spent = 0.0
        try:
            call(*args)
        except Died:
            return
        self.spent = 0.0

    def _when(self, seconds: float) -> float:
        return self.node.clock.true(self.now() + seconds)

    # the disk

    def commit(self, writes: list[Write]) -> None:
        """The log that ships writes and syncs; here the disk may be slow, full, or the end."""
        node, wal = self.node, self.wal
        if not wal.working:
            wal.inline, wal.seconds = writes, node.disk.sync_seconds()
            self.world.stats["inline writes"] += 1
            if node.doomed == "log":
                self.crash("in an inline commit")
        self.spent += wal.seconds
        try:
            with self.ill_will():
                self.stores.wal.commit(writes)
        except NoSpace:
            self.world.stats["disk full"] += 1
            raise
        finally:
            wal.inline = []
        self.world.stats["syncs"] += 1
        self.world.trace(node.name, f"synced #{writes[-1].seq}")
        self.checkers.synced(node.name, writes)
        probe(self)

    @contextmanager
    def ill_will(self) -> Iterator[None]:
        """Now and then the disk is full, or its next sync fails, while this lasts."""
        image, disk = self.node.image, self.node.disk
        if not self._stopping:
            if disk.is_full():
                image.fill_disk()
            if disk.sync_fails():
                image.fail_next_sync()
        try:
            yield
        finally:
            image.make_room()

    # what happens to it

    def woken(self) -> None:
        """What came in the meantime was kept, and comes now."""

    def clock_jumped(self) -> None:
        """No timer that matters is set for long."""

    def link_lost(self, peer: NodeId) -> None:
        if self.alive:
            self.world.events += 1
            self.world.trace(self.node.name, f"link lost {peer}")
            self.run(self.replica.link_lost, peer)

    def transfer(self, target: NodeId) -> None:
        self.world.stats["transfers"] += 1
        self.run(self.app.transfer, target)

    def operate(self, rng: random.Random) -> None:
        self.run(rng.choice((self.app.digest, self.app.snapshot_now)))

    def receive(self, call: Call) -> None:
        self.run(self._receive, call)

    def _receive(self, call: Call) -> None:
        if not self._accepts(call):
            return
        try:
            self.replica.step(call.request, lambda reply: self._send_reply(call, reply))
        except NodeStopped:
            self.node.cluster.network.fail(call)

    def on_reply(self, call: Call, reply: Reply) -> None:
        self.run(self._on_reply, call, reply)

    def _on_reply(self, call: Call, reply: Reply) -> None:
        self.world.events += 1
        self.world.trace(self.node.name, f"<= {call.peer}", reply)
        self.replica.on_reply(call.peer, call.request, reply)

    def unreachable(self, call: Call) -> None:
        self.run(self._unreachable, call)

    def _unreachable(self, call: Call) -> None:
        self.world.events += 1
        self.world.trace(self.node.name, f"lost {call.peer}", call.request)
        self.replica.unreachable(call.peer, call.request)


class Transport:
    """The PeerTransport: woken, it pulls a turn later until there is nothing, and sends."""

    def __init__(self, process: ShippedProcess) -> None:
        self._process = process
        self._pulls: set[tuple[NodeId, Channel]] = set()

    def wake(self, peer: NodeId, channel: Channel) -> None:
        process = self._process
        if (peer, channel) in self._pulls:
            return
        self._pulls.add((peer, channel))
        if process.plan.pull_delay:
            delay = process.rng.random() * process.plan.pull_delay
            process.world.after(delay, process.run, self._pull, peer, channel)
        else:
            process.loop.call_soon(self._pull, peer, channel)

    def _pull(self, peer: NodeId, channel: Channel) -> None:
        process = self._process
        self._pulls.discard((peer, channel))
        for _ in range(PULLS_MAX):
            request = process.replica.pull(peer, channel)
            if request is None:
                return
            process._pulled(peer, request)
            if isinstance(request, SnapshotRequest):
                self._send_chunk(peer, request)
            else:
                process._transmit(peer, channel, request)
        process._floods(peer)

    def _send_chunk(self, peer: NodeId, request: SnapshotRequest) -> None:
        process = self._process

        def read(result: SnapshotRequest | OSError) -> None:
            if isinstance(result, OSError):
                process.world.stats["snapshots gone"] += 1
                process.replica.unreachable(peer, request)
            else:
                process.transmit_chunk(peer, result)

        process.desk.read_chunk(request, read)


class ShippedDoor:
    """Clients and operators: every outcome is looked at, and counted, on its way to who asked."""

    def __init__(self, process: ShippedProcess) -> None:
        self._process = process
        self._asked = 0
        self._open: dict[int, str] = {}

    @property
    def applied(self) -> Index:
        return self._process.raftd._apply.applied_index

    def waiting(self) -> int:
        return len(self._open)

    def _once(self, what: str, done: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """`done`, which must be called once. Until then its caller counts as waiting."""
        process = self._process
        self._asked += 1
        number = self._asked
        self._open[number] = what
        process.world.events += 1
        process.world.trace(process.node.name, f"{what} {number}")

        def heard(outcome: Outcome) -> None:
            process.world.trace(process.node.name, f"{what} {number}: {type(outcome).__name__}")
            if self._open.pop(number, None) is None:
                name = process.node.name
                process.checkers.fail("answers", f"{name}: {what} {number} hears twice: {outcome}")
            process.world.stats[f"{what} {type(outcome).__name__.lower()}"] += 1
            done(outcome)

        return heard

    def submit(self, payload: bytes, answer: Answer) -> None:
        process = self._process

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Applied):
                process.checkers.answered(
                    process.node.name, payload, outcome.index, outcome.results
                )
                answer("ok", outcome.results)
            else:
                _not_done(outcome, answer)

        process.run(lambda: process.replica.submit(payload, self._once("submit", done)))

    def read(self, query: bytes, answer: Answer) -> None:
        process = self._process
        floor = process.checkers.read_arrives()

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Answered):
                process.checkers.answered_read(process.node.name, outcome.applied_index, floor)
                answer("ok", outcome.results[0])
            else:
                _not_done(outcome, answer)

        process.run(lambda: process.replica.query([query], False, self._once("read", done)))

    def transfer(self, target: NodeId) -> None:
        self._process.replica.transfer(target, self._once("transfer", _ignored))

    def snapshot_now(self) -> None:
        self._process.replica.snapshot_now(self._once("snapshot", _ignored))

    def digest(self) -> None:
        process = self._process

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Answered):
                value = outcome.results[0][1]
                process.checkers.digest(process.node.name, outcome.applied_index, value)

        process.replica.digest(self._once("digest", done))


def _not_done(outcome: Outcome, answer: Answer) -> None:
    if isinstance(outcome, Refused):
        answer("refused", outcome.leader)
    else:
        answer("unknown", None)


def _ignored(outcome: Outcome) -> None:
    """It only has to come."""
