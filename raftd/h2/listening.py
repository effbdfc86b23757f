"""Sockets to listen at, opened so that a second process on the port is an error."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

BACKLOG = 1024
"""Connections that the kernel holds for us. Without room it drops a caller's first packet, and
that is sent again after a whole second: a crowd would cost a probe that second."""
ACCEPTED_AT_ONCE = 4
"""Connections that a plain asyncio loop takes in one turn: those past a limit wait some turns for
their end. It takes as many as the backlog unless told otherwise, and a crowd would take all
descriptors meanwhile, also the log's.
"""


def bound(address: str) -> socket.socket:
    """A listening socket at host:port. Raises OSError, ValueError, OverflowError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, int(port)))
        made.setblocking(False)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def bound_at_all(numbers: Iterable[str]) -> list[socket.socket]:
    """A listening socket at each of these `host:port`s, all with one port. Raises OSError.

    An address that this machine has not is left out. Not so one whose port another process has:
    callers of the name would talk to either of them; the error's `filename` is the address then.
    """
    made: list[socket.socket] = []
    refused: OSError | None = None
    try:
        for number in numbers:
            port = int(made[0].getsockname()[1]) if made else number.rpartition(":")[2]
            where = f"{number.rpartition(':')[0]}:{port}"
            try:
                made.append(bound(where))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise OSError(error.errno, error.strerror, where) from None
                refused = error
        if not made:
            raise refused or OSError(errno.EADDRNOTAVAIL, "the name has no address")
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


def unix_path(address: str) -> str:
    """The path in unix:path, or empty. Raises OSError if somebody listens there.

    A socket file that a killed process left is replaced when the server starts.
    """
    if not address.startswith("unix:"):
        return ""
    path = address.removeprefix("unix:").removeprefix("//")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == 0:
            raise OSError(errno.EADDRINUSE, "another process listens there")
    return path
