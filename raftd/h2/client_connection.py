"""A channel's connection."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol
from weakref import WeakSet

from raftd.h2.budget import Budget
from raftd.h2.connection import Connection
from raftd.h2.settings import ChannelSettings

_OPEN: WeakSet[ClientConnection] = WeakSet()
CLOSING_TURNS = 3
"""A transport that was cut closes its socket one turn of the loop later, under TLS two."""


async def cut_all() -> None:
    """Cut every connection of the running loop: it is about to end, whoever still has a channel.

    A socket that nobody closed would be told of as a leak when the interpreter ends.
    """
    loop = asyncio.get_running_loop()
    for connection in [one for one in _OPEN if one.loop is loop]:
        connection.abort("the program ends")
    for _ in range(CLOSING_TURNS):
        await asyncio.sleep(0)


class Owner(Protocol):
    """What is asked of a channel."""

    settings: ChannelSettings
    budget: Budget
    loop: asyncio.AbstractEventLoop

    def forget(self, connection: ClientConnection) -> None: ...

    def leave(self, connection: ClientConnection) -> None: ...


class ClientConnection(Connection):
    """A channel's."""

    client = True

    def __init__(self, channel: Owner) -> None:
        super().__init__(channel.settings.connection, channel.budget, channel.loop)
        self._channel = channel
        self.ready: asyncio.Future[None] = channel.loop.create_future()
        self.over = asyncio.Event()
        _OPEN.add(self)

    def connection_made(self, transport: Any) -> None:
        secure = transport.get_extra_info("ssl_object")
        super().connection_made(transport)
        if secure is not None and secure.selected_alpn_protocol() != "h2":
            self.abort("the server speaks TLS without HTTP/2 (ALPN h2)")

    def on_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def on_lost(self, why: str) -> None:
        self.why = why
        _OPEN.discard(self)
        self.over.set()
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(why))
            self.ready.exception()  # nobody may wait for it any more
        self._channel.forget(self)

    def on_goaway(self, last_stream_id: int, code: int, text: bytes) -> None:
        super().on_goaway(last_stream_id, code, text)
        self._channel.leave(self)
