"""Who watches a key. One key and prefixes are found by hash; other ranges are gone through.

A prefix that a key starts with is the key's own beginning, so it takes a look-up for each length of
prefix that anybody watches, however many prefixes there are. Machine's thread.
"""

from __future__ import annotations

from collections import Counter
from typing import Generic, TypeVar

from raftd.wire.spans import Span, prefix_span

T = TypeVar("T")


class Interest(Generic[T]):
    """Spans, each with those who watch it."""

    def __init__(self) -> None:
        self._points: dict[bytes, dict[T, None]] = {}
        self._prefixes: dict[bytes, dict[T, None]] = {}
        self._lengths: Counter[int] = Counter()
        self._others: dict[Span, dict[T, None]] = {}

    def add(self, span: Span, who: T) -> None:
        if _is_point(span):
            self._points.setdefault(span.start, {})[who] = None
        elif _is_prefix(span):
            group = self._prefixes.setdefault(span.start, {})
            if not group:
                self._lengths[len(span.start)] += 1
            group[who] = None
        else:
            self._others.setdefault(span, {})[who] = None

    def remove(self, span: Span, who: T) -> None:
        if _is_point(span):
            _remove(self._points, span.start, who)
        elif not _is_prefix(span):
            _remove(self._others, span, who)
        elif _remove(self._prefixes, span.start, who):
            self._lengths[len(span.start)] -= 1
            if not self._lengths[len(span.start)]:
                del self._lengths[len(span.start)]

    @property
    def looks(self) -> int:
        """How much work `of` is, in looks at one key."""
        return 1 + (len(self._others) >> 3)

    def of(self, key: bytes) -> list[dict[T, None]]:
        """Groups of those who watch `key`."""
        groups = []
        if point := self._points.get(key):
            groups.append(point)
        for length in self._lengths:
            # A longer prefix is not the key's own beginning, and cut off it would be found again.
            if length <= len(key) and (prefixed := self._prefixes.get(key[:length])):
                groups.append(prefixed)
        for span, group in self._others.items():
            if span.holds(key):
                groups.append(group)
        return groups


K = TypeVar("K")


def _remove(groups: dict[K, dict[T, None]], name: K, who: T) -> bool:
    """True if nobody is left under this name."""
    group = groups[name]
    del group[who]
    if group:
        return False
    del groups[name]
    return True


def _is_point(span: Span) -> bool:
    return span.stop == span.start + b"\0"


def _is_prefix(span: Span) -> bool:
    return span.start != b"" and span == prefix_span(span.start)
