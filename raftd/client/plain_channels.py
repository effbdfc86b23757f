"""Channels of the plain blocking client (`direct`): made when first used, no loop."""

from __future__ import annotations

from collections.abc import Iterable

import grpc

from raftd.names import SHARED, Names, NameUnknown

OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # As in channels.py: for `events`, which may go on for days.
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.http2.ping_timeout_ms", 1000),
]


class NoAddress(grpc.RpcError):
    """The name of a node has no address: as good as a node that cannot be reached."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return f"name resolution: {self}"


class PlainChannels:
    """One thread at a time."""

    def __init__(self, names: Names = SHARED) -> None:
        """names: who looks host names up."""
        self._names = names
        self._open: dict[str, grpc.Channel] = {}

    def prepare(self, addresses: Iterable[str]) -> None:
        """Have all their names looked up at once; `get` waits for each."""
        for address in addresses:
            if address not in self._open:
                self._names.look_up(address)

    def get(self, address: str, timeout: float) -> grpc.Channel:
        """Waits at most `timeout` seconds for a name. Raises NoAddress: nothing was sent."""
        channel = self._open.get(address)
        if channel is None:
            try:
                target = self._names.look_up(address).result(timeout)
            except (NameUnknown, TimeoutError) as error:
                why = str(error) or f"{address}: the name was not found in {timeout:g} s"
                raise NoAddress(why) from None
            options = [*OPTIONS, ("grpc.default_authority", address)]
            channel = self._open[address] = grpc.insecure_channel(target, options=options)
        return channel

    def drop(self, address: str) -> None:
        """The next `get` makes another connection."""
        channel = self._open.pop(address, None)
        if channel is not None:
            channel.close()

    def close(self) -> None:
        for address in list(self._open):
            self.drop(address)
