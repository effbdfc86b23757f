"""One node put together: its duties, its threads, and what others may ask of it.

`rpc/api.py` and `raftd/embed.py` talk to `Node`; what the core decides is carried out by
`driver.py`. Duties know those built before them and nothing built later, so there is no circle:

    driver, digests, applying, snapshot_policy, room, log, wellbeing, clients
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from raftd.core.changes import Change
from raftd.core.core import RaftCore
from raftd.core.effects import Event
from raftd.core.messages import Channel, Reply, Request, SnapshotRequest
from raftd.core.state import Rng
from raftd.core.types import Configuration, Identity, RaftState, Recovered, Settings, SnapshotMeta
from raftd.node.applying import Applying
from raftd.node.clients import Clients
from raftd.node.digest_calls import DigestCalls
from raftd.node.disk_room import DiskRoom
from raftd.node.driver import CoreDriver
from raftd.node.events import EventFeed, EventReader, EventRing
from raftd.node.film import Film
from raftd.node.handover import HandOver
from raftd.node.health import Ailment, Signs
from raftd.node.hosting import Hosting
from raftd.node.measures import LATE_SHARE, Measures, SlowLimits
from raftd.node.members import MemberChanges
from raftd.node.outcomes import Done
from raftd.node.ownership import Ownership
from raftd.node.ports import Clock, FatalPort, LogStore, MachineHost, PeerTransport, SnapshotStore
from raftd.node.settings import NodeSettings
from raftd.node.slow_signs import SlowSigns
from raftd.node.snapshot_policy import SnapshotPolicy
from raftd.node.snapshot_worker import SnapshotWorker
from raftd.node.state_digests import StateDigests
from raftd.node.suspects import Suspects
from raftd.node.wal_worker import WalWorker
from raftd.node.wellbeing import Wellbeing
from raftd.wire.principal import NOBODY

MakeCore = Callable[[Identity, Settings, Configuration, Recovered, Rng, float], RaftCore]

STOP_SECONDS = 5.0
"""How long a worker may take to finish what it is doing when the node stops."""


class Node:
    """Network thread (the asyncio loop), except where a docstring says otherwise."""

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
        """log: open already; `recovered` is what it found. observer: sees every event. make_core:
        for tests that watch the core. Raises BrokenInvariant if `recovered` has a gap.
        """
        core = make_core(identity, core_settings, configuration, recovered, rng, clock.now())
        self._core, self._log = core, log
        self._driver = driver = CoreDriver(core, clock, fatal, loop)
        self._events = EventRing(clock)
        late = core_settings.election_timeout_min * LATE_SHARE
        slow = SlowLimits(node_settings.slow_sync_seconds, node_settings.slow_apply_seconds, late)
        self.measures = Measures(clock, slow)
        self.film = Film(core, clock, self.measures) if node_settings.film else None
        ownership = Ownership(machine)
        self._snapshot_worker = snapshot_worker = SnapshotWorker(
            snapshots, ownership, fatal, driver.post, core_settings.snapshot_chunk_bytes
        )
        self._digests = digests = StateDigests(driver, fatal)
        self._applying = applying = Applying(
            driver, ownership, snapshot_worker, clock, fatal, digests.begin, self.measures
        )
        self._apply = applying.worker
        self._snapshot_policy = snapshot_policy = SnapshotPolicy(
            driver, applying, snapshot_worker, node_settings, self.measures, rng.random()
        )
        self._room = room = DiskRoom(driver, applying, snapshot_policy, snapshot_worker)
        observe_sync, inline = self.measures.synced, node_settings.inline_writes
        self._wal = WalWorker(
            log, clock, fatal, driver.persisted, driver.post, inline, observe_sync,
            room.room_changed,
        )  # fmt: skip
        self._wellbeing = well = Wellbeing(
            driver, applying, snapshot_policy, self._wal, snapshot_worker, node_settings, digests,
            SlowSigns(driver, self.measures),
        )  # fmt: skip
        self._clients = Clients(driver, applying, room, well, node_settings, self.measures)
        self.admit_by = self._clients.admit_by
        self._suspects = Suspects(driver)
        well.add(room.ailments)
        self.add_ailments = well.add  # of what is beside the node: see there
        well.add(lambda: map(Ailment, self._suspects.problems()))
        driver.on_event(self._events.add)
        driver.on_event(observer)
        if self.film is not None:
            self.film.follow(driver, applying)
        driver.on_role(lambda: self.measures.seen(core.leader_id, core.configuration))
        self._members = MemberChanges(driver, applying)
        self._digest_calls = DigestCalls(driver, applying, snapshot_worker)
        self._hand_over = HandOver(driver, node_settings.transfer_seconds)
        self._apply.offer(Hosting(driver, applying, snapshot_policy, self._clients))
        self._jobs = (snapshot_worker.slow, snapshot_worker.bulk, digests.jobs)
        applier = [] if self._apply.worker is None else [self._apply.worker]
        self._workers = [self._wal.worker, *(jobs.worker for jobs in self._jobs), *applier]

    def start(self, transport: PeerTransport) -> None:
        """Take part from now on. Once."""
        if self._apply.quick:
            self._apply.begin()
        for worker in self._workers:
            worker.start()
        self._driver.start(self._wal, self._applying, self._snapshot_policy, transport)
        if self.film is not None:
            self.film.start(self._driver.later)
        self._wellbeing.look()
        self._snapshot_policy.scrubber.start()

    def stop(self, why: str = "stopping") -> bool:
        """Answer everybody, finish what is queued for the log, close it.

        Blocks up to a few seconds. Whoever waits for an entry that is in the log hears that its
        outcome is unknown. False if a thread did not end in time; the log is then left as after a
        crash, which is safe.
        """
        self._driver.stop(why)
        self._clients.stop(why)
        self._snapshot_policy.stop(why)
        self._digest_calls.stop(why)
        self._hand_over.stop(why)
        self._wal.stop()
        for jobs in self._jobs:
            jobs.stop()
        self._apply.stop()
        ended = [worker.join(STOP_SECONDS) for worker in self._workers]
        if self._apply.worker is None or ended[-1]:
            self._clients.stop_queries(why)
        if ended[0]:
            self._log.close()
        return all(ended)

    # -- what clients ask --

    def submit(self, batch: bytes, done: Done, principal: bytes = NOBODY) -> None:
        """Propose one BATCH payload, checked by the caller (wire.batch.check_batch), as one entry.

        principal: who asks, as in wire.principal, and proven.
        done: called once, on this thread, possibly before this returns: Applied, or Refused if it
        was certainly not done, or Unknown.
        """
        # Guarded, because gRPC would make a status of an exception and go on.
        self._driver.guarded(
            "a client's call", lambda: self._clients.submit(batch, done, principal)
        )

    def query(
        self, queries: Sequence[bytes], stale: bool, done: Done, principal: bytes = NOBODY
    ) -> None:
        """Answer from the applied state: after a ReadIndex round, or as it is now if `stale`.

        done: as for `submit`; Answered or Refused.
        """
        self._driver.guarded(
            "a client's call", lambda: self._clients.query(queries, stale, done, principal)
        )

    # -- what operators ask; `done` as for `submit` --

    def transfer(self, target: str | None, done: Done) -> None:
        """Hand leadership over; Applied(commit, term, new leader's id) when it is known here."""
        self._driver.guarded("a transfer", lambda: self._hand_over.transfer(target, done))

    def change(self, change: Change, done: Done) -> None:
        """Change the members; Applied(index, term, b"") when the change is committed."""
        self._driver.guarded("a change of members", lambda: self._members.ask(change, done))

    def snapshot_now(self, done: Done) -> None:
        """Applied(index, term, b"") of the newest snapshot; one is taken if anything is new."""
        self._driver.guarded("a snapshot", lambda: self._snapshot_policy.snapshot_now(done))

    def hold_snapshot(self) -> SnapshotMeta | None:
        """The newest snapshot, whose file stays until `release_snapshot`; None: there is none."""
        return self._snapshot_policy.held.hold()

    def release_snapshot(self, meta: SnapshotMeta) -> None:
        """Once for each `hold_snapshot`."""
        self._snapshot_policy.held.release(meta)

    async def read_snapshot(self, meta: SnapshotMeta, offset: int) -> bytes:
        """The next bytes of that file, a chunk at most; none after its end. Raises OSError."""
        request = SnapshotRequest(self.term, self.identity.node, meta, offset)
        return (await self._snapshot_policy.read_chunk(request)).data

    def digest(self, done: Done) -> None:
        """Answered(applied index, [(0, SHA-256 of sessions and machine)])."""
        self._driver.guarded("a digest", lambda: self._digest_calls.ask(done))

    def subscribe(self, from_start: bool) -> EventFeed:
        """A reader of the node's events: from the oldest that is kept, or from now on."""
        return self._events.subscribe(from_start)

    def read_events(self, after: int | None, wake: Callable[[], None]) -> EventReader:
        """As EventRing.read. Any thread."""
        return self._events.read(after, wake)

    # -- what peers ask --

    @property
    def identity(self) -> Identity:
        """Any thread."""
        return self._core.identity

    @property
    def term(self) -> int:
        """The current one; cheap."""
        return self._core.current_term

    def expected_incarnation(self, peer: str) -> str | None:
        """The recorded incarnation of `peer`; None: only Hello may be exchanged with it."""
        return self._core.expected_incarnation(peer)

    def step(self, request: Request, reply: Callable[[Reply], None]) -> None:
        """A peer's RPC: `reply` is called once, unless the node stops. Raises ImpossibleMessage."""
        core = self._core
        if self.film is not None:
            reply = self.film.asked(request, reply)
        self._driver.enter(lambda now: core.step(request, now, reply))
        self.measures.heard(request)

    def pull(self, peer: str, channel: Channel) -> Request | None:
        """What is owed to `peer` now. Ask until None."""
        request = self._driver.pull(peer, channel)
        if request is not None and self.film is not None:
            self.film.sent(peer, request)
        return request

    def on_reply(self, peer: str, sent: Request, reply: Reply) -> None:
        """A peer answered `sent`. Raises ImpossibleMessage: nothing was done."""
        if not self._driver.stopped:
            self.measures.replied(peer, sent)
            self._driver.enter(lambda now: self._core.on_reply(peer, sent, reply, now))

    def unreachable(self, peer: str, sent: Request) -> None:
        """`sent` was lost, or its answer was."""
        if not self._driver.stopped:
            if self.film is not None:
                self.film.lost(peer, sent)
            self._driver.enter(lambda now: self._core.unreachable(peer, sent, now))

    def link_lost(self, peer: str) -> None:
        """Every stream from `peer` broke, and nothing answers where it was."""
        if not self._driver.stopped:
            self._driver.enter(lambda now: self._core.link_lost(peer, now))

    def suspect(self, peer: str, what: str) -> None:
        """`peer`, or somebody in its name, sent what no correct node can send; it was refused."""
        self._suspects.suspect(peer, what)

    async def read_chunk(self, request: SnapshotRequest) -> SnapshotRequest:
        """`request` with its data. Raises FileNotFoundError if that snapshot is gone, OSError."""
        return await self._snapshot_policy.read_chunk(request)

    # -- looking in --

    @property
    def stopped(self) -> str:
        """Why this node takes no more calls; empty while it runs. Any thread."""
        return self._driver.stopped

    @property
    def leading(self) -> bool:
        """Any thread."""
        return self._driver.leading

    def state(self) -> RaftState:
        """Any thread."""
        return self._driver.state()

    def problems(self) -> Sequence[str]:
        """Why this node is not healthy, one line each, worst first. Any thread."""
        return self._wellbeing.problems()

    def refusal(self) -> str:
        """Why nothing that clients ask is answered here; empty when it is. Cheap."""
        return self._wellbeing.refusal()

    def serving(self) -> bool:
        """May clients be sent here? Cheap: asked on every health check."""
        return self._wellbeing.serving()

    def signs(self) -> Signs:
        """The node's own figures, for whoever shows them."""
        pending, failed = self._clients.proposals()
        return Signs(
            proposals_pending=pending,
            proposals_failed=failed,
            unready=self._wellbeing.unready(),
            machine_busy_seconds=self._wellbeing.machine_busy_seconds,
            disk_trouble=bool(self._room.unready()),
            disk_free_bytes=self._room.free_bytes,
            peer_messages_refused=self._suspects.total,
            queues=self._clients.queues() | {"log_writes_waiting": self._wal.waiting},
        )
