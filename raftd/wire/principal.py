"""Who asks, as it stands in a batch and beside a query [frozen format, little-endian].

    nobody       no bytes: auth is off, or the caller showed nothing
    the node     one zero byte: what a node's own machine, or its own program, wants
    a user       serial u64, name in UTF-8

A user's serial is the auth revision at which the user was made, or given the present password. What
a caller proved long ago counts no more once that has changed, also for a user of the same name who
was made anew. Any thread, no I/O.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

NOBODY: Final = b""
OWN: Final = b"\0"
"""No user's: those are longer."""

SERIAL: Final = Struct("<Q")
NAME_BYTES_MAX: Final = 240
"""Of a user's or a role's name; a batch has room for 256 bytes with the serial."""


def of_user(name: str, serial: int) -> bytes:
    """name: checked before, see NAME_BYTES_MAX."""
    return SERIAL.pack(serial) + name.encode()


def user_of(principal: bytes) -> tuple[str, int] | None:
    """(name, serial) of a user's; None for nobody and for the node itself."""
    if len(principal) <= SERIAL.size:
        return None
    (serial,) = SERIAL.unpack_from(principal)
    return principal[SERIAL.size :].decode("utf-8", "replace"), serial


def name_of(principal: bytes) -> str:
    """For people: the user's name, `-` for nobody, `(node)` for the node itself."""
    user = user_of(principal)
    if user is not None:
        return user[0]
    return "(node)" if principal == OWN else "-"
