"""Three cores on three disks in memory: real storage, real core, no threads, a clock of its own.

Everything is synchronous and a function of the disks and of `order`, who times out first. A node
whose storage refuses to start, or fails later, is down; messages to it are lost after a while. The
machine is the plainest there is: the list of all commands so far.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

from raftd.core.core import RaftCore
from raftd.core.effects import (
    BrokenInvariant,
    Effects,
    ImpossibleMessage,
    NotLeader,
    Unavailable,
)
from raftd.core.messages import Channel, Reply, Request, SnapshotRequest
from raftd.core.types import EntryType, Index, NodeId, Role, SnapshotMeta
from raftd.storage.errors import CorruptSnapshot, StorageError
from tests.storage.member import CONFIGURATION, NAMES, SETTINGS, Ledger, Member, Steady, opened
from tests.storage.memory_fs import MemoryFileSystem

LOST_AFTER = 0.05
"""Seconds until a caller hears that nobody answers."""
CHUNK_AFTER = 0.01
"""Seconds that a chunk of a snapshot takes; all else takes no time at all."""


@dataclass(slots=True)
class Call:
    source: Member
    target: NodeId
    channel: Channel
    request: Request


class Trio:
    """See the module. `start` first; `down`: why a node does not run (one line)."""

    def __init__(
        self,
        disks: Mapping[NodeId, MemoryFileSystem],
        ledger: Ledger,
        order: Sequence[NodeId] = NAMES,
        segment_bytes: int = 4096,
    ) -> None:
        self.disks = disks
        self.ledger = ledger
        self.order = order
        self.segment_bytes = segment_bytes
        self.now = 100.0
        self.up: dict[NodeId, Member] = {}
        self.down: dict[NodeId, str] = {}
        self.cut: set[NodeId] = set()
        """Nodes that nobody can hear and that hear nobody."""
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()

    # life

    def start(self, *names: NodeId) -> None:
        for name in names or tuple(self.disks):
            try:
                directory = opened(self.disks[name], name, self.segment_bytes)
                found = directory.recover()
            except (StorageError, OSError) as error:
                self._refuse(name, error)
                continue
            self._boot(Member(name, directory, found))

    def _boot(self, member: Member) -> None:
        place = 0.1 + 0.4 * self.order.index(member.name)
        identity = member.directory.identity
        member.core = RaftCore(
            identity, SETTINGS, CONFIGURATION, member.found, Steady(place), self.now
        )
        self.down.pop(member.name, None)
        self.up[member.name] = member
        self._enter(member, member.core.start, self.now)

    def _refuse(self, name: NodeId, error: Exception) -> None:
        assert str(error).count("\n") == 0, "a refusal is one line"
        self.up.pop(name, None)
        self.down[name] = f"{type(error).__name__}: {error}"

    def kill(self, *names: NodeId) -> None:
        for name in names or tuple(self.up):
            del self.up[name]
            self.disks[name].kill()
            self.down[name] = "killed"

    # clients

    @property
    def leader(self) -> Member | None:
        leading = [one for one in self.up.values() if one.core.role is Role.LEADER]
        return max(leading, key=lambda one: one.core.current_term, default=None)

    def propose(self, payload: bytes) -> Index | None:
        """Its index; or None where nobody takes it."""
        leader = self.leader
        if leader is None:
            return None
        try:
            effects = leader.core.propose([payload], self.now)
        except (NotLeader, Unavailable):
            return None
        self._guard(leader, lambda: self._take(leader, effects))
        return effects.assigned[0][0]

    def commit(self, payload: bytes, seconds: float = 4.0, copies: int = 2) -> bool:
        """Elect if need be, propose, and wait until so many nodes have applied it."""
        limit = self.now + seconds
        while self.now < limit and self.run(lambda: self.leader is not None, limit - self.now):
            at = self.propose(payload)
            if at is not None and self.run(partial(self._applied_by, at, copies), limit - self.now):
                return self.ledger.chosen[at].payload == payload
        return False

    def _applied_by(self, index: Index, copies: int) -> bool:
        return sum(one.applied >= index for one in self.up.values()) >= copies

    def read(self, seconds: float = 3.0) -> list[bytes] | None:
        """The whole state, linearizable, from the leader."""
        leader = self.leader
        if leader is None:
            return None
        leader.read_at = None
        self._enter(leader, leader.core.read, self.now, "read")
        done = self.run(lambda: leader.applied >= (leader.read_at or leader.applied + 1), seconds)
        return leader.state if done else None

    def snapshot(self, name: NodeId) -> None:
        """Take one of what is applied, mark it, drop the log below."""
        member = self.up[name]
        store = member.directory.snapshots
        entry = self.ledger.chosen[member.applied]
        sink = store.create(member.applied, entry.term, CONFIGURATION, b"sessions")
        sink.write(b"\n".join(member.state))
        self._enter(member, member.core.snapshot_taken, sink.commit(), self.now)
        store.retain(member.core.snapshots_in_use())

    def idle(self) -> None:
        """Ten milliseconds without a write."""
        for member in self.up.values():
            member.directory.wal.idle()

    # time

    def run(self, done: Callable[[], bool], seconds: float) -> bool:
        """Let things happen until `done()`; False if it is not within so many seconds."""
        limit = self.now + seconds
        while not done():
            due, who = limit + 1.0, ""
            for member in self.up.values():
                if member.due < due:
                    due, who = member.due, member.name
            if self._events and self._events[0][0] <= due:
                at, _, call, args = heapq.heappop(self._events)
                self.now = max(self.now, at)
                call(*args)
            elif due > limit:
                self.now = limit
                return False
            else:
                self.now = max(self.now, due)
                member = self.up[who]
                self._enter(member, member.core.tick, self.now)
        return True

    def _after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), call, args))

    # what every call into a core brings

    def _enter(self, member: Member, call: Callable[..., Effects], *args: Any) -> None:
        self._guard(member, lambda: self._take(member, call(*args)))

    def _guard(self, member: Member, work: Callable[[], None]) -> None:
        """What would end a daemon's process."""
        try:
            work()
            member.due = member.core.wake_at(self.now)
        except (StorageError, OSError) as error:
            self._refuse(member.name, error)
        except (BrokenInvariant, ImpossibleMessage) as error:
            self.ledger.wrong.append(f"{member.name} stops: {error}")
            self._refuse(member.name, error)

    def _take(self, member: Member, effects: Effects) -> None:
        if effects.persist:
            member.directory.wal.commit(effects.persist)
            self._after(0.0, self._persisted, member, effects.persist[-1].seq)
        for call, reply in effects.replies:
            self._after(0.0, self._reply, call, reply)
        if effects.install is not None:
            self._restore(member, effects.install)
        for entry in effects.committed:
            self.ledger.note(member.name, entry)
            member.applied = entry.index
            if entry.type is EntryType.BATCH:
                member.state.append(entry.payload)
        if effects.install is not None or effects.committed:
            self._after(0.0, self._applied, member, member.applied)
        for call, request in effects.chunks:
            self._store(member, call, request)
        for _, index in effects.reads:
            member.read_at = index
        if effects.released:
            member.directory.wal.release(effects.released)
        for peer, channel in effects.wake:
            self._pull(member, peer, channel)

    def _alive(self, member: Member) -> bool:
        return self.up.get(member.name) is member

    def _persisted(self, member: Member, seq: int) -> None:
        if self._alive(member):
            self._enter(member, member.core.persisted, seq, self.now)

    def _applied(self, member: Member, index: Index) -> None:
        if self._alive(member):
            self._enter(member, member.core.applied, index, self.now)

    def _restore(self, member: Member, meta: SnapshotMeta) -> None:
        sessions, body = member.directory.snapshots.open_body(meta)
        with body:
            content = body.read()
        member.state = content.split(b"\n") if content else []
        member.applied = meta.index
        if (sessions, member.state) != (b"sessions", self.ledger.state(meta.index)):
            self.ledger.wrong.append(f"{member.name} restores another state at {meta.index}")

    # messages

    def _pull(self, member: Member, peer: NodeId, channel: Channel) -> None:
        for _ in range(1000):
            request = member.core.next_request(peer, channel, self.now)
            if request is None:
                return
            call = Call(member, peer, channel, request)
            if isinstance(request, SnapshotRequest):
                self._after(CHUNK_AFTER, self._send_chunk, call)
            else:
                self._send(call, request)
        raise AssertionError("a core floods its peer")

    def _send_chunk(self, call: Call) -> None:
        member, request = call.source, call.request
        assert isinstance(request, SnapshotRequest)
        size = SETTINGS.snapshot_chunk_bytes
        try:
            data = member.directory.snapshots.read_chunk(request.meta, request.offset, size)
        except FileNotFoundError:
            self._lost(call)
        except OSError as error:
            self._refuse(member.name, error)
        else:
            self._send(call, replace(request, data=data))

    def _send(self, call: Call, request: Request) -> None:
        if call.target not in self.up or {call.target, call.source.name} & self.cut:
            self._after(LOST_AFTER, self._lost, call)
        else:
            self._after(0.0, self._arrive, call, request)

    def _arrive(self, call: Call, request: Request) -> None:
        target = self.up.get(call.target)
        if target is None or call.source.name in self.cut or call.target in self.cut:
            self._lost(call)
        else:
            self._enter(target, target.core.step, request, self.now, call)

    def _reply(self, call: Call, reply: Reply) -> None:
        if {call.target, call.source.name} & self.cut:
            self._lost(call)
        elif self._alive(call.source):
            core = call.source.core
            self._enter(call.source, core.on_reply, call.target, call.request, reply, self.now)

    def _lost(self, call: Call) -> None:
        if self._alive(call.source):
            core = call.source.core
            self._enter(call.source, core.unreachable, call.target, call.request, self.now)

    def _store(self, member: Member, call: Call, request: SnapshotRequest) -> None:
        incoming = member.directory.snapshots.receive(request.leader, request.meta)
        try:
            reached = incoming.store(request.offset, request.data)
            if reached >= request.meta.size_bytes:
                meta = incoming.commit()
                self._after(0.0, self._received, member, meta, call, request)
                return
        except CorruptSnapshot:
            reached = 0
        self._after(0.0, self._stored, member, call, request, reached)

    def _stored(self, member: Member, call: Call, request: SnapshotRequest, reached: int) -> None:
        if self._alive(member):
            self._enter(member, member.core.chunk_stored, call, request, reached, self.now)

    def _received(
        self, member: Member, meta: SnapshotMeta, call: Call, request: SnapshotRequest
    ) -> None:
        if self._alive(member):
            self._enter(member, member.core.snapshot_received, meta, call, request, self.now)
