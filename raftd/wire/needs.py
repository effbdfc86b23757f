"""Which protocol all members must speak before the log may hold a command [frozen numbers].

A node that does not know a kind of command refuses it where the others apply it, and their states
part. So a command of a newer kind is proposed only when every member is known to speak the protocol
(`About.protocol`) that the kind came with, and by no node that does not know it itself: an older
one may lead newer ones. A new kind of command means a new protocol, and a line here. Any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from raftd.wire.alarms import ALARM
from raftd.wire.auth import AUTH
from raftd.wire.batch import COMMAND_HEAD, HEADER

PROTOCOL_FIRST: Final = 1
"""What every raftd speaks."""

FIRST: Final = frozenset(range(1, 10))
"""Kinds of command, which are their first bytes, that came with it: PUT to LEASE_EXPIRE."""

NEEDS: Final = {AUTH: 2, ALARM: 2}
"""By kind of command that came later."""

NAMES: Final = {AUTH: "a change of users or roles", ALARM: "an alarm"}


KNOWN: Final = FIRST | NEEDS.keys()


def kinds_in(batch: bytes) -> set[int]:
    """Of its commands. batch: as `check_batch` has let it pass. On every batch's way, so it copies
    nothing.
    """
    kinds: set[int] = set()
    count, at, head = HEADER.unpack_from(batch)[2], HEADER.size, COMMAND_HEAD.size
    for _ in range(count):
        _, length = COMMAND_HEAD.unpack_from(batch, at)
        at += head
        if length:
            kinds.add(batch[at])
        at += length
    return kinds


def needed(kinds: Iterable[int]) -> tuple[int, str]:
    """(the protocol that commands of these kinds need, which of them in words)."""
    newest = max(kinds, key=lambda kind: NEEDS.get(kind, PROTOCOL_FIRST), default=0)
    return NEEDS.get(newest, PROTOCOL_FIRST), NAMES.get(newest, "")
