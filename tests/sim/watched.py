"""The core and the ports of raftd/node as they are, with the checkers looking on.

Every method does what it stands for and shows it: what the core hands out before the node sees it,
what the disk holds when it holds it, what the machine is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from raftd.core.changes import Change
from raftd.core.core import RaftCore
from raftd.core.effects import Effects, Event, NotLeader, Token
from raftd.core.messages import Channel, Reply, Request, SnapshotRequest, TimeoutNowRequest
from raftd.core.types import (
    Entry,
    EntryType,
    Index,
    NodeId,
    Role,
    SnapshotMeta,
    Term,
    WriteSeq,
)
from raftd.machine.sessions import Sessions
from raftd.node.ports import NodeHandle
from tests.machine.answered import answered
from tests.sim.leading import HandOvers, Pins, Refusals
from tests.sim.waiting import Waiting
from tests.sim.watched_files import WatchedSnapshots

if TYPE_CHECKING:
    from tests.sim.process import Process


class WatchedCore(RaftCore):
    """Every call's effects are looked at before anybody acts on them."""

    process: Process

    def watch(self, process: Process) -> WatchedCore:
        self.process = process
        self.handed: deque[Entry] = deque()
        """Committed entries that the machine has not been seen to apply."""
        self.installs: deque[SnapshotMeta] = deque()
        """Snapshots that the machine has not been seen to restore."""
        self.log_limit = process.plan.shell.log_memory_limit_bytes
        self.pins = Pins()
        self.refusals = Refusals()
        self.handovers = HandOvers()
        self.waiting = Waiting()
        self._leading_term: Term | None = None
        return self

    def _look(self, fx: Effects) -> Effects:
        process = self.process
        name, world, checkers = process.node.name, process.world, process.checkers
        for write in fx.persist:
            world.trace(name, "write", write)
            if write.marker is not None:
                durable = process.node.image.holds_snapshot(write.marker.meta)
                checkers.marker(name, write.marker.meta.index, durable)
            checkers.persist(name, write)
        if fx.install is not None:
            self.installs.append(fx.install)
        self.handed.extend(fx.committed)
        if fx.released:
            checkers.release(name, fx.released)
            checkers.asks_release(name, fx.released)
        checkers.after(name, self)
        checkers.log_bounded(name, self.log.bytes, self.log_limit)
        term = self.current_term if self.role is Role.LEADER else None
        if self._leading_term is not None and term != self._leading_term:
            world.stats["step-downs"] += 1
        self._leading_term = term
        return fx

    def start(self, now: float) -> Effects:
        return self._look(super().start(now))

    def step(self, request: Request, now: float, token: Token) -> Effects:
        return self._look(super().step(request, now, token))

    def on_reply(self, peer: NodeId, sent: Request, reply: Reply, now: float) -> Effects:
        pin = self.pins.before(self, peer)
        fx = self._look(super().on_reply(peer, sent, reply, now))
        self.pins.after(self, peer, sent, reply, pin)
        self.refusals.heard(self, peer, sent, reply)
        return fx

    def unreachable(self, peer: NodeId, sent: Request, now: float) -> Effects:
        fx = self._look(super().unreachable(peer, sent, now))
        if isinstance(sent, TimeoutNowRequest):
            self.handovers.lost(self)
        return fx

    def next_request(self, peer: NodeId, channel: Channel, now: float) -> Request | None:
        pin = self.pins.of(self, peer)
        request = super().next_request(peer, channel, now)
        if pin is not None:
            self.pins.pulled(self, peer, pin)
        if isinstance(request, TimeoutNowRequest):
            self.handovers.sent += 1
        elif isinstance(request, SnapshotRequest):
            self.pins.sends(self, peer, request)
        return request

    def link_lost(self, peer: NodeId, now: float) -> Effects:
        return self._look(super().link_lost(peer, now))

    def tick(self, now: float) -> Effects:
        due = self.wake_at(now)
        self.waiting.ticks(self, due, now)
        if due <= now:
            self.process.world.events += 1
            self.process.world.trace(self.process.node.name, "tick")
        fx = self._look(super().tick(now))
        self.waiting.ticked(self, now)
        return fx

    def persisted(self, seq: WriteSeq, now: float) -> Effects:
        self.process.checkers.told_persisted(self.process.node.name, seq)
        return self._look(super().persisted(seq, now))

    def propose(self, batches: Sequence[bytes], now: float) -> Effects:
        return self._look(super().propose(batches, now))

    def read(self, now: float, token: Token) -> Effects:
        process = self.process
        floor = process.checkers.read_arrives()

        def confirmed(index: Index, refusal: NotLeader | None) -> None:
            if refusal is None:
                process.world.trace(process.node.name, f"read confirmed at {index}")
                process.checkers.read_confirmed(process.node.name, index, floor)
                process.world.stats["reads confirmed"] += 1
            else:
                process.world.stats["reads failed"] += 1
            token(index, refusal)

        return self._look(super().read(now, confirmed))

    def change(self, change: Change, now: float) -> Effects:
        return self._look(super().change(change, now))

    def transfer(self, target: NodeId | None, now: float) -> Effects:
        return self._look(super().transfer(target, now))

    def chunk_stored(
        self, token: Token, request: SnapshotRequest, next_offset: int, now: float
    ) -> Effects:
        return self._look(super().chunk_stored(token, request, next_offset, now))

    def snapshot_received(
        self, meta: SnapshotMeta, token: Token, request: SnapshotRequest, now: float
    ) -> Effects:
        self.process.world.stats["snapshots received"] += 1
        return self._look(super().snapshot_received(meta, token, request, now))

    def snapshot_taken(self, meta: SnapshotMeta, now: float) -> Effects:
        self.process.world.stats["snapshots taken"] += 1
        self.process.world.trace(self.process.node.name, "snapshot taken", meta)
        if meta == self._s.snapshot:
            self.pins.taken_anew(meta.index)
        return self._look(super().snapshot_taken(meta, now))

    def applied(self, index: Index, now: float) -> Effects:
        """What is no command never reaches the machine: it counts as applied from here on."""
        self.pass_over(index + 1)
        return self._look(super().applied(index, now))

    def pass_over(self, before: Index) -> None:
        """Entries that hold no commands, up to one that does or to a snapshot."""
        process, handed = self.process, self.handed
        while handed and handed[0].index < before:
            entry = handed.popleft()
            if entry.type is EntryType.BATCH:
                process.checkers.fail(
                    "state-machine-safety",
                    f"{process.node.name} passes over {entry.index}, which it never applied",
                )
            process.checkers.applying(process.node.name, entry)

    def restored(self, meta: SnapshotMeta) -> None:
        self.pass_over(meta.index + 1)
        self.installs.popleft()


class WatchedHost:
    """The MachineHost of one process: sessions and store, at a price in time."""

    watches = True

    def __init__(self, process: Process, snapshots: WatchedSnapshots) -> None:
        self._process = process
        self._host: Sessions = process.stores.host
        self._snapshots = snapshots
        self.quick = process.plan.shell.quick

    def apply_batch(self, index: Index, term: Term, payload: bytes) -> bytes:
        process, core = self._process, self._process.core
        name, checkers = process.node.name, process.checkers
        core.pass_over(index)
        entry = Entry(index, term, EntryType.BATCH, payload)
        if not core.handed or core.handed.popleft() != entry:
            checkers.fail("state-machine-safety", f"{name} applies {index}, not handed out for it")
        checkers.applying(name, entry)
        process.machine.used("applies", share=1.0)
        results = answered(self._host.apply_batch(index, term, payload))
        checkers.applied_result(name, index, payload, results)
        return results

    def commands_left(self) -> int:
        return self._host.commands_left()

    def query(
        self, request: bytes, principal: bytes = b""
    ) -> tuple[int, bytes] | Generator[None, None, tuple[int, bytes]]:
        self._process.machine.used("answers a query")
        return self._host.query(request, principal)

    def capture(self) -> tuple[bytes, Iterable[bytes]]:
        self._process.machine.used("captures")
        return self._host.capture()

    def restore(self, sessions: bytes, body: BinaryIO) -> None:
        process, meta = self._process, self._snapshots.opened
        if not process.dying and meta is not None:
            process.core.restored(meta)
            process.checkers.installed(process.node.name, meta.index)
            process.world.stats["snapshots installed"] += 1
        self._host.restore(sessions, body)

    def sessions(self) -> bytes:
        return self._host.sessions()

    def parts(self) -> Sequence[tuple[str, Iterable[bytes]]]:
        return self._host.parts()

    def digest_of(self, sessions: bytes, chunks: Iterable[bytes]) -> bytes:
        return self._host.digest_of(sessions, chunks)

    def attach(self, node: NodeHandle) -> None:
        self._host.attach(node)

    def on_applied(self, index: Index) -> object:
        return self._host.on_applied(index)

    def on_event(self, event: Event) -> None:
        self._host.on_event(event)
