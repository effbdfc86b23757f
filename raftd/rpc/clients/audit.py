"""One line for each call of an operator's, and for each refusal: who, from where, what, the end.

Nothing that a call carried stands in a line: no token, no password, no key, no value. Network
thread only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from raftd.wire.principal import name_of

LOG: Final = logging.getLogger("raftd.audit")
BURST: Final = 200.0
LINES_PER_SECOND: Final = 20.0
"""Past it lines are left out and counted: whoever is refused must not fill the disk."""


class _Room:
    """For lines of one kind. now: a monotonic clock, seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._left = BURST
        self._at = now()

    def take(self) -> bool:
        """Is there room for one more line? Then it is taken."""
        now = self._now()
        self._left = min(BURST, self._left + (now - self._at) * LINES_PER_SECOND)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Audit:
    """What is done and what is refused have room of their own: otherwise anybody who is refused
    often enough hides what is done meanwhile.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """now: a monotonic clock, seconds."""
        self._for_done = _Room(now)
        self._for_refused = _Room(now)
        self._left_out = 0

    def done(self, call: str, principal: bytes, peer: str) -> None:
        """An operator's call that was not refused."""
        if self._is_room(self._for_done):
            self._write(logging.INFO, f"{call}: by {_shown(principal)}", call, principal, peer)

    def refused(self, call: str, principal: bytes, peer: str, why: str) -> None:
        """Of any caller."""
        if self._is_room(self._for_refused):
            text = f"{call}: refused to {_shown(principal)}: {why}"
            self._write(logging.WARNING, text, call, principal, peer)

    def _write(self, level: int, text: str, call: str, principal: bytes, peer: str) -> None:
        fields = {"event": "audit", "call": call, "user": _shown(principal), "peer": peer}
        if self._left_out:
            fields["left_out"] = str(self._left_out)
            self._left_out = 0
        LOG.log(level, "audit: %s", text, extra=fields)

    def _is_room(self, room: _Room) -> bool:
        if room.take():
            return True
        self._left_out += 1
        return False


def _shown(principal: bytes) -> str:
    """Names are anybody's choice: nothing in one may forge a line."""
    name = name_of(principal)
    return name if name.isprintable() else ascii(name)
