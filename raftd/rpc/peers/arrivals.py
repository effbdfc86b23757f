"""What comes in on the peer port: who speaks, what the core says, what a stranger is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.core.effects import ImpossibleMessage
from raftd.core.types import NodeId
from raftd.node.outcomes import NodeStopped
from raftd.node.ports import FatalPort
from raftd.quiet import QuietLog
from raftd.rpc.api import PeerNode
from raftd.rpc.peers import codec_replies
from raftd.rpc.peers.checks import Rejected, check_leap
from raftd.rpc.peers.envelope import Envelopes, Mismatch
from raftd.rpc.peers.link import ENVELOPE_KEY
from raftd.rpc.peers.security import PeerSecurity
from raftd.rpc.plumbing.connections import Connections
from raftd.rpc.plumbing.direct_streams import server_stream
from raftd.rpc.plumbing.streams import Ended, ServerStream

log = logging.getLogger("raftd.rpc")

Context = Any  # grpc.aio.ServicerContext; the generated base class names its own private one

APPENDS_INFLIGHT_MAX = 256
APPEND_BYTES_INFLIGHT_MAX = 64 << 20

AppendStream = ServerStream[pb.AppendRequest, pb.AppendReply]

_REFUSED = grpc.StatusCode.FAILED_PRECONDITION
_MALFORMED = grpc.StatusCode.INVALID_ARGUMENT


class Arrivals:
    """Says who a message is from, gives it to the core, and words what is refused.

    Network thread only.
    """

    def __init__(
        self,
        node: PeerNode,
        envelopes: Envelopes,
        security: PeerSecurity,
        fatal: FatalPort,
        now: Callable[[], float],
    ) -> None:
        self.node = node
        self.envelopes = envelopes
        self._security = security
        self._fatal = fatal
        self._log = QuietLog(log, now)

    def sender(self, envelope: pb.Envelope, context: Context) -> NodeId:
        """Of anything but Hello. Raises Mismatch, Rejected."""
        return self.envelopes.check_request(envelope, self._impostor(context))

    def hello_from(self, envelope: pb.Envelope, context: Context) -> NodeId:
        """The sender of a Hello. Raises Mismatch, Rejected."""
        return self.envelopes.check_hello(envelope, self._impostor(context))

    def _impostor(self, context: Context) -> Callable[[NodeId], str]:
        """Says why, when the connection's certificate is another node's."""
        return partial(self._security.impostor, context)

    def opened_by(self, context: Context) -> tuple[NodeId, pb.Envelope]:
        """Who opened a stream: before its first message the metadata say so."""
        for key, value in context.invocation_metadata() or ():
            if key == ENVELOPE_KEY:
                try:
                    envelope = pb.Envelope.FromString(value)
                except DecodeError:
                    raise Rejected(f"{ENVELOPE_KEY} is not an Envelope") from None
                return self.sender(envelope, context), envelope
        raise Rejected(f"the metadata lacks {ENVELOPE_KEY}")

    def enter(self, sender: NodeId, request: m.Request, reply: Callable[[m.Reply], None]) -> None:
        """grpc.aio would make a status of our exception and go on: it must stop the node."""
        try:
            self.node.step(request, reply)
        except NodeStopped as error:
            raise Ended(grpc.StatusCode.UNAVAILABLE, f"this node has stopped: {error}") from None
        except ImpossibleMessage as error:
            raise self.suspect(sender, type(request).__name__, error) from None
        except Exception as error:
            self._fatal.fatal(f"the core failed on a {type(request).__name__}", error)
            raise

    def refused(self, what: str, error: Exception) -> Ended:
        """What a stranger is told: a value that he guessed wrong must not be told to him."""
        text = f"{what}: {error}"
        self._log.warning(text[:120], f"refused {text}")
        if isinstance(error, Rejected):
            return Ended(_MALFORMED, text)
        own, hint = self.node.identity.node, getattr(error, "hint", "")
        text = hint or "not for this node, or not from a peer: "
        return Ended(_REFUSED, f"{what}: {text}{own}'s log says why")

    def suspect(self, sender: NodeId, what: str, error: Exception) -> Ended:
        """The envelope is right, and what it holds no correct peer can send."""
        text = f"{what}: {error}"
        self.node.suspect(sender, text)
        return Ended(_MALFORMED if isinstance(error, Rejected) else _REFUSED, text)


async def abort(context: Context, ended: Ended) -> NoReturn:
    """End a call with its status."""
    await context.abort(ended.code, ended.message)
    raise AssertionError("abort raises")  # pragma: no cover


class PeerStreams:
    """Streams of AppendRequests, one from each peer: entries by one method, heartbeats by another.

    Network thread only.
    """

    def __init__(
        self,
        method: str,
        decode: Callable[[pb.AppendRequest, NodeId], m.AppendRequest],
        arrivals: Arrivals,
        connections: Connections,
        on_end: Callable[[NodeId], None],
    ) -> None:
        """on_end: told of a peer whose stream has ended, unless this node stops."""
        self._method = method
        self._decode = decode
        self._arrivals = arrivals
        self._connections = connections
        self._on_end = on_end
        self._streams: dict[NodeId, AppendStream] = {}
        self._draining = False

    def __contains__(self, peer: object) -> bool:
        """Whether a stream of that peer is open."""
        return peer in self._streams

    async def serve(self, context: Context) -> None:
        """One stream's life. A new stream from a node ends its old one."""
        try:
            sender, envelope = self._arrivals.opened_by(context)
        except (Mismatch, Rejected) as error:
            await abort(context, self._arrivals.refused(self._method, error))
        if self._draining:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this node is stopping")
        stream = self._make(sender, envelope, context)
        older = self._streams.get(sender)
        self._streams[sender] = stream
        if older is not None:
            older.end(Ended(grpc.StatusCode.ABORTED, f"a newer stream from {sender} replaced this"))
        try:
            # At once, so that the caller knows that it is connected before it pulls anything.
            await context.send_initial_metadata(())
            await stream.run()
        except Ended as ended:
            await abort(context, ended)
        finally:
            if self._streams.get(sender) is stream:
                del self._streams[sender]
                if not self._draining:
                    self._on_end(sender)

    def _make(self, sender: NodeId, opened: pb.Envelope, context: Context) -> AppendStream:
        arrivals, decode, method = self._arrivals, self._decode, self._method
        check, node = arrivals.envelopes.check_request, arrivals.node
        answer_envelope = arrivals.envelopes.reply_to(opened)
        encode = codec_replies.encode_append_reply

        def on_frame(message: pb.AppendRequest) -> None:
            try:
                if check(message.envelope) != sender:
                    raise Mismatch(
                        f"a message of {message.envelope.sender} on the stream of {sender}"
                    )
            except (Mismatch, Rejected) as error:
                raise arrivals.refused(method, error) from None
            try:
                request = decode(message, sender)
                check_leap(request.term, node.term)
            except Rejected as error:
                raise arrivals.suspect(sender, method, error) from None
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

            arrivals.enter(sender, request, reply)

        stream: AppendStream = server_stream(
            context,
            on_frame,
            APPENDS_INFLIGHT_MAX,
            APPEND_BYTES_INFLIGHT_MAX,
            self._connections.of(context.peer()),
        )
        return stream

    def drain(self) -> None:
        """End them all: the node is stopping. Their callers find another leader."""
        self._draining = True
        for stream in list(self._streams.values()):
            stream.end(Ended(grpc.StatusCode.UNAVAILABLE, "this node is stopping"))
