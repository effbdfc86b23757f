"""One node put together: replica, workers, threads, and the order in which they start and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from raftd.core.core import RaftCore
from raftd.core.effects import Event
from raftd.core.state import Rng
from raftd.core.types import Configuration, Identity, Recovered, Settings, SnapshotMeta
from raftd.node.apply_worker import ApplyWorker
from raftd.node.hosting import Hosting
from raftd.node.ports import Clock, FatalPort, LogStore, MachineHost, PeerTransport, SnapshotStore
from raftd.node.replica import Replica
from raftd.node.settings import NodeSettings
from raftd.node.snapshots import SnapshotDesk
from raftd.node.wal_worker import WalWorker

MakeCore = Callable[[Identity, Settings, Configuration, Recovered, Rng, float], RaftCore]

STOP_SECONDS = 5.0
"""How long a worker may take to finish what it is doing when the node stops."""


class Node:
    """Build, `start` and `stop` on the network thread; the replica is what others talk to."""

    def __init__(
        self,
        *,
        identity: Identity,
        core_settings: Settings,
        node_settings: NodeSettings,
        configuration: Configuration,
        recovered: Recovered,
        log: LogStore,
        snapshots: SnapshotStore,
        machine: MachineHost,
        clock: Clock,
        rng: Rng,
        fatal: FatalPort,
        loop: asyncio.AbstractEventLoop,
        observer: Callable[[Event], None],
        make_core: MakeCore = RaftCore,
    ) -> None:
        """log: open already; `recovered` is what it found. make_core: for who watches it.

        Raises BrokenInvariant if that has a gap.
        """

        def post(what: Callable[[], None]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(what)

        core = make_core(identity, core_settings, configuration, recovered, rng, clock.now())
        self.replica = Replica(core, node_settings, clock, fatal, loop, observer)
        self._log = log
        self._wal = WalWorker(
            log,
            clock,
            fatal,
            self.replica.persisted,
            post,
            node_settings.inline_writes,
            self.replica.measures.syncs.observe,
            lambda lacking, tight: self.replica.room.room_changed(lacking, tight),
        )

        def restore(meta: SnapshotMeta, then: Callable[[], None]) -> None:
            def restored() -> None:
                then()
                post(self.replica.resume_applying)

            self._desk.restore(meta, restored)

        self._apply = ApplyWorker(machine, clock, fatal, self.replica.report, restore)
        self._desk = SnapshotDesk(
            snapshots, self._apply.ownership, fatal, post, core_settings.snapshot_chunk_bytes
        )
        self.replica.attach(self._wal, self._apply, self._desk, node_settings, rng.random())
        self._apply.offer(Hosting(self.replica, self._apply, clock, post))
        workers = [self._wal.worker, self._desk.slow.worker, self._desk.bulk.worker]
        if self._apply.worker is not None:
            workers.append(self._apply.worker)
        self._workers = workers

    def start(self, transport: PeerTransport) -> None:
        if self._apply.quick:
            self._apply.begin()
        for worker in self._workers:
            worker.start()
        self.replica.start(transport)
        self.replica.snapshotting.scrubber.start()

    def stop(self, why: str = "stopping") -> bool:
        """Answer everybody, finish what is queued for the log, close it. Blocks up to a few
        seconds.

        False if a thread did not end in time; the log is then left as after a crash, which is safe.
        """
        self.replica.stop(why)
        self._wal.stop()
        self._desk.slow.stop()
        self._desk.bulk.stop()
        self._apply.stop()
        ended = [worker.join(STOP_SECONDS) for worker in self._workers]
        if self._apply.worker is None or ended[-1]:
            self.replica.clients.stop_queries(why)
        if ended[0]:
            self._log.close()
        return all(ended)
