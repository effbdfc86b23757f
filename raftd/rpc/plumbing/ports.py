"""Opening a port, and what all channels and ports have in common."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import grpc.aio

from raftd.names import SHARED, numbers_of

NAME_SECONDS = 5.0
"""For the system to find the own host name before a port is opened there."""

ChannelOptions = list[tuple[str, Any]]


class BindError(Exception):
    """A port could not be opened. One line: which, where, why."""


def connections_max(count: int) -> tuple[str, Any]:
    """A port's limit: gRPC closes what comes beyond it, before it says anything."""
    return ("grpc.max_allowed_incoming_connections", count)


def ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def bind(server: grpc.aio.Server, address: str, field_name: str) -> int:
    """Returns the port. Raises BindError with the system's own reason.

    A host name is looked up by the system, never by gRPC; it may have several addresses.
    """
    try:
        target = SHARED.look_up(address).result(NAME_SECONDS)
    except (OSError, TimeoutError) as error:
        why = str(error) or f"the name was not found within {NAME_SECONDS:g} s"
        raise BindError(f"{field_name}: cannot listen on {address}: {why}") from None
    bound = 0
    for number in numbers_of(target):
        host = number.rpartition(":")[0]
        try:
            bound = server.add_insecure_port(f"{host}:{bound}" if bound else number) or bound
        except RuntimeError:
            continue
    if not bound:
        raise BindError(f"{field_name}: cannot listen on {address}: {_why_not(address)}")
    return bound


def _why_not(address: str) -> str:
    """gRPC does not tell: ask the system the same thing."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, where in found:
            with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
                probe.bind(where)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return f"{reason}; is another raftd running, or the address not this machine's?"
    return "the address is not usable; it must be host:port"
