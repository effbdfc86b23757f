"""Whose password is hashed next: callers take turns, by address and by connection of one address.

A hash is slow on purpose and anybody may ask for one. In one queue for all, two connections of a
stranger who tried passwords kept everybody else from logging in. Network thread only.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Final

from raftd.rpc.plumbing.connections import End

WAITING_MAX: Final = 64
"""Hashes that wait for the thread. For one more the newest goes of the connection that has most
waiting, of the address that has most.
"""
SUBNET_BYTES: Final = 8
"""Of an address of version 6: who has one has all of them that begin so."""

Turn = asyncio.Future[None]
"""Done when it is this one's; raises TooManyLogins if it had to go."""
Lines = dict[End, deque[Turn]]
"""By connection, of one address."""
NOBODY: Final[deque[Turn]] = deque()


class TooManyLogins(Exception):
    """WAITING_MAX hashes wait already."""


class LoginQueue:
    def __init__(self) -> None:
        self._lines: dict[bytes, Lines] = {}
        """By address: who comes first in turn is first."""
        self._count = 0

    def add(self, end: End) -> Turn:
        """Wait for it, and then `leave`. Raises TooManyLogins."""
        if self._count >= WAITING_MAX:
            self._make_room(end)
        turn: Turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(_address(end), {}).setdefault(end, deque()).append(turn)
        self._count += 1
        return turn

    def call_next(self) -> bool:
        """Whose turn it is now is told; False: nobody waits."""
        while self._count:
            address = next(iter(self._lines))
            lines = self._lines.pop(address)
            end = next(iter(lines))
            line = lines.pop(end)
            turn = line.popleft()
            self._count -= 1
            if line:
                lines[end] = line
            if lines:
                self._lines[address] = lines
            if not turn.done():  # its caller may have gone
                turn.set_result(None)
                return True
        return False

    def leave(self, end: End, turn: Turn) -> None:
        """It waits no more, whether its turn came or not."""
        address = _address(end)
        lines = self._lines.get(address, {})
        if turn in (line := lines.get(end, deque())):
            line.remove(turn)
            self._count -= 1
            if not line:
                del lines[end]
            if not lines:
                del self._lines[address]

    def close(self) -> None:
        """Who waits is given up."""
        for lines in self._lines.values():
            for line in lines.values():
                for turn in line:
                    turn.cancel()
        self._lines.clear()
        self._count = 0

    def _make_room(self, end: End) -> None:
        """Raises TooManyLogins if nobody has more than `end` would have."""
        own = self._lines.get(_address(end), {})
        lines = max(self._lines.values(), key=_waiting)
        least = 0
        if _waiting(lines) <= _waiting(own) + 1:
            lines, least = own, len(own.get(end, ())) + 1
        most, line = max(lines.items(), key=lambda item: len(item[1]), default=(end, NOBODY))
        if len(line) <= least:
            raise TooManyLogins
        turn = line[-1]
        self.leave(most, turn)
        if not turn.done():
            turn.set_exception(TooManyLogins())


def _waiting(lines: Lines) -> int:
    return sum(map(len, lines.values()))


def _address(end: End) -> bytes:
    host = end[0]
    if ":" not in host:
        return host.encode()
    try:
        return socket.inet_pton(socket.AF_INET6, host)[:SUBNET_BYTES]
    except OSError:
        return host.encode()
