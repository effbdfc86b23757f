"""Bytes that callers of the gateway make the node keep: requests that come, answers that leave.

Each connection has limits of its own, and a thousand of them at once would still be gigabytes.
Network thread only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SMALL_BYTES = 4096
"""So much of a request, and an answer of this size, is not counted: connections are."""


class Held:
    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self.bytes = 0

    def room(self, size_bytes: int) -> bool:
        """May so much more be kept? An answer that is alone always may."""
        if size_bytes <= SMALL_BYTES or not self.bytes:
            return True
        return self.bytes + size_bytes <= self._most

    @contextmanager
    def kept(self, size_bytes: int) -> Iterator[None]:
        """While it lasts."""
        counted = size_bytes if size_bytes > SMALL_BYTES else 0
        self.bytes += counted
        try:
            yield
        finally:
            self.bytes -= counted
