"""The sockets behind gRPC's back: the connections to our ports, what came in, and an end to one.

gRPC tells nothing of its connections and closes none on request. The kernel does, by descriptor.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Collection, Iterator
from struct import unpack_from
from typing import NamedTuple

DESCRIPTORS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
_TCP_INFO_BYTES = 136
_ACKED_AT = 120
"""tcpi_bytes_acked and tcpi_bytes_received of struct tcp_info, Linux 4.1 and later."""


class Accepted(NamedTuple):
    """acked, received: bytes that went out and came in so far; -1 where no system tells."""

    descriptor: int
    host: str
    port: int
    acked: int
    received: int


def accepted(ports: Collection[int]) -> Iterator[Accepted]:
    """The connections that were made to one of our `ports`."""
    try:
        names = os.listdir(DESCRIPTORS)
    except OSError:
        return
    for name in names:
        found = _look(int(name), ports)
        if found is not None:
            yield found


def _look(descriptor: int, ports: Collection[int]) -> Accepted | None:
    try:
        # Most are files: to ask that first takes a fifth of what a socket that is none takes.
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        looking = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, fileno=descriptor)
    except OSError:  # gone since
        return None
    try:
        own = looking.getsockname()
        if not isinstance(own, tuple) or own[1] not in ports:
            return None
        host, port = looking.getpeername()[:2]
        return Accepted(descriptor, host, port, *_bytes(looking))
    except (OSError, ValueError):  # it listens, or has ended
        return None
    finally:
        looking.detach()


def _bytes(connection: socket.socket) -> tuple[int, int]:
    if sys.platform != "linux":
        return -1, -1
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    if len(info) < _TCP_INFO_BYTES:
        return -1, -1
    acked, received = unpack_from("<QQ", info, _ACKED_AT)
    return acked, received


def end(connection: Accepted) -> None:
    """Both directions at once; gRPC then sees the end and frees all that it kept for it."""
    with contextlib.suppress(OSError):
        # A copy: the number may name another file in the next moment, a copy does not change.
        copy = socket.socket(fileno=os.dup(connection.descriptor))
        with copy:
            if copy.getpeername()[:2] == (connection.host, connection.port):
                copy.shutdown(socket.SHUT_RDWR)
