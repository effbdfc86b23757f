"""Which keys a request means: one key, a range, everything from a key on; as in the etcd v3 API.

    range_end b""      the key alone
    range_end b"\\0"    every key that is not below `key` (key b"\\0": every key there is)
    any other          key <= k < range_end; empty if range_end is not above the key

Any thread, no I/O.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FROM_KEY: Final = b"\0"
"""As a range_end: no upper end."""


class Span(NamedTuple):
    """start <= key < stop; stop None: no upper end."""

    start: bytes
    stop: bytes | None

    def holds(self, key: bytes) -> bool:
        """Is `key` one of these?"""
        return self.start <= key and (self.stop is None or key < self.stop)


EVERYTHING: Final = Span(b"", None)


def span_of(key: bytes, range_end: bytes) -> Span:
    """The keys that a request names by `key` and `range_end`."""
    if not range_end:
        return Span(key, key + b"\0")
    return Span(key, None if range_end == FROM_KEY else range_end)


def prefix_end(prefix: bytes) -> bytes:
    """The range_end that makes a range of all keys that start with `prefix`."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,)) if kept else FROM_KEY


def prefix_span(prefix: bytes) -> Span:
    """All keys that start with `prefix`."""
    return span_of(prefix or FROM_KEY, prefix_end(prefix))
