"""Opening a port, and what all channels and ports have in common."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Protocol

import grpc

from raftd.h2.listening import bound as bound_to
from raftd.h2.ngh2_engine import available
from raftd.h2.server import Server
from raftd.names import SHARED, numbers_of
from raftd.tls.contexts import Tls
from raftd.tls.files import TlsProblem

LOG = logging.getLogger("raftd.rpc")

NAME_SECONDS = 5.0
"""For the system to find the own host name before a port is opened there."""

H2, GRPCIO = "h2", "grpcio"
"""What carries gRPC: raftd/h2 in the network thread, or the library with threads of its own."""


def h2_available() -> bool:
    """Whether this system has what raftd/h2 needs."""
    return available()


Credentials = grpc.ServerCredentials | ssl.SSLContext
"""What the one and the other kind of server takes for TLS."""


class PortServer(Protocol):
    """What both kinds of server have. Network thread only."""

    def add_insecure_port(self, address: str) -> int: ...

    def add_secure_port(self, address: str, server_credentials: Any) -> int: ...

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]
    ) -> None: ...

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None: ...

    async def start(self) -> None: ...

    async def stop(self, grace: float | None) -> None: ...


ChannelOptions = list[tuple[str, Any]]


class BindError(Exception):
    """A port could not be opened. One line: which, where, why.

    forbidden: by the system, to this user. What else there is (a port in use, a name or an address
    that is not there) may be over at a later start.
    """

    def __init__(self, line: str, *, forbidden: bool = False) -> None:
        super().__init__(line)
        self.forbidden = forbidden


def forbidden(error: BaseException) -> str:
    """What to do about a port that this user may not open; empty: it is something else."""
    if not isinstance(error, PermissionError):
        return ""
    return f"{error.strerror}; a port below 1024 takes root, or CAP_NET_BIND_SERVICE"


def connections_max(count: int) -> tuple[str, Any]:
    """A port's limit: gRPC closes what comes beyond it, before it says anything."""
    return ("grpc.max_allowed_incoming_connections", count)


def port_credentials(tls: Tls | None, transport: str) -> Credentials | None:
    """None for plain text. Raises BindError."""
    if tls is None:
        return None
    try:
        if transport == H2:
            return tls.renewing_server
        return tls.grpc_server(lambda problem: LOG.error("TLS: nothing is changed: %s", problem))
    except TlsProblem as problem:
        raise BindError(str(problem)) from None


def ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def bind(
    server: PortServer,
    address: str,
    field_name: str,
    credentials: Credentials | None = None,
    *,
    optional: bool = False,
) -> int:
    """Returns the port. Raises BindError with the system's own reason.

    credentials: None for plain text. optional: plain text is taken beside TLS; only raftd/h2 can.

    A host name is looked up by the system, never by gRPC; it may have several addresses. One that
    this machine has not is left out. Not so one whose port another process has: with a node at
    [::1] and that process at 127.0.0.1, who calls `localhost` would talk to either of them.
    """
    try:
        target = SHARED.look_up(address).result(NAME_SECONDS)
    except (OSError, TimeoutError) as error:
        why = str(error) or f"the name was not found within {NAME_SECONDS:g} s"
        raise BindError(f"{field_name}: cannot listen on {address}: {why}") from None
    bound = 0
    for number in numbers_of(target):
        where = f"{number.rpartition(':')[0]}:{bound}" if bound else number
        try:
            if credentials is not None and optional:
                bound = _either(server, where, credentials) or bound
            elif credentials is None:
                bound = server.add_insecure_port(where) or bound
            else:
                bound = server.add_secure_port(where, credentials) or bound
        except RuntimeError:
            if _in_use(where):
                at = f"{address}: at {where}" if where != address else address
                raise _refused(f"{field_name}: cannot listen on {at}", where) from None
    if not bound:
        raise _refused(f"{field_name}: cannot listen on {address}", address)
    return bound


def _either(server: PortServer, where: str, credentials: Credentials) -> int:
    assert isinstance(server, Server), "a port of gRPC's own takes one kind of connection"
    assert isinstance(credentials, ssl.SSLContext)
    return server.add_either_port(where, credentials)


def _in_use(where: str) -> bool:
    """where: host:port, in numbers. Connections there that have ended do not count."""
    try:
        bound_to(where).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    except (ValueError, OverflowError):
        return False
    return False


def _refused(line: str, address: str) -> BindError:
    """gRPC does not tell why: ask the system the same thing."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, where in found:
            with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
                probe.bind(where)
    except (OSError, ValueError, OverflowError) as error:
        if why := forbidden(error):
            return BindError(f"{line}: {why}", forbidden=True)
        reason = getattr(error, "strerror", None) or str(error)
        hint = "is another raftd running, or the address not this machine's?"
        return BindError(f"{line}: {reason}; {hint}")
    return BindError(f"{line}: the address is not usable; it must be host:port")
