"""Which keys somebody may read or write: the union of key ranges. Machine's thread."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from raftd.wire.auth import Access
from raftd.wire.spans import EVERYTHING, Span, span_of


class Permission(NamedTuple):
    """range_end as in requests (wire.spans)."""

    key: bytes
    range_end: bytes
    access: Access


class Spans:
    """A union of spans."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = list(_merged(spans))
        self._starts = [span.start for span in self._spans]

    def cover(self, wanted: Span) -> bool:
        """Is every key of `wanted` in one of them? An empty span is asked about by its start."""
        place = bisect_right(self._starts, wanted.start) - 1
        if place < 0:
            return False
        stop = self._spans[place].stop
        if stop is None:
            return True
        if wanted.stop is None or wanted.start >= stop:
            return False
        return wanted.stop <= stop


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """In order, with those that meet or overlap made one, so that a wanted span lies in one."""
    last: Span | None = None
    for span in sorted(spans, key=lambda span: span.start):
        if span.stop is not None and span.stop <= span.start:
            continue
        if last is None:
            last = span
        elif last.stop is None or span.start <= last.stop:
            stop = None if last.stop is None or span.stop is None else max(last.stop, span.stop)
            last = Span(last.start, stop)
        else:
            yield last
            last = span
    if last is not None:
        yield last


class Rights:
    """What a user may do. root: everything."""

    def __init__(self, permissions: Iterable[Permission], root: bool = False) -> None:
        self.root = root
        known = list(permissions)
        self._read = Spans(_spans(known, Access.WRITE))
        self._write = Spans(_spans(known, Access.READ))

    def may_read(self, key: bytes, range_end: bytes = b"") -> bool:
        return self.root or self._read.cover(span_of(key, range_end))

    def may_write(self, key: bytes, range_end: bytes = b"") -> bool:
        return self.root or self._write.cover(span_of(key, range_end))

    def may_read_span(self, span: Span) -> bool:
        return self.root or self._read.cover(span)


def _spans(permissions: Iterable[Permission], without: Access) -> Iterator[Span]:
    for permission in permissions:
        if permission.access is not without:
            yield _granted(permission)


def _granted(permission: Permission) -> Span:
    """A permission from the zero byte on means every key there is."""
    span = span_of(permission.key, permission.range_end)
    return EVERYTHING if span.stop is None and span.start <= b"\0" else span
