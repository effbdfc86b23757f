"""A file and a directory in memory: what the process sees, what is on disk, what lies between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple


class Loss(NamedTuple):
    """How the power goes. keep: the chance of each unsynced sector or name to survive;

    garbage: what does not may hold zeros or noise where it was being written.
    """

    rng: random.Random
    keep: float
    garbage: bool
    sector_bytes: int


class Change(NamedTuple):
    """One write, truncation or growth since the last sync. `new` None: only the size changed."""

    offset: int
    old: bytes
    new: bytes | None
    size_before: int
    size_after: int


class Inode:
    """`data` is what reads see. `pending` leads from the disk's image to `data`, oldest first.

    After a failed sync the two part: the pages count as clean, so no later sync writes them, and
    `disk` keeps what the device really holds until somebody drops the cache or the power goes.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.pending: list[Change] = []
        self.disk: bytearray | None = None

    def write(self, offset: int, new: bytes) -> None:
        before = len(self.data)
        end = offset + len(new)
        old = bytes(self.data[offset:end])
        if before < offset:
            self.data.extend(bytes(offset - before))
        self.data[offset:end] = new
        self.pending.append(Change(offset, old, new, before, len(self.data)))

    def resize(self, size: int) -> None:
        before = len(self.data)
        if size == before:
            return
        old = bytes(self.data[size:])
        if not self.data:
            self.data = bytearray(size)
        elif size > before:
            self.data.extend(bytes(size - before))
        else:
            del self.data[size:]
        self.pending.append(Change(size, old, None, before, size))

    def sync(self) -> None:
        if self.disk is not None:
            for change in self.pending:
                _redo(self.disk, change)
        self.pending.clear()

    def fail_sync(self) -> None:
        """The device refused; the kernel forgets that the pages were dirty."""
        self.disk = self.durable()
        self.pending.clear()

    def forget(self) -> None:
        """Drop clean pages: what is read next comes from the device."""
        if self.disk is None:
            return
        image = self.disk
        for change in self.pending:
            _redo(image, change)
        self.data, self.disk = image, None

    def durable(self) -> bytearray:
        """A copy of what the disk is sure to hold."""
        if self.disk is not None:
            return bytearray(self.disk)
        image = bytearray(self.data)
        for change in reversed(self.pending):
            _undo(image, change)
        return image

    def crash(self, loss: Loss) -> None:
        """Lose unsynced sectors."""
        image = self.durable()
        if self.pending:
            _lose(image, self.pending, loss)
        self.data, self.disk, self.pending = image, None, []


class Directory:
    """Names: what the process sees, what the disk is sure to hold, and the steps between."""

    def __init__(self) -> None:
        self.entries: dict[str, Inode | Directory] = {}
        self.durable: dict[str, Inode | Directory] = {}
        self.pending: list[dict[str, Inode | Directory | None]] = []

    def apply(self, step: dict[str, Inode | Directory | None]) -> None:
        """One atomic step: name -> what it is now, None for gone."""
        self.pending.append(step)
        _apply(self.entries, step)

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self.pending.clear()

    def crash(self, loss: Loss) -> None:
        image = dict(self.durable)
        for step in self.pending:
            if _survivors(1, loss):
                _apply(image, step)
        self.entries, self.durable = image, dict(image)
        self.pending = []


def _apply(names: dict[str, Inode | Directory], step: dict[str, Inode | Directory | None]) -> None:
    for name, node in step.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _undo(image: bytearray, change: Change) -> None:
    if change.new is None:
        if change.size_before > change.size_after:
            image.extend(change.old)
        else:
            del image[change.size_before :]
        return
    image[change.offset : change.offset + len(change.old)] = change.old
    del image[change.size_before :]


def _redo(image: bytearray, change: Change) -> None:
    if change.new is None:
        _fit(image, change.size_after)
        return
    if len(image) < change.offset:
        image.extend(bytes(change.offset - len(image)))
    image[change.offset : change.offset + len(change.new)] = change.new


def _fit(image: bytearray, size: int) -> None:
    if len(image) < size:
        image.extend(bytes(size - len(image)))
    else:
        del image[size:]


def _sectors(change: Change, sector_bytes: int) -> Iterator[tuple[int, int, int]]:
    """(sector, start, end) of the parts of a write."""
    assert change.new is not None
    start, end = change.offset, change.offset + len(change.new)
    while start < end:
        stop = min(end, (start // sector_bytes + 1) * sector_bytes)
        yield start // sector_bytes, start, stop
        start = stop


def _lose(image: bytearray, pending: list[Change], loss: Loss) -> None:
    """A sector holds its state after some prefix of its writes; the size is any size it had."""
    sizes = [pending[0].size_before] + [change.size_after for change in pending]
    size = sizes[_survivors(len(pending), loss)]
    writes: dict[int, list[Change]] = {}
    for change in pending:
        if change.new is not None:
            for sector, _, _ in _sectors(change, loss.sector_bytes):
                writes.setdefault(sector, []).append(change)
    _fit(image, max(size, len(image)))
    for sector, changes in writes.items():
        count = _survivors(len(changes), loss)
        for rank, change in enumerate(changes):
            if rank < count:
                _overlay(image, change, sector, loss, torn=False)
            elif rank == count and loss.garbage:
                _overlay(image, change, sector, loss, torn=True)
    _fit(image, size)


def _survivors(count: int, loss: Loss) -> int:
    """How many of `count` writes to one place made it."""
    if loss.keep >= 1.0:
        return count
    if loss.keep <= 0.0:
        return 0
    return count if loss.rng.random() < loss.keep else loss.rng.randrange(count)


def _overlay(image: bytearray, change: Change, sector: int, loss: Loss, *, torn: bool) -> None:
    """The part of `change` in this sector; or, torn there: nothing, zeros or noise in its place."""
    assert change.new is not None
    start = max(change.offset, sector * loss.sector_bytes)
    stop = min(change.offset + len(change.new), (sector + 1) * loss.sector_bytes)
    part = change.new[start - change.offset : stop - change.offset]
    if torn:
        kind = loss.rng.randrange(3)
        if kind == 0:
            return
        part = bytes(stop - start) if kind == 1 else loss.rng.randbytes(stop - start)
    if len(image) < stop:
        image.extend(bytes(stop - len(image)))
    image[start:stop] = part
