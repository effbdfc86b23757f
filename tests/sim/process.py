"""The node that ships: raftd/node as it is, on a simulated loop, disk, network and clock.

The driver of the core, the workers and all other duties are put together by raftd.node.node.Node
itself. What is simulated is what they stand on: the loop (loop.py), the threads (threads.py), and
the ports, which the checkers watch (watched.py).
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from raftd.core.effects import Event
from raftd.core.events import EventKind
from raftd.core.types import Identity, NodeId
from raftd.node.node import Node as RaftdNode
from raftd.node.outcomes import NodeStopped
from raftd.node.settings import NodeSettings
from raftd.node.snapshot_worker import SnapshotWorker
from raftd.storage.errors import StorageError
from tests.sim.bell import Died
from tests.sim.disk_side import DiskSide
from tests.sim.doors import Door, Transport
from tests.sim.loop import Loop
from tests.sim.machine_side import MachineSide
from tests.sim.messages import Messages
from tests.sim.stopping import Stop
from tests.sim.stores import Stores
from tests.sim.threads import ApplyThread, DigestThread, JobThread, Thread, WalThread
from tests.sim.watched import WatchedCore, WatchedHost
from tests.sim.watched_files import WatchedLog, WatchedSnapshots

if TYPE_CHECKING:
    from tests.sim.node import Node

NEVER = 1 << 60
STANDS_SECONDS = 0.02
"""A callback that takes longer may make the network thread late."""
ENDS_A_PROCESS = (errno.EIO, errno.EMFILE)
ENDS_WITHIN = 0.1
"""Seconds between a fatal error and the end of a process whose fatal port returns."""


class Process(Messages):
    """One life. Everything in it is gone when it ends; what it synced is not."""

    stores: Stores
    app: Door
    snapshot_worker: SnapshotWorker
    wal: WalThread
    snapshot_thread: JobThread
    machine: MachineSide
    disk: DiskSide

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.rng: random.Random = node.world.stream(f"shell {node.name} {node.lives}")
        self.spent = 0.0
        """Seconds that what runs now has taken so far: its clock goes on while it works."""
        self._busy_until = self._stood_until = 0.0
        self.dying = False
        self.machine = MachineSide(self)
        self.disk = DiskSide(self)
        self.stop_under_way: Stop | None = None
        self._failed = False

    def now(self) -> float:
        """The process's Clock."""
        return self.node.clock.local(self.world.now + self.spent)

    def epoch_ms(self) -> int:
        return self.node.epoch_ms()

    def costs(self, seconds: float) -> None:
        self.spent += seconds

    def wake_seconds(self) -> float:
        return self.rng.random() * self.plan.shell.wake_delay

    def was_free(self, seconds: float) -> bool:
        """Its network thread could have done what was due for so many seconds, and can now."""
        since = self.world.now - seconds
        stands = self.node.paused or self.stop_under_way is not None
        late = self._stood_until > since or self.node.resumed_at > since
        return self.alive and not self.raftd.stopped and not stands and not late

    @property
    def net_is_busy(self) -> bool:
        return self.world.now < self._busy_until

    # life and death

    def begin(self) -> bool:
        """False: it crashed while it recovered, or its disk refused."""
        node = self.node
        stores = node.image.open(node)
        if stores is None:
            return False
        self.stores = stores
        node.incarnation = stores.incarnation
        self.checkers.started(node.name, stores.recovered)
        self._assemble(Identity(node.cluster.cluster_id, node.name, node.incarnation))
        return True

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
            self.now,
        )
        snapshots = WatchedSnapshots(self)
        self.raftd = raftd = RaftdNode(
            identity=identity,
            core_settings=plan.shell.core(plan.settings),
            node_settings=self._settings(),
            configuration=node.first_configuration,
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
        self.snapshot_worker = raftd._snapshot_worker
        self.machine.watch(self.snapshot_worker)
        self.wal = WalThread(self, raftd._wal)
        self.snapshot_thread = JobThread(self, "raft-snapshot", self.snapshot_worker.slow)
        self._threads: list[Thread] = [
            self.wal,
            self.snapshot_thread,
            JobThread(self, "raft-bulk", self.snapshot_worker.bulk),
            DigestThread(self, "raft-digest", raftd._digests.jobs),
        ]
        if raftd._apply.worker is not None:
            self._threads.append(ApplyThread(self, raftd._apply))
        raftd._workers = cast(Any, self._threads)
        raftd._digests.cpu = lambda: 0.0  # real time would make a run differ from its replay
        self.app = Door(self)

    def _make_core(self, *args: Any) -> WatchedCore:
        self.core = WatchedCore(*args).watch(self)
        return self.core

    def _settings(self) -> NodeSettings:
        plan, shell = self.plan, self.plan.shell
        return NodeSettings(
            pending_batches_max=shell.pending_batches_max,
            pending_queries_max=shell.pending_queries_max,
            light_bytes=shell.light_bytes,
            bulk_bytes_max=shell.bulk_bytes_max,
            log_memory_limit_bytes=shell.log_memory_limit_bytes,
            snapshot_entries=plan.snapshot_entries or NEVER,
            snapshot_bytes=NEVER,
            inline_writes=shell.inline,
            snapshot_scrub_seconds=plan.rare.scrub_seconds,
            transfer_seconds=4 * plan.settings.election_timeout_max,
            leader_wait_seconds=shell.leader_wait,
            gather_seconds=shell.gather,
        )

    def _observe(self, event: Event) -> None:
        self.world.trace(self.node.name, "event", event)
        self.world.stats[f"event {event.kind}"] += 1
        if event.kind is EventKind.REMOVED:
            self.node.cluster.membership.removed(self.node)
        elif event.kind is EventKind.STATE_DIFFERS:
            self.checkers.fail("states-agree", f"{self.node.name}: {event.detail}")

    def go(self) -> None:
        """Begin to take part."""
        self.run(self.raftd.start, Transport(self))

    def stop(self) -> None:
        """An orderly stop; some time later it is over, and the node is told (`Node.stopped`)."""
        if self.stop_under_way is None:
            self.stop_under_way = Stop(self)
            self.stop_under_way.begin()

    def stop_goes_on(self) -> None:
        """A worker has ended: who stops may have waited for it."""
        if self.stop_under_way is not None:
            self.world.after(0.0, self.stop_under_way.look)

    def stopped(self, *, good: bool) -> None:
        self._failed = self._failed or not good
        self.node.stopped()

    def abandon(self) -> None:
        """The run is over: nothing of this process goes on."""
        if self.stop_under_way is not None:
            self.stop_under_way.kill()

    def cut_short(self) -> None:
        """Run what the disk had under way up to a random point, in random order."""
        self.dying = True
        self.abandon()
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
        if self.node.rotten and isinstance(error, StorageError) and not error.retryable:
            self.node.freeze_out(str(error))
        elif not isinstance(error, OSError) or error.errno not in ENDS_A_PROCESS:
            if self._failed and not isinstance(error, AssertionError):
                return
            if isinstance(error, StorageError):
                self.checkers.fail("strangers-end-nobody", f"{self.node.name}: {what}: {error}")
            raise error if error is not None else AssertionError(what)
        self.world.stats["disk errors"] += 1
        self.world.trace(self.node.name, f"fatal: {what}")
        if not self.plan.shell.fatal_returns or self.node.frozen_out:
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
        if not self.alive or self.stop_under_way is not None:
            return
        now = self.world.now
        if now < self._busy_until:
            self.world.at(self._busy_until, self.run, call, *args)
            return
        self.spent = 0.0
        try:
            call(*args)
        except Died:
            return
        except NodeStopped:
            if not self.raftd.stopped:
                raise
        self._busy_until = now + self.spent
        if self.spent > STANDS_SECONDS:
            self._stood_until = self._busy_until
        self.spent = 0.0

    def at_once(self, call: Callable[..., Any], *args: Any) -> None:
        """Call this on the network thread now, as if whatever it does were over already."""
        self.spent = max(0.0, self._busy_until - self.world.now)
        try:
            call(*args)
        finally:
            self._busy_until, self.spent = self.world.now + self.spent, 0.0

    def _guard(self, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except NodeStopped:
            if not self.raftd.stopped:
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

    def settle(self) -> None:
        """Before a thread's write: all that was said until then is heard before its end."""
        if self.now() >= self._busy_until:
            spent, self.spent = self.spent, 0.0
            self.loop.settle()
            self.spent = spent

    def _when(self, seconds: float) -> float:
        return self.node.clock.true(self.now() + seconds)

    # what an operator asks of it

    def transfer(self, target: NodeId) -> None:
        """Hand leadership over, if it can."""
        self.world.stats["transfers"] += 1
        self.run(self.app.transfer, target)

    def operate(self, rng: random.Random) -> None:
        self.run(rng.choice((self.app.digest, self.app.snapshot_now)))
