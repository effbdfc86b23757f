"""One channel to a peer, replaced when the peer may have moved or the connection is dead.

gRPC is given numbers, never names (raftd/names.py), so looking a name up again is done here: a
container that comes back with another address is found within some seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

import grpc

from raftd._pb import raft_pb2_grpc
from raftd.core.types import NodeId
from raftd.names import NOWHERE, Names, is_literal
from raftd.rpc.peers.transport import LinkSettings, peer_channel

CallT = TypeVar("CallT")


class Line:
    """Network thread only. Use `stub` anew for every call: it changes."""

    def __init__(
        self,
        address: str,
        settings: LinkSettings,
        names: Names,
        peer: NodeId,
        on_unknown: Callable[[str], None] | None = None,
    ) -> None:
        """on_unknown: told in one line that the name has no address, once until it has one."""
        self.renewals = 0
        self.unknown = ""
        """Why the name has no address, as of the last look-up; empty if it has one."""
        self._address = address
        self._settings = settings
        self._names = names
        self._peer = peer
        self._on_unknown = on_unknown
        self._by_name = not is_literal(address)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finding: asyncio.Task[None] | None = None
        self._looking = self._told = self._closed = False
        self._target = names.known(address) or NOWHERE
        self._open()
        if self._by_name:
            self._look_up()

    def _open(self) -> None:
        tls = self._settings.security.tls
        self._generation = tls.generation if tls is not None else 0
        self._channel = peer_channel(self._target, self._settings, self._address, self._peer)
        self._channel.get_state(try_to_connect=True)  # a new leader's first append should not wait
        self.stub = raft_pb2_grpc.RaftStub(self._channel)
        self._calls: WeakSet[Any] = WeakSet()
        self._well = self._opened = self._loop.time()

    def hold(self, call: CallT) -> CallT:
        """Every call goes through here, so that it ends with the channel that it is on.

        Closing a channel ends what waits for a connection on it only when its own limit has passed.
        """
        self._calls.add(call)
        return call

    @property
    def ready(self) -> bool:
        """Is there a connection, as far as is known? A call without one would only wait."""
        return self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    def look(self, refused: bool = False) -> None:
        """Called now and then. refused: whoever answers there would not have a call of ours.

        It may be another node: containers that come back swap addresses, and the connection stands.
        """
        state = self._channel.get_state(try_to_connect=True)
        now = self._loop.time()
        if state is grpc.ChannelConnectivity.READY and not (refused and self._by_name):
            self._well = now
        elif self._outdated():
            self._replace()
        elif self._by_name and now - self._well >= self._settings.renew_after:
            self._well = now
            self._look_up()

    def _outdated(self) -> bool:
        """Whether the channel would connect with a certificate that has been replaced since."""
        tls = self._settings.security.tls
        return tls is not None and tls.generation != self._generation

    def doubt(self, sent_at: float) -> bool:
        """A call of `sent_at` was not answered, nor anything after it: another connection, please.

        A box on the way may have forgotten this one without a word; gRPC's own pings would tell in
        two seconds. False: the connection is too new for such a verdict.
        """
        now = self._loop.time()
        if (
            self._closed
            or sent_at < self._opened
            or now - self._opened < self._settings.renew_after
        ):
            return False
        self._replace()
        return True

    def _look_up(self) -> None:
        """On a thread, which a silent name server may hold for long. One at a time."""
        if self._looking:
            self._names.look_up(self._address)  # overtakes one that hangs
            return
        self._looking = True
        self._finding = self._loop.create_task(self._find())
        self._keep(self._finding)

    async def _find(self) -> None:
        try:
            target = await asyncio.wrap_future(self._names.look_up(self._address))
        except OSError as error:
            self.unknown = str(error)
            if self._on_unknown is not None and not self._told:
                self._told = True
                self._on_unknown(str(error))
            return
        finally:
            self._looking = False
        self._told, self.unknown = False, ""
        if target != self._target and not self._closed:
            self._target = target
            self._replace()

    def _replace(self) -> None:
        """Calls under way on the old channel end as cancelled."""
        old, calls = self._channel, list(self._calls)
        self._open()
        for call in calls:
            call.cancel()
        self.renewals += 1
        self._keep(self._loop.create_task(_close(old)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self._closed = True
        if self._looking and self._finding is not None:
            self._finding.cancel()  # and no other: they close connections that were replaced
        await asyncio.gather(self._channel.close(), *self._tasks, return_exceptions=True)


async def _close(channel: grpc.aio.Channel) -> None:
    await channel.close()
