"""The peer port: what other nodes ask of this one.

The envelope is checked before the core hears of a message. A mismatch ends with
FAILED_PRECONDITION, a malformed message with INVALID_ARGUMENT, each with one line; neither changes
anything, and no stranger can raise this node's term.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

import grpc.aio

from raftd._pb import raft_pb2 as pb
from raftd._pb import raft_pb2_grpc
from raftd.core import messages as m
from raftd.core.types import NodeId, Role
from raftd.node.ports import FatalPort
from raftd.rpc.api import PeerNode
from raftd.rpc.directory import Directory
from raftd.rpc.peers import codec, codec_replies
from raftd.rpc.peers.arrivals import Arrivals, Context, PeerStreams, abort
from raftd.rpc.peers.checks import Rejected, check_leap
from raftd.rpc.peers.envelope import Envelopes, Mismatch
from raftd.rpc.peers.forwarding import Forwarded, encode_outcome, forwarded
from raftd.rpc.peers.link import told
from raftd.rpc.peers.security import NOTHING_ASKED, PeerSecurity
from raftd.rpc.plumbing.connections import Connections
from raftd.rpc.plumbing.streams import Ended


class RaftService(raft_pb2_grpc.RaftServicer):
    """Network thread only."""

    def __init__(
        self,
        node: PeerNode,
        directory: Directory,
        about: pb.About,
        fatal: FatalPort,
        now: Callable[[], float],
        on_doubt: Callable[[NodeId], None],
        connections: Connections,
        clients: Forwarded,
        security: PeerSecurity = NOTHING_ASKED,
    ) -> None:
        """on_doubt: that node may be dead (`LinkWatch.doubt`). clients: takes what is forwarded."""
        self._clients = clients
        self._node = node
        self._directory = directory
        self._about = about
        self._on_doubt = on_doubt
        self._envelopes = Envelopes.at(node, security, directory)
        self._arrivals = Arrivals(node, self._envelopes, security, fatal, now)
        self._appends = PeerStreams(
            "AppendEntries", codec.decode_append, self._arrivals, connections, on_doubt
        )
        # Where its end tells nothing: entries go on a connection of their own, and the leader keeps
        # a stream there as well.
        self._heartbeats = PeerStreams(
            "Heartbeats", codec.decode_heartbeat, self._arrivals, connections, lambda _: None
        )

    # --- unary ------------------------------------------------------------------------------

    async def RequestVote(self, message: pb.VoteRequest, context: Context) -> pb.VoteReply:
        reply: pb.VoteReply = await self._unary(message, context, codec.decode_vote, pb.VoteReply)
        if message.pre and not reply.granted:
            self._look_at_leader()
        return reply

    def _look_at_leader(self) -> None:
        """We refused because we hear a leader, and the other one asks because he does not: who is
        right?

        A node that has just come back may have heard a heartbeat and have no stream from the leader
        yet, whose end would tell that he died: it defended a dead one for an election timeout.
        """
        leader = self._node.state().leader
        if leader not in (None, self._node.identity.node) and leader not in self._appends:
            self._on_doubt(leader)

    async def Heartbeat(self, message: pb.AppendRequest, context: Context) -> pb.AppendReply:
        reply: pb.AppendReply = await self._unary(
            message, context, codec.decode_heartbeat, pb.AppendReply
        )
        return reply

    async def InstallSnapshot(
        self, message: pb.SnapshotRequest, context: Context
    ) -> pb.SnapshotReply:
        reply: pb.SnapshotReply = await self._unary(
            message, context, codec.decode_snapshot, pb.SnapshotReply
        )
        return reply

    async def ReadIndex(self, message: pb.ReadIndexRequest, context: Context) -> pb.ReadIndexReply:
        reply: pb.ReadIndexReply = await self._unary(
            message, context, codec.decode_read_index, pb.ReadIndexReply
        )
        return reply

    async def TimeoutNow(
        self, message: pb.TimeoutNowRequest, context: Context
    ) -> pb.TimeoutNowReply:
        reply: pb.TimeoutNowReply = await self._unary(
            message, context, codec.decode_timeout_now, pb.TimeoutNowReply
        )
        return reply

    async def Hello(self, message: pb.HelloRequest, context: Context) -> pb.HelloReply:
        try:
            sender = self._arrivals.hello_from(message.envelope, context)
            request = codec.decode_hello(message, sender, self._directory.unfit)
        except (Mismatch, Rejected) as error:
            await self._refuse(context, "Hello", error)
        reply = await self._step(sender, request, context)
        if not isinstance(reply, m.HelloReply):  # its disk is stuck
            await abort(context, Ended(grpc.StatusCode.UNAVAILABLE, "try later: stuck disk"))
        if not reply.refused:
            told(self._directory, sender, message.about)
        stranger = reply.refused and not reply.removed
        answer = self._envelopes.refusal_of if stranger else self._envelopes.reply_to
        envelope = answer(message.envelope)
        return codec_replies.encode_hello_reply(reply, message.number, envelope, self._about)

    async def Probe(self, message: pb.ProbeRequest, context: Context) -> pb.ProbeReply:
        try:
            self._arrivals.sender(message.envelope, context)
        except (Mismatch, Rejected) as error:
            await self._refuse(context, "Probe", error)
        state = self._node.state()
        return pb.ProbeReply(
            envelope=self._envelopes.reply_to(message.envelope),
            leads=state.role is Role.LEADER,
            term=state.term,
        )

    async def Forward(self, message: pb.ForwardRequest, context: Context) -> pb.ForwardReply:
        try:
            self._arrivals.sender(message.envelope, context)
            outcome = await forwarded(self._clients, message)
        except (Mismatch, Rejected) as error:
            await self._refuse(context, "Forward", error)
        return encode_outcome(outcome, self._envelopes.reply_to(message.envelope))

    async def _unary(
        self,
        message: Any,
        context: Context,
        decode: Callable[[Any, NodeId], m.Request],
        kind: type[Any],
    ) -> Any:
        what = type(message).__name__
        try:
            sender = self._arrivals.sender(message.envelope, context)
        except (Mismatch, Rejected) as error:
            await self._refuse(context, what, error)
        try:
            request = decode(message, sender)
            check_leap(message.term, self._node.term)
        except Rejected as error:
            await abort(context, self._arrivals.suspect(sender, what, error))
        envelope = self._envelopes.reply_to(message.envelope)
        return codec_replies.encode_reply(
            await self._step(sender, request, context), message.number, envelope, kind
        )

    async def _step(self, sender: NodeId, request: m.Request, context: Context) -> m.Reply:
        waiting: asyncio.Future[m.Reply] = asyncio.get_running_loop().create_future()

        def reply(value: m.Reply) -> None:
            if not waiting.done():  # the caller may have given up meanwhile
                waiting.set_result(value)

        try:
            self._arrivals.enter(sender, request, reply)
        except Ended as ended:
            await context.abort(ended.code, ended.message)
        return await waiting

    async def _refuse(self, context: Context, what: str, error: Exception) -> NoReturn:
        await abort(context, self._arrivals.refused(what, error))

    # --- streams ------------------------------------------------------------------------------

    async def AppendEntries(self, _requests: object, context: Context) -> None:  # type: ignore[override]
        await self._appends.serve(context)

    async def Heartbeats(self, _requests: object, context: Context) -> None:  # type: ignore[override]
        await self._heartbeats.serve(context)

    def drain(self) -> None:
        """End every stream: the node is stopping. Their callers find another leader."""
        self._appends.drain()
        self._heartbeats.drain()
