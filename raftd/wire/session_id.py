"""A session's id: 16 random bytes that its client drew, and the index of the entry that opened it.

The random half cannot be guessed, so nobody else can close a session or use it. It is drawn before
the entry exists and travels in it: replicas never draw. A second attempt to open with the same half
finds the session of the first, so that retries leave no sessions behind. The index tells one life
of a session from the next: when an attempt that was on its way for long opens it anew after it has
expired, the numbers of the first life are not executed again in the second.

The index alone is no secret: it is what people see of a session.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import Final

from raftd.wire.errors import WireError

NONCE_BYTES: Final = 16
INDEX: Final = Struct("<Q")
ID_BYTES: Final = NONCE_BYTES + INDEX.size
NO_SESSION: Final = bytes(ID_BYTES)
NO_NONCE: Final = bytes(NONCE_BYTES)
_NO_INDEX: Final = bytes(INDEX.size)


def draw() -> bytes:
    """The random half of a new id, from the operating system. Any thread, any process."""
    return os.urandom(NONCE_BYTES)


def of_nonce(nonce: bytes) -> bytes:
    """What an OPEN batch carries: the index is not known yet. Raises WireError."""
    if len(nonce) != NONCE_BYTES or nonce == NO_NONCE:
        raise WireError(f"session: {len(nonce)} random bytes, must be {NONCE_BYTES}, not all zero")
    return nonce + _NO_INDEX


def opened_at(session: bytes) -> int:
    """The index of the entry that opened it, 0 for none: for people, it opens no door."""
    return int.from_bytes(session[-INDEX.size :], "little")


def with_index(field: bytes, index: int) -> bytes:
    """The id that entry `index` makes of what its OPEN batch carries."""
    return field[:NONCE_BYTES] + INDEX.pack(index)


def is_id(session: bytes) -> bool:
    return (
        len(session) == ID_BYTES
        and session[NONCE_BYTES:] != _NO_INDEX
        and session[:NONCE_BYTES] != NO_NONCE
    )


def of_version_1(index: int) -> bytes:
    """What a session of version 1 is called here: shorter than any id of today."""
    return INDEX.pack(index)


def is_version_1(session: bytes) -> bool:
    return len(session) == INDEX.size and session != _NO_INDEX


def checked(session: bytes) -> bytes:
    """Raises WireError for what cannot be an id."""
    if not is_id(session):
        raise WireError(
            f"session id: {len(session)} bytes that are none, must be the {ID_BYTES} of OpenSession"
        )
    return session


def shown(session: bytes) -> str:
    """For a message: never the random half."""
    if session == NO_SESSION:
        return "0"
    return f"opened at {opened_at(session)}"
