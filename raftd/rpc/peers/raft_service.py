"""The peer port: what other nodes ask of this one.

The envelope is checked before the core hears of a message. A mismatch ends with
FAILED_PRECONDITION, a malformed message with INVALID_ARGUMENT, each with one line; neither changes
anything, and no stranger can raise this node's term.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import grpc.aio
from google.protobuf.message import DecodeError

from raftd._pb import raft_pb2 as pb
from raftd._pb import raft_pb2_grpc
from raftd.core import messages as m
from raftd.core.effects import ImpossibleMessage
from raftd.core.types import NodeId, Role
from raftd.node.outcomes import NodeStopped
from raftd.node.ports import FatalPort
from raftd.quiet import QuietLog
from raftd.rpc.api import PeerNode
from raftd.rpc.directory import Directory
from raftd.rpc.peers import codec, codec_replies
from raftd.rpc.peers.append_sender import ENVELOPE_KEY
from raftd.rpc.peers.checks import Rejected, check_leap
from raftd.rpc.peers.envelope import Envelopes, Mismatch
from raftd.rpc.peers.forwarding import Forwarded, encode_outcome, forwarded
from raftd.rpc.peers.link import told
from raftd.rpc.peers.security import NOTHING_ASKED, PeerSecurity
from raftd.rpc.plumbing.connections import Connections
from raftd.rpc.plumbing.direct_streams import server_stream
from raftd.rpc.plumbing.streams import Ended, ServerStream

log = logging.getLogger("raftd.rpc")

APPENDS_INFLIGHT_MAX = 256
APPEND_BYTES_INFLIGHT_MAX = 64 << 20

Context = Any  # grpc.aio.ServicerContext; the generated base class names its own private one
AppendStream = ServerStream[pb.AppendRequest, pb.AppendReply]

_REFUSED = grpc.StatusCode.FAILED_PRECONDITION
_MALFORMED = grpc.StatusCode.INVALID_ARGUMENT


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
        self._connections = connections
        self._security = security
        self._node = node
        self._directory = directory
        self._about = about
        self._fatal = fatal
        self._log = QuietLog(log, now)
        self._on_doubt = on_doubt
        self._envelopes = Envelopes.at(node, security, directory)
        self._streams: dict[NodeId, AppendStream] = {}
        self._draining = False

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
        if leader not in (None, self._node.identity.node) and leader not in self._streams:
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
            sender = self._envelopes.check_hello(message.envelope, self._impostor(context))
            request = codec.decode_hello(message, sender, self._directory.unfit)
        except (Mismatch, Rejected) as error:
            await self._refuse(context, "Hello", error)
        reply = await self._step(sender, request, context)
        if not isinstance(reply, m.HelloReply):  # its disk is stuck
            await self._end(context, Ended(grpc.StatusCode.UNAVAILABLE, "try later: stuck disk"))
        if not reply.refused:
            told(self._directory, sender, message.about)
        stranger = reply.refused and not reply.removed
        answer = self._envelopes.refusal_of if stranger else self._envelopes.reply_to
        envelope = answer(message.envelope)
        return codec_replies.encode_hello_reply(reply, message.number, envelope, self._about)

    async def Probe(self, message: pb.ProbeRequest, context: Context) -> pb.ProbeReply:
        try:
            self._envelopes.check_request(message.envelope, self._impostor(context))
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
            self._envelopes.check_request(message.envelope, self._impostor(context))
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
            sender = self._envelopes.check_request(message.envelope, self._impostor(context))
        except (Mismatch, Rejected) as error:
            await self._refuse(context, what, error)
        try:
            request = decode(message, sender)
            check_leap(message.term, self._node.term)
        except Rejected as error:
            await self._end(context, self._suspect(sender, what, error))
        envelope = self._envelopes.reply_to(message.envelope)
        return codec_replies.encode_reply(
            await self._step(sender, request, context), message.number, envelope, kind
        )

    def _impostor(self, context: Context) -> Callable[[NodeId], str]:
        """Says why, when the connection's certificate is another node's."""
        return partial(self._security.impostor, context)

    async def _step(self, sender: NodeId, request: m.Request, context: Context) -> m.Reply:
        waiting: asyncio.Future[m.Reply] = asyncio.get_running_loop().create_future()

        def reply(value: m.Reply) -> None:
            if not waiting.done():  # the caller may have given up meanwhile
                waiting.set_result(value)

        try:
            self._enter(sender, request, reply)
        except Ended as ended:
            await context.abort(ended.code, ended.message)
        return await waiting

    def _enter(self, sender: NodeId, request: m.Request, reply: Callable[[m.Reply], None]) -> None:
        """grpc.aio would make a status of our exception and go on: it must stop the node."""
        try:
            self._node.step(request, reply)
        except NodeStopped as error:
            raise Ended(grpc.StatusCode.UNAVAILABLE, f"this node has stopped: {error}") from None
        except ImpossibleMessage as error:
            raise self._suspect(sender, type(request).__name__, error) from None
        except Exception as error:
            self._fatal.fatal(f"the core failed on a {type(request).__name__}", error)
            raise

    async def _refuse(self, context: Context, what: str, error: Exception) -> NoReturn:
        await self._end(context, self._ended(what, error))

    async def _end(self, context: Context, ended: Ended) -> NoReturn:
        await context.abort(ended.code, ended.message)
        raise AssertionError("abort raises")  # pragma: no cover

    def _ended(self, what: str, error: Exception) -> Ended:
        """What a stranger is told: a value that he guessed wrong must not be told to him."""
        text = f"{what}: {error}"
        self._log.warning(text[:120], f"refused {text}")
        if isinstance(error, Rejected):
            return Ended(_MALFORMED, text)
        own, hint = self._node.identity.node, getattr(error, "hint", "")
        text = hint or "not for this node, or not from a peer: "
        return Ended(_REFUSED, f"{what}: {text}{own}'s log says why")

    def _suspect(self, sender: NodeId, what: str, error: Exception) -> Ended:
        """The envelope is right, and what it holds no correct peer can send."""
        text = f"{what}: {error}"
        self._node.suspect(sender, text)
        return Ended(_MALFORMED if isinstance(error, Rejected) else _REFUSED, text)

    # --- the append stream --------------------------------------------------------------------

    async def AppendEntries(self, _requests: object, context: Context) -> None:  # type: ignore[override]
        try:
            sender, envelope = self._opened_by(context)
        except (Mismatch, Rejected) as error:
            await self._refuse(context, "AppendEntries", error)
        if self._draining:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this node is stopping")
        stream = self._make_stream(sender, envelope, context)
        older = self._streams.get(sender)
        self._streams[sender] = stream
        if older is not None:
            older.end(Ended(grpc.StatusCode.ABORTED, f"a newer stream from {sender} replaced this"))
        try:
            # At once, so that the caller knows that it is connected before it pulls anything.
            await context.send_initial_metadata(())
            await stream.run()
        except Ended as ended:
            await context.abort(ended.code, ended.message)
        finally:
            if self._streams.get(sender) is stream:
                del self._streams[sender]
                if not self._draining:
                    self._on_doubt(sender)

    def _opened_by(self, context: Context) -> tuple[NodeId, pb.Envelope]:
        for key, value in context.invocation_metadata() or ():
            if key == ENVELOPE_KEY:
                try:
                    envelope = pb.Envelope.FromString(value)
                except DecodeError:
                    raise Rejected(f"{ENVELOPE_KEY} is not an Envelope") from None
                return self._envelopes.check_request(envelope, self._impostor(context)), envelope
        raise Rejected(f"the metadata lacks {ENVELOPE_KEY}")

    def _make_stream(self, sender: NodeId, opened: pb.Envelope, context: Context) -> AppendStream:
        envelopes, answer_envelope = self._envelopes, self._envelopes.reply_to(opened)
        encode = codec_replies.encode_append_reply

        def on_frame(message: pb.AppendRequest) -> None:
            try:
                if envelopes.check_request(message.envelope) != sender:
                    raise Mismatch(
                        f"a message of {message.envelope.sender} on the stream of {sender}"
                    )
            except (Mismatch, Rejected) as error:
                raise self._ended("AppendEntries", error) from None
            try:
                request = codec.decode_append(message, sender)
                check_leap(request.term, self._node.term)
            except Rejected as error:
                raise self._suspect(sender, "AppendEntries", error) from None
            size, number = sum([len(entry.payload) for entry in request.entries]), request.number
            stream.take(size)

            def reply(value: m.Reply) -> None:
                if isinstance(value, m.AppendReply):
                    stream.answer(encode(value, number, answer_envelope), size)
                else:
                    stream.answer(
                        codec_replies.encode_reply(value, number, answer_envelope, pb.AppendReply),
                        size,
                    )

            self._enter(sender, request, reply)

        stream: AppendStream = server_stream(
            context,
            on_frame,
            APPENDS_INFLIGHT_MAX,
            APPEND_BYTES_INFLIGHT_MAX,
            self._connections.of(context.peer()),
        )
        return stream

    def drain(self) -> None:
        """End every append stream: the node is stopping. Their callers find another leader."""
        self._draining = True
        for stream in list(self._streams.values()):
            stream.end(Ended(grpc.StatusCode.UNAVAILABLE, "this node is stopping"))
