"""Sockets to listen at, opened so that a second process on the port is an error."""

from __future__ import annotations

import errno
import socket

BACKLOG = 1024
ACCEPTED_AT_ONCE = 4
"""Connections that a plain asyncio loop takes in one turn: those past a limit wait some turns for
their end, and a crowd would take all descriptors meanwhile.
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
