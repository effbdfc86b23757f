"""Which protocol all members must speak before the log may hold a command [frozen numbers].

A node that does not know a kind of command refuses it where the others apply it, and their states
part. So a command of a newer kind is proposed only when every member is known to speak the protocol
(`About.protocol`) that the kind came with. A new kind of command means a new protocol, and a line
here. Any thread.
"""

from __future__ import annotations

from typing import Final

from raftd.wire.alarms import ALARM
from raftd.wire.auth import AUTH
from raftd.wire.batch import decode_batch
from raftd.wire.errors import WireError

PROTOCOL_FIRST: Final = 1
"""What every raftd speaks."""

FIRST: Final = frozenset(range(1, 10))
"""Kinds of command, which are their first bytes, that came with it: PUT to LEASE_EXPIRE."""

NEEDS: Final = {AUTH: 2, ALARM: 2}
"""By kind of command that came later."""

NAMES: Final = {AUTH: "a change of users or roles", ALARM: "an alarm"}


def needed(batch: bytes) -> tuple[int, str]:
    """(the protocol that a batch's commands need, which of them in words)."""
    try:
        commands = decode_batch(batch).commands
    except WireError:
        return PROTOCOL_FIRST, ""  # whoever applies it says so
    kinds = {command[0] for _, command in commands if command}
    newest = max(kinds, key=lambda kind: NEEDS.get(kind, PROTOCOL_FIRST), default=0)
    return NEEDS.get(newest, PROTOCOL_FIRST), NAMES.get(newest, "")
