"""The connections to the nodes: how a channel is made, and which of them are open.

`open_channel` is the only place of the client that knows options and credentials. Everything here
runs on the client's loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from grpc import aio

from raftd._pb.admin_pb2_grpc import AdminStub
from raftd._pb.client_pb2 import UNAUTHENTICATED
from raftd._pb.client_pb2_grpc import CommandsStub
from raftd.client.delivery.login import Login
from raftd.client.delivery.no_connection import no_connection
from raftd.client.delivery.policy import AttemptFailed, Next, Verdict, error_of, judge_rpc
from raftd.h2.channel import Channel
from raftd.h2.settings import ChannelSettings, ConnectionSettings
from raftd.names import NOWHERE, SHARED, Names, NameUnknown
from raftd.tls.contexts import client_context, grpc_channel
from raftd.tls.files import TlsFiles, TlsProblem

if TYPE_CHECKING:
    from raftd._pb.admin_pb2_grpc import AdminAsyncStub
    from raftd._pb.client_pb2_grpc import CommandsAsyncStub

CHANNELS_MAX = 128
RECEIVE_BYTES_MAX = 64 << 20
OPTIONS: list[tuple[str, int | str]] = [
    # A node that comes back is found again within about this time.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Connections that die without a word, seen also while nobody calls; the daemon allows pings
    # this often. The second of the three never fires in gRPC 1.85, the third does its work.
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 0),
    # The node bounds what it is sent; answers to many big queries at once may be big.
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
    # Clients of one process do not share their luck with a node's connection.
    ("grpc.use_local_subchannel_pool", 1),
    # Retrying is this package's business: only it knows what is unknown.
    ("grpc.enable_retries", 0),
    # An http_proxy in the environment is for the web, and would swallow loopback addresses.
    ("grpc.enable_http_proxy", 0),
]


RENEW_SECONDS = 2.0
"""A channel that has been without a connection for so long is replaced when it is asked for, and
its name is looked up again: the node may have come back at another address.
"""

DOUBT_SECONDS = 2.0
"""A call was not answered in time, and the connection is older than this: the next call gets a new
one. A younger one is slow rather than dead; a slow cluster must not be drowned in new connections.
"""

RETIRED_SECONDS = 5.0
"""A replaced channel is closed so much later. Closing it earlier would cancel callers that still
wait for it to connect.
"""


def task_is_cancelled() -> bool:
    """A CancelledError came: is it for this task? Else it is a call's whose channel was closed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


CUT = Verdict(Next.ROTATE, False, "the connection was closed")


@contextmanager
def failures_told(address: str) -> Iterator[None]:
    """Raises the errors of raftd.client.errors for what goes wrong in it."""
    try:
        yield
    except AttemptFailed as failed:
        raise error_of(failed.verdict, address) from None
    except aio.AioRpcError as error:
        raise error_of(judge_rpc(error), address) from None
    except asyncio.CancelledError:
        if task_is_cancelled():
            raise
        raise error_of(CUT, address) from None


class NodeChannel(NamedTuple):
    """A channel to one node, and the generated stubs on it."""

    channel: aio.Channel
    commands: CommandsAsyncStub
    admin: AdminAsyncStub


H2_SETTINGS = ChannelSettings(
    connect_timeout=0.5,
    backoff_min=0.1,
    backoff_max=0.5,
    keepalive_idle=False,
    connection=ConnectionSettings(
        keepalive_time=2.0,
        keepalive_timeout=1.0,
        message_max=RECEIVE_BYTES_MAX,
        message_send_max=4 << 20,
    ),
)
"""What OPTIONS say to grpcio."""


def open_channel(
    address: str, target: str, credentials: grpc.ChannelCredentials | None
) -> aio.Channel:
    """A channel to `target`, numbers only. address: what the user calls it, sent as :authority.

    credentials: None for plain text.
    """
    options = [*OPTIONS, ("grpc.default_authority", address)]
    if credentials is None:
        return aio.insecure_channel(target, options=options)
    return aio.secure_channel(target, credentials, options=options)


def open_h2_channel(address: str, target: str, context: ssl.SSLContext | None) -> aio.Channel:
    """The same on raftd/h2. context: None for plain text."""
    ours: Any = Channel(target, H2_SETTINGS, authority=address, context=context)
    same: aio.Channel = ours  # as far as stubs and `Transport` use one
    return same


class Transport:
    """address -> NodeChannel, opened when first asked for."""

    def __init__(
        self,
        tls: TlsFiles | None = None,
        names: Names = SHARED,
        kind: str = "grpcio",
        login: Login | None = None,
    ) -> None:
        """tls: None for plain text. names: who looks names up. kind: see Settings.transport.

        login: None: calls show no token.
        """
        self._login = login
        self._tls = tls
        self._kind = kind
        self._credentials: Any = None
        self._names = names
        self._open: dict[str, NodeChannel] = {}
        self._opened: dict[str, float] = {}
        self._down_since: dict[str, float] = {}
        self._retired: dict[NodeChannel, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def reach(self, address: str, timeout: float) -> NodeChannel:
        """With a connection that stands, within about `timeout` seconds.

        Raises AttemptFailed, and then nothing was sent: that is how a client of a dead cluster
        knows that its command is certainly not done.
        """
        await self._find(address, timeout)
        node = self.get(address)
        await ready(address, node.channel, timeout, self._tls is not None)
        if self._login is not None:
            await self._login.ready(node.channel)
        return node

    def logged_out(self, code: int) -> bool:
        """A node has refused a call with this code of a Failure. True: with a new token, which the
        next `reach` asks for, it may go better.
        """
        if code != UNAUTHENTICATED or self._login is None:
            return False
        self._login.forget()
        return True

    async def _find(self, address: str, timeout: float) -> None:
        """Look the name up when a channel is to be made; an old answer is better than none."""
        node = self._open.get(address)
        if node is not None and not self._is_down(address, node.channel):
            return
        if node is not None:
            self._retire(self._open.pop(address))
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wrap_future(self._names.look_up(address))
        except TimeoutError:
            if self._names.known(address) is None:
                text = f"the name was not found within {timeout:g} s; does the name server answer?"
                raise AttemptFailed(Verdict(Next.ROTATE, True, text)) from None
        except NameUnknown as error:
            if self._names.known(address) is None:
                raise AttemptFailed(Verdict(Next.ROTATE, True, str(error))) from None

    def doubt(self) -> None:
        """Something was not answered in time: connections that are not quite new are replaced when
        they are asked for. All of them: what forgets one forgets its neighbours, too.
        """
        limit = asyncio.get_running_loop().time() - DOUBT_SECONDS
        for address, node in list(self._open.items()):
            if self._opened[address] < limit:
                self._retire(node)
                del self._open[address]

    def get(self, address: str) -> NodeChannel:
        """Raises AttemptFailed when hints have led to too many addresses."""
        node = self._open.get(address)
        if node is not None and self._is_down(address, node.channel):
            self._retire(self._open.pop(address))
            node = None
        if node is None:
            if len(self._open) >= CHANNELS_MAX:
                raise AttemptFailed(
                    Verdict(
                        Next.ROTATE, True, f"{address}: more than {CHANNELS_MAX} addresses hinted"
                    )
                )
            node = self._open[address] = self._make(address)
            self._opened[address] = asyncio.get_running_loop().time()
        return node

    async def close(self) -> None:
        for timer in self._retired.values():
            timer.cancel()
        everything = [*self._open.values(), *self._retired]
        self._open, self._retired = {}, {}
        for node in everything:
            await node.channel.close()
        await asyncio.gather(*self._closing)

    def _is_down(self, address: str, channel: aio.Channel) -> bool:
        """Without a connection at every look for RENEW_SECONDS."""
        if channel.get_state() is grpc.ChannelConnectivity.READY:
            self._down_since.pop(address, None)
            return False
        now = asyncio.get_running_loop().time()
        if now - self._down_since.setdefault(address, now) < RENEW_SECONDS:
            return False
        del self._down_since[address]
        return True

    def _retire(self, node: NodeChannel) -> None:
        def close() -> None:
            del self._retired[node]
            task = loop.create_task(node.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        loop = asyncio.get_running_loop()
        self._retired[node] = loop.call_later(RETIRED_SECONDS, close)

    def _newest_credentials(self) -> Any:
        """As the files are now; those of before while they cannot be used."""
        if self._tls is not None:
            try:
                make = client_context if self._kind == "h2" else grpc_channel
                self._credentials = make(self._tls)
            except TlsProblem as problem:
                if self._credentials is None:
                    raise AttemptFailed(Verdict(Next.ROTATE, True, str(problem))) from None
        return self._credentials

    def _make(self, address: str) -> NodeChannel:
        target = self._names.known(address) or NOWHERE
        make = open_h2_channel if self._kind == "h2" else open_channel
        channel = make(address, target, self._newest_credentials())
        if self._login is not None:
            channel = self._login.showing(channel)
        return NodeChannel(channel, CommandsStub(channel), AdminStub(channel))


async def ready(address: str, channel: aio.Channel, timeout: float, tls: bool = False) -> None:
    """Wait until the connection stands, `timeout` seconds at most.

    Raises AttemptFailed at the first refusal.
    """
    state = channel.get_state(try_to_connect=True)
    if state is grpc.ChannelConnectivity.READY:
        return
    try:
        async with asyncio.timeout(timeout):
            while state is not grpc.ChannelConnectivity.READY:
                if state in (
                    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
                    grpc.ChannelConnectivity.SHUTDOWN,
                ):
                    text = no_connection(getattr(channel, "why", ""), tls)
                    raise AttemptFailed(Verdict(Next.ROTATE, True, text))
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    except TimeoutError:
        text = f"no connection within {timeout:g} s; is the address right and the node up?"
        raise AttemptFailed(Verdict(Next.ROTATE, True, text)) from None
