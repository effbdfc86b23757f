"""One peer: what its senders share, why it does not answer, and whether it still leads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
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
from raftd.rpc.plumbing.streams import ENDINGS

FAILURES = (*ENDINGS, Mismatch, Rejected, ImpossibleMessage, TimeoutError, OSError)
"""How a request to a peer may end without a reply that counts."""

DETAILS_MAX = 300

PROBE_INTERVAL_SECONDS = 0.05

ENVELOPE_KEY = "raftd-envelope-bin"
"""The metadata in which whoever opens a stream says who it is."""

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


TROUBLE_SECONDS = 2.0
"""From the first of the calls that failed to the last: by then a restart on the same machine would
be over.
"""

LATELY_SECONDS = 5.0
"""A call failed so lately: who calls nobody any more knows nothing new."""

REASON_MAX = 240

_SILENCE = "no answer in time; is the node paused, or the network cut?"

_KNOWN = {
    "connection refused": "nothing listens there; is the node up, and the address right?",
    "connect call failed": "nothing listens there; is the node up, and the address right?",
    "certificate has expired": "its certificate has expired",
    "certificate expired": "this node's certificate has expired",
    "certificate revoked": "a certificate has been revoked",
    "unable to get local issuer certificate": "its certificate is not of the authority in peer_ca",
    "unable to get issuer certificate": "its certificate is not of the authority in peer_ca",
    "unknown ca": "this node's certificate is not of the authority that it knows",
    "self signed certificate": "its certificate is not of the authority in peer_ca",
    "certificate verify failed": "its certificate is not the one of that node, or not of the "
    "authority in peer_ca, or has expired",
    "wrong version number": "one side speaks TLS and the other one does not",
    "record layer failure": "one side speaks TLS and the other one does not",
    "deadline exceeded": _SILENCE,
    "timed out": _SILENCE,
    "no connection within": _SILENCE,
    "nor an answer to a ping": _SILENCE,
}
"""Words of gRPC's, OpenSSL's and the system's, and what they mean here."""


class Trouble:
    """What the calls to one peer end with, for whoever asks this node what is wrong.

    Network thread, but `why`: any thread.
    """

    __slots__ = ("_last", "_reason", "_since")

    def __init__(self) -> None:
        self._reason = ""
        self._since = self._last = 0.0

    def answered(self) -> None:
        self._reason = ""

    def failed(self, reason: str, now: float) -> None:
        """now: monotonic seconds."""
        if not self._reason or now - self._last > LATELY_SECONDS:
            self._since = now
        self._reason, self._last = reason, now

    def why(self, now: float) -> str:
        """Why nothing has been answered for a while; empty if that is not so, or not known.

        The story with the time since the first failure alone: a follower had called a node once,
        before its port was open, and never again; for seconds it said that nothing listens there.
        """
        lasted = self._last - self._since >= TROUBLE_SECONDS
        if not self._reason or not lasted or now - self._last > LATELY_SECONDS:
            return ""
        return in_plain_words(self._reason)


def in_plain_words(reason: str) -> str:
    told = reason.replace("_", " ").lower()
    meaning = next((meaning for words, meaning in _KNOWN.items() if words in told), "")
    return meaning or reason[:REASON_MAX]


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


class LinkWatch:
    """Fail-over faster than the timers: a killed leader's connections break within milliseconds.

    A broken stream alone proves nothing (a proxy may have restarted), so the leader is asked once
    more on a connection of its own. Only if it does not answer there that it leads, the node is
    told, and even then it only asks the others whether they have lost the leader too.

    Network thread only. One probe a peer at a time, and at most one in PROBE_INTERVAL_SECONDS.
    """

    def __init__(
        self,
        node: PeerNode,
        probe: Callable[[NodeId], Awaitable[bool]],
        fatal: FatalPort,
    ) -> None:
        """probe: does that node answer that it leads? (`Peers.probe`)"""
        self._node = node
        self._probe = probe
        self._fatal = fatal
        self._last: dict[NodeId, float] = {}
        self._tasks: dict[NodeId, asyncio.Task[None]] = {}
        self._closed = False

    def doubt(self, peer: NodeId) -> None:
        """Its append stream ended, or somebody else asks for votes: does it still lead?"""
        loop = asyncio.get_running_loop()
        if self._closed or peer in self._tasks or self._node.state().leader != peer:
            return
        at = max(loop.time(), self._last.get(peer, float("-inf")) + PROBE_INTERVAL_SECONDS)
        self._last[peer] = at
        task = self._tasks[peer] = loop.create_task(self._ask(peer, at - loop.time()))
        task.add_done_callback(lambda ended: self._asked(peer, ended))

    async def _ask(self, peer: NodeId, delay: float) -> None:
        await asyncio.sleep(delay)
        leads = await self._probe(peer)
        if not leads and not self._closed and self._node.state().leader == peer:
            self._node.link_lost(peer)

    def _asked(self, peer: NodeId, task: asyncio.Task[None]) -> None:
        self._tasks.pop(peer, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal.fatal(f"the probe of {peer} failed", error)

    async def close(self) -> None:
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
