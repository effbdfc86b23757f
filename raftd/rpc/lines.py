"""One channel to a peer, replaced when it stays unconnected: the peer may have moved.

gRPC looks a host name up again only after a back-off of its own, which grows to two minutes and
cannot be configured. A container that comes back with another address after a long absence would
not be found for as long. A new channel asks at once.
"""

from __future__ import annotations

import asyncio
import ipaddress

import grpc

from raftd._pb import raft_pb2_grpc
from raftd.rpc.channels import LinkSettings, peer_channel


class Line:
    """Network thread only. Use `stub` anew for every call: it changes."""

    def __init__(self, address: str, settings: LinkSettings) -> None:
        self.renewals = 0
        self._address = address
        self._settings = settings
        self._by_name = not is_literal(address)
        self._loop = asyncio.get_running_loop()
        self._closing: set[asyncio.Task[None]] = set()
        self._open()

    def _open(self) -> None:
        self._channel = peer_channel(self._address, self._settings)
        self._channel.get_state(try_to_connect=True)  # a new leader's first append should not wait
        self.stub = raft_pb2_grpc.RaftStub(self._channel)
        self._well = self._loop.time()

    def look(self) -> None:
        """Called now and then. Calls under way on a channel that is replaced end as cancelled."""
        state = self._channel.get_state(try_to_connect=True)
        now = self._loop.time()
        if state is grpc.ChannelConnectivity.READY:
            self._well = now
        elif self._by_name and now - self._well >= self._settings.renew_after:
            old = self._channel
            self._open()
            self.renewals += 1
            task = self._loop.create_task(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        await asyncio.gather(self._channel.close(), *self._closing)


def is_literal(address: str) -> bool:
    """Whether the host of `host:port` is a number, which no look-up can change."""
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
