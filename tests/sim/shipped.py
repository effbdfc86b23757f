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
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from raftd.core.effects import Event
from raftd.core.messages import Reply
from raftd.core.types import Identity, NodeId, Write
from raftd.node.errors import NodeStopped
from raftd.node.node import Node as RaftdNode
from raftd.node.settings import NodeSettings
from raftd.storage.errors import NoSpace
from tests.sim.disk_worker import probe
from tests.sim.doors import ShippedDoor, Transport
from tests.sim.loop import Loop
from tests.sim.network import Call
from tests.sim.process import Process
from tests.sim.threads import ApplyThread, Died, JobThread, Thread, WalThread
from tests.sim.watched import WatchedCore, WatchedHost, WatchedLog, WatchedSnapshots

if TYPE_CHECKING:
    from tests.sim.node import Node

NEVER = 1 << 60
FULL_SECONDS_MAX = 1.0
ENDS_WITHIN = 0.1
"""Seconds between a fatal error and the end of a process whose fatal port returns."""


class ShippedProcess(Process):
    core: WatchedCore
    app: ShippedDoor

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.rng: random.Random = node.world.stream(f"shell {node.name} {node.lives}")
        self.spent = 0.0
        """Seconds that what runs now has taken so far: its clock goes on while it works."""
        self._busy_until = 0.0
        self.dying = False
        self._failed = False
        self._stopping = False
        self._full_until = 0.0

    def now(self) -> float:
        """The process's Clock."""
        return self.node.clock.local(self.world.now + self.spent)

    def epoch_ms(self) -> int:
        return self.node.epoch_ms()

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
            core_settings=replace(plan.settings, log_bytes_max=plan.shell.log_memory_limit_bytes),
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
            wal.inline = writes
            self.world.stats["inline writes"] += 1
            if node.doomed == "log":
                self.crash("in an inline commit")
        elif self.now() >= self._busy_until:
            spent, self.spent = self.spent, 0.0
            self.loop.settle()  # all that was said before the write is heard before its end
            self.spent = spent
        self.spent += wal.seconds
        self.checkers.in_order(node.name, writes)
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
        """Now and then the disk is full for a while, or its next sync fails."""
        image, disk = self.node.image, self.node.disk
        if not self._stopping:
            if disk.is_full() or self.rng.random() < self.plan.shell.no_space:
                self._full_until = self.world.now + self.rng.random() * FULL_SECONDS_MAX
            if self.world.now < self._full_until and not disk.calm:
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
