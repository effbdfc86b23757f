"""Long-lived channels to nodes, on one asyncio loop."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import grpc
from grpc import aio

from raftd._pb import client_pb2 as pb
from raftd.client.failures import Next, Verdict
from raftd.names import NOWHERE, SHARED, Names, NameUnknown

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
"""A replaced channel is closed so much later: whoever still waits for it to connect has given up by
then, and closing it under a waiter would cancel him.
"""


class AttemptFailed(Exception):
    """An attempt that did not even reach the stage of a stream; nothing was sent that could be
    done.
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class Calls(NamedTuple):
    """One node's channel and the calls that the client makes on it, bound to raw messages."""

    channel: aio.Channel
    pipeline: aio.StreamStreamMultiCallable[pb.PipelineRequest, pb.PipelineReply]
    open_session: aio.UnaryUnaryMultiCallable[pb.OpenSessionRequest, pb.OpenSessionReply]
    close_session: aio.UnaryUnaryMultiCallable[pb.CloseSessionRequest, pb.CloseSessionReply]


class Channels:
    """address -> Calls, opened when first asked for. Loop only."""

    def __init__(self, names: Names = SHARED) -> None:
        """names: who looks host names up."""
        self._names = names
        self._open: dict[str, Calls] = {}
        self._opened: dict[str, float] = {}
        self._down_since: dict[str, float] = {}
        self._retired: dict[Calls, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def reach(self, address: str, timeout: float) -> Calls:
        """With a connection that stands, within about `timeout` seconds.

        Raises AttemptFailed, and then nothing was sent: that is how a client of a dead cluster
        knows that its command is certainly not done.
        """
        await self._find(address, timeout)
        calls = self.get(address)
        await ready(address, calls.channel, timeout)
        return calls

    async def _find(self, address: str, timeout: float) -> None:
        """Look the name up when a channel is to be made; an old answer is better than none."""
        calls = self._open.get(address)
        if calls is not None and not self._is_down(address, calls.channel):
            return
        if calls is not None:
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
        for address, calls in list(self._open.items()):
            if self._opened[address] < limit:
                self._retire(calls)
                del self._open[address]

    def get(self, address: str) -> Calls:
        """Raises AttemptFailed when hints have led to too many addresses."""
        calls = self._open.get(address)
        if calls is not None and self._is_down(address, calls.channel):
            self._retire(self._open.pop(address))
            calls = None
        if calls is None:
            if len(self._open) >= CHANNELS_MAX:
                raise AttemptFailed(
                    Verdict(
                        Next.ROTATE, True, f"{address}: more than {CHANNELS_MAX} addresses hinted"
                    )
                )
            calls = self._open[address] = self._make(address)
            self._opened[address] = asyncio.get_running_loop().time()
        return calls

    async def close(self) -> None:
        for timer in self._retired.values():
            timer.cancel()
        everything = [*self._open.values(), *self._retired]
        self._open, self._retired = {}, {}
        for calls in everything:
            await calls.channel.close()
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

    def _retire(self, calls: Calls) -> None:
        def close() -> None:
            del self._retired[calls]
            task = loop.create_task(calls.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        loop = asyncio.get_running_loop()
        self._retired[calls] = loop.call_later(RETIRED_SECONDS, close)

    def _make(self, address: str) -> Calls:
        target = self._names.known(address) or NOWHERE
        options = [*OPTIONS, ("grpc.default_authority", address)]
        channel = aio.insecure_channel(target, options=options)
        base = "/raftd.client.v1.Commands/"
        return Calls(
            channel,
            channel.stream_stream(
                base + "Pipeline",
                request_serializer=pb.PipelineRequest.SerializeToString,
                response_deserializer=pb.PipelineReply.FromString,
            ),
            channel.unary_unary(
                base + "OpenSession",
                request_serializer=pb.OpenSessionRequest.SerializeToString,
                response_deserializer=pb.OpenSessionReply.FromString,
            ),
            channel.unary_unary(
                base + "CloseSession",
                request_serializer=pb.CloseSessionRequest.SerializeToString,
                response_deserializer=pb.CloseSessionReply.FromString,
            ),
        )


async def ready(address: str, channel: aio.Channel, timeout: float) -> None:
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
                    raise AttemptFailed(
                        Verdict(Next.ROTATE, True, "cannot connect; is the node up?")
                    )
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    except TimeoutError:
        text = f"no connection within {timeout:g} s; is the address right and the node up?"
        raise AttemptFailed(Verdict(Next.ROTATE, True, text)) from None
