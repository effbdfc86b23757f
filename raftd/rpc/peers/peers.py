"""The way to the peers: `node.ports.PeerTransport` over three channels a peer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from raftd._pb import raft_pb2 as pb
from raftd._pb import raft_pb2_grpc
from raftd.core.messages import Channel
from raftd.core.types import Configuration, Member, NodeId
from raftd.names import NOWHERE, SHARED, Names
from raftd.node.health import Ailment
from raftd.node.outcomes import Outcome, Refusal, Refused
from raftd.node.ports import FatalPort
from raftd.quiet import QuietLog
from raftd.rpc.api import CannotMeet, PeerNode
from raftd.rpc.directory import Directory
from raftd.rpc.peers.append_sender import AppendSender
from raftd.rpc.peers.checks import Rejected
from raftd.rpc.peers.envelope import Envelopes, Mismatch
from raftd.rpc.peers.forwarding import Forward, forward
from raftd.rpc.peers.lines import Line
from raftd.rpc.peers.link import DETAILS_MAX, Link, addresses_of, readable
from raftd.rpc.peers.senders import BulkSender, ControlSender
from raftd.rpc.peers.transport import LinkSettings, peer_channel
from raftd.rpc.plumbing.streams import ENDINGS
from raftd.wire.refusals import DOES_NOT_ANSWER

log = logging.getLogger("raftd.rpc")

LEAVE_SECONDS = 1.0
"""For so long a line that is left stays open for what is forwarded on it."""
STRANGER_SECONDS = 1.0
"""After so long the lines to a node that is no member close, unless it leads."""


class Peers:
    """Network thread only, and made there. `wake` may come before `start`: it is remembered."""

    def __init__(
        self,
        directory: Directory,
        about: pb.About,
        settings: LinkSettings,
        fatal: FatalPort,
        now: Callable[[], float],
        names: Names = SHARED,
    ) -> None:
        """about: what Hello says of this node (`server.about`). now: a monotonic clock, seconds.

        names: who looks host names up.
        """
        self._directory = directory
        directory.moved = self._moved
        self._about = about
        self._settings = settings
        self._fatal = fatal
        self._log = QuietLog(log, now)
        self._names = names
        self._node: PeerNode | None = None
        self._envelopes: Envelopes | None = None
        self._outlets: dict[NodeId, Outlet] = {}
        self._early: dict[tuple[NodeId, Channel], None] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._configuration: Configuration | None = None
        self._leaving: asyncio.TimerHandle | None = None

    def start(self, node: PeerNode) -> None:
        """From now on requests are pulled from `node`."""
        self._node = node
        self._envelopes = Envelopes.at(node, self._settings.security, self._directory)
        early, self._early = self._early, {}
        for peer, channel in early:
            self.wake(peer, channel)

    def wake(self, peer: NodeId, channel: Channel) -> None:
        outlet = self._outlets.get(peer)
        if outlet is None:
            if self._closed:
                return
            if self._node is None:
                self._early[peer, channel] = None
                return
            outlet = self._open(peer)
            if outlet is None:
                return
        outlet.senders[channel].wake()

    def members(self, configuration: Configuration) -> None:
        """Links to who is gone or has moved are closed; the next wake opens others."""
        self._configuration = configuration
        self._directory.agree(configuration.about)
        for peer, outlet in list(self._outlets.items()):
            moved = self._directory.get(peer).peer_address != outlet.address
            if moved or not configuration.is_member(peer):
                self._leave(peer)

    def _moved(self, peer: NodeId) -> None:
        """It says that it is elsewhere now: the lines there open at once.

        The story without it: a node came back at another address and told so in its Hello, and was
        called at the old one until the members changed, whoever of them that was about.
        """
        if peer in self._outlets:
            self._leave(peer)
            for channel in Channel:
                self.wake(peer, channel)

    def _leave(self, peer: NodeId) -> None:
        closing = asyncio.get_running_loop().create_task(self._outlets.pop(peer).leave())
        self._closing.add(closing)
        closing.add_done_callback(self._closed_one)

    def _is_strange(self, peer: NodeId) -> bool:
        return self._configuration is not None and not self._configuration.is_member(peer)

    def _leave_strangers(self) -> None:
        """Close the lines to who is no member, and opened after it was told so.

        Whoever leads may be asked something while it removes itself, or before this node knows it
        as a member. A line that then stayed open called a node that is gone for ever, and this node
        called itself ill for it.
        """
        self._leaving = None
        assert self._node is not None
        leader = self._node.state().leader
        for peer in [peer for peer in self._outlets if self._is_strange(peer) and peer != leader]:
            self._leave(peer)
        self._leave_strangers_later()

    def _leave_strangers_later(self) -> None:
        if self._leaving is None and any(map(self._is_strange, self._outlets)):
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(STRANGER_SECONDS, self._leave_strangers)

    def _closed_one(self, closing: asyncio.Task[None]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled() and (error := closing.exception()) is not None:
            self._fatal.fatal("closing the links to a peer failed", error)

    def ailments(self) -> Iterator[Ailment]:
        """Whom this node calls without an answer, and why; who is two. Any thread."""
        yield from map(Ailment, self._directory.lives.twins())
        for peer, outlet in list(self._outlets.items()):
            if why := outlet.why():
                yield Ailment(f"{peer} {DOES_NOT_ANSWER} {outlet.address}: {why}")

    async def probe(self, peer: NodeId) -> bool:
        """Does `peer` answer on a new connection, within probe_timeout, that it leads?"""
        address = self._directory.get(peer).peer_address
        if self._envelopes is None or not address or self._closed:
            return False
        try:
            envelope = self._envelopes.request_to(peer)
            target = self._names.known(address) or NOWHERE  # the lines look it up
            async with peer_channel(target, self._settings, address, peer) as channel:
                call = raft_pb2_grpc.RaftStub(channel).Probe(
                    pb.ProbeRequest(envelope=envelope), timeout=self._settings.probe_timeout
                )
                reply = readable(await call)
            self._envelopes.check_reply(reply.envelope, peer)
        except (*ENDINGS, Mismatch, Rejected):
            return False
        return bool(reply.leads)

    async def forward(self, leader: NodeId, what: Forward) -> Outcome:
        """Have `leader` do what clients ask. On the append line: a follower sends no entries."""
        outlet = self._outlets.get(leader) or (None if self._closed else self._open(leader))
        if outlet is None or self._closed or self._envelopes is None or self._node is None:
            return Refused(Refusal.NOT_LEADER, f"{leader} cannot be reached now", None)
        node, envelopes, line = self._node, self._envelopes, outlet.lines[Channel.APPEND]
        with outlet.forwarding():
            return await forward(
                line, envelopes, leader, what, lambda: node.state().leader == leader
            )

    async def meet(self, node: NodeId, peer_address: str) -> Member:
        """Say hello to a node that is no member yet: its incarnation, and where clients reach it.

        Raises CannotMeet, in one line, after meet_timeout at the latest.
        """
        assert self._envelopes is not None
        timeout = self._settings.meet_timeout
        try:
            target = await asyncio.wait_for(
                asyncio.wrap_future(self._names.look_up(peer_address)), timeout
            )
            async with peer_channel(target, self._settings, peer_address, node) as channel:
                hello = pb.HelloRequest(envelope=self._envelopes.hello_to(node), about=self._about)
                stub = raft_pb2_grpc.RaftStub(channel)
                call = stub.Hello(hello, timeout=timeout)
                reply = readable(await call)
            self._envelopes.check_hello_reply(reply.envelope, node)
        except grpc.aio.AioRpcError as error:
            why = f"{error.code().name}: {(error.details() or '')[:DETAILS_MAX]}"
            raise CannotMeet(f"{node} {DOES_NOT_ANSWER} {peer_address}: {why}") from None
        except (*ENDINGS, Mismatch, Rejected, TimeoutError, OSError) as error:
            why = str(error) or f"the name was not found within {timeout:g} s"
            raise CannotMeet(f"{node} cannot be met at {peer_address}: {why}") from None
        if reply.refused:
            raise CannotMeet(f"{node} at {peer_address} refuses: {reply.refused[:DETAILS_MAX]}")
        if why := self._directory.unfit(reply.about.protocol):
            raise CannotMeet(f"{node} at {peer_address} cannot take part: {why}")
        place = addresses_of(reply.about)
        incarnation = reply.envelope.sender_incarnation
        return Member(node, place.peer_address, place.client_address, incarnation)

    async def close(self) -> None:
        """Every request in flight is reported unreachable; then the connections go."""
        self._closed = True
        if self._leaving is not None:
            self._leaving.cancel()
        await asyncio.gather(*(outlet.close() for outlet in self._outlets.values()))
        self._outlets.clear()
        await asyncio.gather(*self._closing)

    def _open(self, peer: NodeId) -> Outlet | None:
        assert self._node is not None
        assert self._envelopes is not None
        address = self._directory.get(peer).peer_address
        if not address:
            self._log.warning(
                (peer, "address"), f"no address of {peer} is known: add it to the configured peers"
            )
            return None
        link = Link(
            peer=peer,
            node=self._node,
            envelopes=self._envelopes,
            directory=self._directory,
            about=self._about,
            settings=self._settings,
            fatal=self._fatal,
            log=self._log,
        )
        outlet = self._outlets[peer] = Outlet(link, address, self._names)
        self._leave_strangers_later()
        return outlet


class Outlet:
    """Three lines to one peer, each with a connection of its own, and their senders."""

    def __init__(self, link: Link, address: str, names: Names) -> None:
        self.link = link
        self.address = address
        self.lines = {
            channel: Line(
                address,
                link.settings,
                names,
                link.peer,
                self._unknown if channel is Channel.CONTROL else None,
            )
            for channel in Channel
        }
        append = AppendSender(link, self.lines[Channel.APPEND])
        self.senders: dict[Channel, ControlSender | AppendSender | BulkSender] = {
            Channel.CONTROL: ControlSender(
                link, self.lines[Channel.CONTROL], append.contact, append.doubt
            ),
            Channel.APPEND: append,
            Channel.BULK: BulkSender(link, self.lines[Channel.BULK]),
        }
        self._loop = asyncio.get_running_loop()
        self._forwarded: set[asyncio.Future[None]] = set()
        self._look()

    @contextmanager
    def forwarding(self) -> Iterator[None]:
        """While something that was forwarded is under way on these lines."""
        under_way = self._loop.create_future()
        self._forwarded.add(under_way)
        try:
            yield
        finally:
            self._forwarded.discard(under_way)
            under_way.set_result(None)

    def why(self) -> str:
        """Why the peer does not answer; empty if it does. Any thread."""
        found = self.link.trouble.why(self._loop.time())
        return self.lines[Channel.CONTROL].unknown or found if found else ""

    def _unknown(self, why: str) -> None:
        self.link.log.warning((self.link.peer, "name"), f"{self.link.peer}: {why}; asking on")

    def _look(self) -> None:
        lately = self._loop.time() - 2 * self.link.settings.renew_after
        for line in self.lines.values():
            line.look(refused=self.link.refused_at > lately)
        self._timer = self._loop.call_later(self.link.settings.renew_after / 4, self._look)

    async def leave(self) -> None:
        """Close, but hear what was forwarded out. The story without it: a leader that is asked by a
        follower to remove itself, or to be elsewhere, does so, and nobody hears of it: the follower
        shuts the line to whom the change is about.
        """
        await self._stop_sending()
        if self._forwarded:
            await asyncio.wait(list(self._forwarded), timeout=LEAVE_SECONDS)
        await self.close()

    async def _stop_sending(self) -> None:
        self.link.closed = True
        self._timer.cancel()
        await asyncio.gather(*(sender.close() for sender in self.senders.values()))

    async def close(self) -> None:
        await self._stop_sending()
        await asyncio.gather(*(line.close() for line in self.lines.values()))
