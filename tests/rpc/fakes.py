"""A node that does what the test says, and helpers to put it behind real servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from raftd.core import messages as m
from raftd.core.changes import Change
from raftd.core.effects import Event
from raftd.core.types import Configuration, Entry, EntryType, Identity, PeerState, RaftState, Role
from raftd.names import SHARED, Names
from raftd.node.outcomes import Answered, Applied, Done, Outcome
from raftd.rpc.clients.gate import ClientLimits
from raftd.rpc.directory import Directory, PeerAddress
from raftd.rpc.peers.peers import Peers
from raftd.rpc.peers.transport import LinkSettings
from raftd.rpc.plumbing.connections import UnreadLimits
from raftd.rpc.plumbing.ports import H2
from raftd.rpc.server import Servers, ServerSettings, about
from raftd.tls.contexts import Tls
from raftd.wire.batch import decode_batch, encode_results
from tests.rpc.fake_snapshots import FakeSnapshots

CLUSTER = "0123456789abcdef"
VOTERS = ("n1", "n2", "n3")

PATIENT = LinkSettings(
    connect_timeout=5.0,
    control_timeout=10.0,
    read_index_timeout=10.0,
    append_age_max=60.0,
    probe_timeout=10.0,
)
"""A busy machine must not fail a test: where a limit is what is tested, the test sets it."""


transport = H2
"""What carries gRPC in a test; conftest.py lets some tests run on both."""


def incarnation(node: str) -> str:
    return f"inc-{node}"


class Fatal:
    def __init__(self) -> None:
        self.said: list[tuple[str, BaseException | None]] = []

    def fatal(self, what: str, error: BaseException | None) -> None:
        self.said.append((what, error))


class Feed:
    def __init__(self, events: Sequence[tuple[int, float, Event]]) -> None:
        self._events = deque(events)
        self.closed = False

    async def next(self) -> tuple[int, float, Event]:
        if self._events:
            return self._events.popleft()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    def close(self) -> None:
        self.closed = True


class FakeNode(FakeSnapshots):
    """A raftd.rpc.api.Node: what it was told is in its lists, what it does is set by the test."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.identity = Identity(CLUSTER, name, incarnation(name))
        self.expected = {node: incarnation(node) for node in VOTERS if node != name}
        self.owed: dict[tuple[str, m.Channel], deque[m.Request]] = defaultdict(deque)
        self.pulled = 0
        self.replies: list[tuple[str, m.Request, m.Reply]] = []
        self.lost: list[tuple[str, m.Request]] = []
        self.links_lost: list[str] = []
        self.suspected: list[tuple[str, str]] = []
        self.stepped: list[m.Request] = []
        self.on_step: Callable[[m.Request, Callable[[m.Reply], None]], None] = acknowledge
        self.submitted: list[tuple[bytes, Done]] = []
        self.on_submit: Callable[[bytes, Done], None] = apply_at_once
        self.on_query: Callable[[Sequence[bytes], bool, Done], None] = answer_at_once
        self.leads = False
        self.term = 1
        self.leader: str | None = None
        self.healthy = True
        self.control: Outcome = Applied(7, 3, b"n2")
        self.changes: list[Change] = []
        self.events: list[tuple[int, float, Event]] = []
        self.feeds: list[Feed] = []
        self.read_chunk_fails = False

    def expected_incarnation(self, peer: str) -> str | None:
        return self.expected.get(peer)

    def step(self, request: m.Request, reply: Callable[[m.Reply], None]) -> None:
        self.stepped.append(request)
        self.on_step(request, reply)

    def pull(self, peer: str, channel: m.Channel) -> m.Request | None:
        owed = self.owed[peer, channel]
        if not owed:
            return None
        self.pulled += 1
        return owed.popleft()

    def on_reply(self, peer: str, sent: m.Request, reply: m.Reply) -> None:
        self.replies.append((peer, sent, reply))

    def unreachable(self, peer: str, sent: m.Request) -> None:
        self.lost.append((peer, sent))

    def suspect(self, peer: str, what: str) -> None:
        self.suspected.append((peer, what))

    def link_lost(self, peer: str) -> None:
        self.links_lost.append(peer)

    async def read_chunk(self, request: m.SnapshotRequest) -> m.SnapshotRequest:
        if self.read_chunk_fails:
            raise FileNotFoundError("snapshot-1")
        return replace(request, data=b"x" * 10)

    @property
    def settled(self) -> int:
        return len(self.replies) + len(self.lost)

    def submit(self, batch: bytes, done: Done, principal: bytes = b"") -> None:
        self.submitted.append((batch, done))
        self.on_submit(batch, done)

    def query(
        self, queries: Sequence[bytes], stale: bool, done: Done, principal: bytes = b""
    ) -> None:
        self.on_query(queries, stale, done)

    def state(self) -> RaftState:
        return RaftState(
            node=self.identity.node,
            role=Role.LEADER if self.leads else Role.FOLLOWER,
            term=3,
            vote=None,
            leader=self.identity.node if self.leads else self.leader,
            first_index=1,
            last_index=9,
            last_term=3,
            durable_index=9,
            commit_index=8,
            applied_index=7,
            snapshot_index=0,
            snapshot_term=0,
            log_bytes=100,
            admitted=True,
            waiting_for=(),
            refused_by=(),
            configuration=Configuration(VOTERS),
            peers=(PeerState("n2", 8, 9, "replicate", 1, 0.01),) if self.leads else (),
        )

    def problems(self) -> Sequence[str]:
        return () if self.healthy else ("no leader for 3 s",)

    def refusal(self) -> str:
        return ""

    def serving(self) -> bool:
        return self.healthy

    def digest(self, done: Done) -> None:
        done(Answered(7, [(0, b"digest")]))

    def snapshot_now(self, done: Done) -> None:
        done(self.control)

    def transfer(self, target: str | None, done: Done) -> None:
        done(self.control)

    def change(self, change: Change, done: Done) -> None:
        self.changes.append(change)
        done(self.control)

    def subscribe(self, from_start: bool) -> Feed:
        feed = Feed(self.events)
        self.feeds.append(feed)
        return feed


def acknowledge(request: m.Request, reply: Callable[[m.Reply], None]) -> None:
    """The friendliest answer to each request."""
    if isinstance(request, m.AppendRequest):
        last = request.prev_index + len(request.entries)
        reply(m.AppendReply(request.term, True, last, number=request.number))
    elif isinstance(request, m.VoteRequest):
        reply(m.VoteReply(request.term, True, request.pre))
    elif isinstance(request, m.SnapshotRequest):
        end = request.offset + len(request.data)
        reply(m.SnapshotReply(request.term, end, False, number=request.number))
    elif isinstance(request, m.ReadIndexRequest):
        reply(m.ReadIndexReply(request.term, True, 42, number=request.number))
    elif isinstance(request, m.TimeoutNowRequest):
        reply(m.TimeoutNowReply(request.term, number=request.number))
    else:
        me = Identity(CLUSTER, "n2", incarnation("n2"))
        reply(m.HelloReply(me, (("n1", incarnation("n1")),), number=request.number))


def apply_at_once(batch: bytes, done: Done) -> None:
    commands = decode_batch(batch).commands
    done(Applied(5, 3, encode_results([(0, b"did " + command) for _, command in commands])))


def answer_at_once(queries: Sequence[bytes], stale: bool, done: Done) -> None:
    done(Answered(6, [(0, b"saw " + query) for query in queries]))


def append(number: int, count: int = 1, size: int = 16) -> m.AppendRequest:
    entries = tuple(Entry(11 + k, 3, EntryType.BATCH, b"p" * size) for k in range(count))
    return m.AppendRequest(3, "n1", 10, 2, entries, 9, number=number)


class Side:
    """One node with both ports open on loopback."""

    def __init__(
        self,
        node: FakeNode,
        link: LinkSettings,
        clients: ClientLimits,
        listen_peer: str = "127.0.0.1:0",
        client_calls_max: int = 4096,
        names: Names = SHARED,
        unread: UnreadLimits | None = None,
        client_tls: Tls | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        link = replace(link, transport=transport)
        self.node = node
        self.fatal = Fatal()
        self.directory = Directory({})
        mine = about("127.0.0.1:1", f"client.of.{node.identity.node}:2")
        self.peers = Peers(self.directory, mine, link, self.fatal, loop.time, names)
        settings = ServerSettings(
            listen_peer,
            "127.0.0.1:0",
            client_calls_max=client_calls_max,
            link=link,
            clients=clients,
            unread=unread or UnreadLimits(),
            client_tls=client_tls,
        )
        self.servers = Servers(
            node, self.peers, self.directory, mine, settings, self.fatal, loop.time
        )

    @property
    def client_address(self) -> str:
        return f"127.0.0.1:{self.servers.client_port}"

    @property
    def peer_address(self) -> str:
        return f"127.0.0.1:{self.servers.peer_port}"


@contextlib.asynccontextmanager
async def one_side(
    name: str = "n1",
    link: LinkSettings = PATIENT,
    clients: ClientLimits | None = None,
    client_calls_max: int = 4096,
    names: Names = SHARED,
    unread: UnreadLimits | None = None,
    client_tls: Tls | None = None,
) -> AsyncIterator[Side]:
    side = Side(
        FakeNode(name),
        link,
        clients or ClientLimits(),
        client_calls_max=client_calls_max,
        names=names,
        unread=unread,
        client_tls=client_tls,
    )
    await side.servers.start()
    try:
        yield side
    finally:
        await side.servers.stop(0.2)
    assert side.fatal.said == []
    assert side.node.settled == side.node.pulled, "a pulled request got lost, or was settled twice"


@contextlib.asynccontextmanager
async def two_sides(link: LinkSettings = PATIENT) -> AsyncIterator[tuple[Side, Side]]:
    """n1 knows where n2 is, and the other way round."""
    async with one_side("n1", link) as one, one_side("n2", link) as two:
        introduce(one, two)
        yield one, two


def introduce(one: Side, two: Side) -> None:
    for side, other in ((one, two), (two, one)):
        name = other.node.identity.node
        side.directory.advertise(name, PeerAddress(other.peer_address, other.client_address))


async def until(condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    """Wait until `condition` holds; fail with `what` after `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.005)
