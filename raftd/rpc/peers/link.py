"""What the three senders to one peer share: the node, the names, the log and the fatal port."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

import grpc

from raftd._pb import raft_pb2 as pb
from raftd.core.effects import ImpossibleMessage
from raftd.core.messages import HelloReply, NotAdmitted, Reply, Request
from raftd.core.types import NodeId
from raftd.node.outcomes import NodeStopped
from raftd.node.ports import FatalPort
from raftd.quiet import QuietLog
from raftd.rpc.api import PeerNode
from raftd.rpc.directory import Directory, PeerAddress
from raftd.rpc.peers.checks import Rejected, check_leap
from raftd.rpc.peers.envelope import Envelopes, Mismatch
from raftd.rpc.peers.transport import LinkSettings
from raftd.rpc.peers.trouble import Trouble
from raftd.rpc.plumbing.streams import ENDINGS

FAILURES = (*ENDINGS, Mismatch, Rejected, ImpossibleMessage, TimeoutError, OSError)
"""How a request to a peer may end without a reply that counts."""

DETAILS_MAX = 300

_SILENT = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,  # its connection was replaced, or the peer stops
    )
)


def readable(reply: Any) -> Any:
    """A reply that could not be parsed is None to grpc.aio. Raises Rejected."""
    if reply is None:
        raise Rejected("the reply is not the protobuf message that this method returns")
    return reply


def addresses_of(about: pb.About) -> PeerAddress:
    """Where a node says that it is."""
    return PeerAddress(about.peer_address, about.client_address, about.gateway_address)


def told(directory: Directory, node: NodeId, about: pb.About) -> None:
    """A node that takes part has said this of itself."""
    directory.advertise(node, addresses_of(about), about.protocol)


@dataclass(slots=True)
class Link:
    """One peer, as its senders see it. Network thread only."""

    peer: NodeId
    node: PeerNode
    envelopes: Envelopes
    directory: Directory
    about: pb.About
    settings: LinkSettings
    fatal: FatalPort
    log: QuietLog
    closed: bool = False
    trouble: Trouble = field(default_factory=Trouble)
    refused_at: float = float("-inf")  # the peer, or whoever is at its address, refused a call

    def replied(self, sent: Request, reply: Reply) -> bool:
        """False if no correct peer can say this: `sent` then got no reply."""
        self.trouble.answered()
        try:
            if not isinstance(reply, HelloReply | NotAdmitted):
                check_leap(reply.term, self.node.term)
            with contextlib.suppress(NodeStopped):  # then the node itself has said why
                self.node.on_reply(self.peer, sent, reply)
        except (Rejected, ImpossibleMessage) as error:
            self.node.suspect(self.peer, f"{type(reply).__name__}: {error}")
            self.failed(sent, None)
            return False
        return True

    def failed(self, sent: Request, error: BaseException | None) -> None:
        """`sent` will get no reply. An error that nothing here should raise stops the node."""
        if error is not None:
            self.report(type(sent).__name__, error)
        with contextlib.suppress(NodeStopped):
            self.node.unreachable(self.peer, sent)

    def report(self, what: str, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            return
        if not isinstance(error, FAILURES):
            self.fatal.fatal(f"the sender of {what} to {self.peer} failed", error)
            return
        if self.closed:
            return
        if isinstance(error, grpc.aio.AioRpcError):
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                self.refused_at = asyncio.get_running_loop().time()
            if error.code() in _SILENT:
                if error.code() is not grpc.StatusCode.CANCELLED:
                    self._failed(f"{error.code().name}: {error.details() or ''}")
                return  # a peer that is down is what Raft is for: the node's own events tell of it
            text = f"{error.code().name}: {(error.details() or '')[:DETAILS_MAX]}"
        else:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self._failed(str(error) if isinstance(error, Mismatch) else text)
        self.log.warning((self.peer, text[:80]), f"{what} to {self.peer}: {text}")

    def _failed(self, reason: str) -> None:
        self.trouble.failed(reason, asyncio.get_running_loop().time())

    def learn(self, reply: HelloReply, about: pb.About) -> None:
        """A peer that accepts us says where it can be reached."""
        if not reply.refused:
            told(self.directory, self.peer, about)
