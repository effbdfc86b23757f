"""Long-lived channels to nodes, on one asyncio loop."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import raftd.grpc_env  # noqa: F401 - its switches must be set before grpc is loaded

import grpc  # isort: skip
from grpc import aio

from raftd._pb import client_pb2 as pb
from raftd.client.failures import Next, Verdict

CHANNELS_MAX = 128
RECEIVE_BYTES_MAX = 64 << 20
OPTIONS: list[tuple[str, int]] = [
    # A node that comes back is found again within about this time.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Hosts that vanish without a word; the daemon allows pings this often.
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 2000),
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
    # A restarted container has another address.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
]


RENEW_SECONDS = 2.0
"""A channel that has been without a connection for so long is replaced when it is asked for. gRPC
itself looks a host name up again only after a back-off that grows to two minutes; a node that came
back at another address would be out of reach for as long.
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

    def __init__(self) -> None:
        self._open: dict[str, Calls] = {}
        self._down_since: dict[str, float] = {}
        self._retired: dict[Calls, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

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
        channel = aio.insecure_channel(address, options=OPTIONS)
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

    Raises AttemptFailed at the first refusal. Nothing was sent then: that is how a client of a dead
    cluster knows that its command is certainly not done.
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
