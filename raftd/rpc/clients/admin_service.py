"""What an operator asks a node, on its client port. Every answer is this node's own view."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from raftd import __version__
from raftd._pb import admin_pb2 as pb
from raftd._pb import admin_pb2_grpc
from raftd.core.admission import shortened
from raftd.core.effects import Event
from raftd.core.types import PeerState, RaftState
from raftd.node.outcomes import Answered, Applied
from raftd.rpc.api import EventFeed
from raftd.rpc.clients import errors, log_levels
from raftd.rpc.clients.backups import Backups
from raftd.rpc.clients.errors import CallFailed
from raftd.rpc.clients.gate import Context, Gate
from raftd.rpc.clients.members import Meet, change_of
from raftd.rpc.plumbing.readers import Reader, Readers

EVENT_READERS_MAX = 32


class AdminService(admin_pb2_grpc.AdminServicer):
    """Network thread only."""

    def __init__(self, gate: Gate, now: Callable[[], float], meet: Meet) -> None:
        """now: a monotonic clock, seconds; uptime counts from here."""
        self._meet = meet
        self._gate = gate
        self._now = now
        self._started = now()
        self._readers = Readers(EVENT_READERS_MAX, "readers of events")
        self._stopping = asyncio.Event()
        self._backups = Backups(gate)

    async def _admit(
        self, call: str, context: Context, changes: bool = False
    ) -> Callable[[], None]:
        """Ends the call of whoever may not make it. What it returns raises CallFailed once they may
        not any more.
        """
        gate, path = self._gate, f"Admin/{call}"
        try:
            principal = gate.admit_operator(path, context, changes)
            return lambda: gate.demand_root(path, principal, context)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def Status(self, request: pb.StatusRequest, context: Context) -> pb.StatusReply:
        if request.places:
            return self._places()
        await self._admit("Status", context)
        reply = self._status()
        if request.with_digest:
            await self._admit("Digest", context)
            try:
                reply.digest_index, reply.digest = await self._digest(context)
            except CallFailed as failed:
                await errors.abort(context, failed.failure)
        return reply

    async def Digest(self, request: pb.DigestRequest, context: Context) -> pb.DigestReply:
        await self._admit("Digest", context)
        try:
            applied_index, digest = await self._digest(context)
            return pb.DigestReply(applied_index=applied_index, digest=digest)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def _digest(self, context: Context) -> tuple[int, bytes]:
        outcome = await self._gate.control(self._gate.node.digest, context)
        assert isinstance(outcome, Answered)
        return outcome.applied_index, self._gate.only(outcome.results)

    async def SnapshotNow(
        self, request: pb.SnapshotNowRequest, context: Context
    ) -> pb.SnapshotNowReply:
        await self._admit("SnapshotNow", context, changes=True)
        try:
            outcome = await self._gate.control(self._gate.node.snapshot_now, context)
            assert isinstance(outcome, Applied)
            return pb.SnapshotNowReply(index=outcome.index)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def LogLevel(self, request: pb.LogLevelRequest, context: Context) -> pb.LogLevelReply:
        await self._admit("LogLevel", context, changes=bool(request.level))
        try:
            if request.level:
                log_levels.set_level(request.logger, request.level)
            return pb.LogLevelReply(level=log_levels.level_of(request.logger))
        except ValueError as error:
            await errors.abort(context, errors.invalid(str(error)))

    async def Backup(  # type: ignore[override]
        self, request: pb.BackupRequest, context: Context
    ) -> None:
        """A coroutine that writes, as Events is."""
        demand = await self._admit("Backup", context, changes=True)
        await self._backups.send(context, self._stopping, demand)

    async def Transfer(self, request: pb.TransferRequest, context: Context) -> pb.TransferReply:
        await self._admit("Transfer", context, changes=True)
        target = request.target or None
        node = self._gate.node
        try:
            if target is not None and target not in node.state().configuration.voters:
                raise CallFailed(errors.invalid(f"target {target[:64]!r} is not a voter"))
            outcome = await self._gate.control(lambda done: node.transfer(target, done), context)
            assert isinstance(outcome, Applied)
            return pb.TransferReply(leader_id=outcome.results.decode(), term=outcome.term)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def ChangeMember(self, request: pb.MemberRequest, context: Context) -> pb.MemberReply:
        await self._admit("ChangeMember", context, changes=True)
        node = self._gate.node
        try:
            change = await change_of(request, node, self._gate.directory, self._meet)
            outcome = await self._gate.control(lambda done: node.change(change, done), context)
            assert isinstance(outcome, Applied)
            return pb.MemberReply(index=outcome.index, term=outcome.term)
        except CallFailed as failed:
            await errors.abort(context, failed.failure)

    async def Events(  # type: ignore[override]
        self, request: pb.EventsRequest, context: Context
    ) -> None:
        """A coroutine that writes, not a generator: see Reader.tell."""
        demand = await self._admit("Events", context)
        with self._readers.enter() as reader:
            feed = self._gate.node.subscribe(request.from_start)
            try:
                while (following := await self._next(feed, reader)) is not None:
                    demand()
                    if not await reader.tell(context.write, _event(*following)):
                        break
            except CallFailed as failed:
                await errors.abort(context, failed.failure)
            finally:
                feed.close()
            await reader.dismiss(context)

    async def _next(self, feed: EventFeed, reader: Reader) -> tuple[int, float, Event] | None:
        """None once this node is stopping, or the reader has to go."""
        following = asyncio.ensure_future(feed.next())
        await reader.first(following, self._stopping.wait())
        return following.result() if following.done() and not following.cancelled() else None

    def stop(self) -> None:
        """The readers of events and of a backup are let go."""
        self._stopping.set()

    def _status(self) -> pb.StatusReply:
        node, directory = self._gate.node, self._gate.directory
        state, identity, problems = node.state(), node.identity, list(node.problems())
        return pb.StatusReply(
            cluster_id=identity.cluster,
            node_id=identity.node,
            incarnation=shortened(identity.incarnation),
            version=__version__,
            role=state.role.value,
            term=state.term,
            leader_id=state.leader or "",
            leader_address=directory.client_address(state.leader),
            first_index=state.first_index,
            last_index=state.last_index,
            durable_index=state.durable_index,
            commit_index=state.commit_index,
            applied_index=state.applied_index,
            snapshot_index=state.snapshot_index,
            log_bytes=state.log_bytes,
            admitted=state.admitted,
            waiting_for=state.waiting_for,
            peers=self._peers(state, identity.node),
            client_address=directory.client_address(identity.node),
            peer_address=directory.get(identity.node).peer_address,
            learner=not state.configuration.is_voter(identity.node),
            uptime_seconds=self._now() - self._started,
            epoch_seconds=time.time_ns() / 1e9,
            healthy=not problems,
            problems=problems,
        )

    def _places(self) -> pb.StatusReply:
        """What a client has to know to find its way."""
        node, directory = self._gate.node, self._gate.directory
        own, members = node.identity.node, node.state().configuration.members()
        places = [(peer, directory.get(peer)) for peer in members if peer != own]
        return pb.StatusReply(
            cluster_id=node.identity.cluster,
            node_id=own,
            client_address=directory.client_address(own),
            peers=[pb.PeerStatus(id=peer, client_address=at.client_address) for peer, at in places],
        )

    def _peers(self, state: RaftState, own: str) -> list[pb.PeerStatus]:
        """Every other member, also where this node does not lead and knows only addresses."""
        progress: dict[str, PeerState] = {peer.peer: peer for peer in state.peers}
        rows = []
        for peer in state.configuration.members():
            if peer == own:
                continue
            address = self._gate.directory.get(peer)
            row = pb.PeerStatus(
                id=peer,
                peer_address=address.peer_address,
                client_address=address.client_address,
                voter=peer in state.configuration.voters,
                contact_age_seconds=-1.0,
            )
            known = progress.get(peer)
            if known is not None:
                row.match, row.next = known.match, known.next
                row.mode, row.inflight = known.mode, known.inflight
                row.contact_age_seconds = known.contact_age
                row.lag = max(0, state.last_index - known.match)
            rows.append(row)
        return rows


def _event(number: int, at: float, event: Event) -> pb.EventReply:
    return pb.EventReply(
        monotonic_seconds=at,
        kind=str(event.kind),
        term=event.term,
        role=event.role.value,
        leader_id=event.leader or "",
        peer=event.peer or "",
        detail=event.detail,
        number=number,
    )
