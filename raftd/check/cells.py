"""What is under a key, whether an answer agrees with it, and what a put makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from raftd.check.operations import Item, shown


class Cell(NamedTuple):
    """What is under a key. mod, create: revisions of its last and first put; 0: not known."""

    value: bytes
    version: int
    mod: int
    create: int = 0
    lease: int = 0


Changes = dict[bytes, Cell | None]
Lookup = Callable[[bytes], Cell | None]


class Mismatch(Exception):
    """The answer cannot be given in this state. key: where it disagrees."""

    def __init__(self, reason: str, key: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key


def put_over(cell: Cell | None, value: bytes, revision: int, lease: int = 0) -> Cell:
    """A put over what was there."""
    if cell is None:
        return Cell(value, 1, revision, revision, lease)
    return Cell(value, cell.version + 1, revision, cell.create, lease)


def agree(item: Item | None, cell: Cell | None, key: bytes) -> None:
    if item is None or cell is None:
        if item is not None:
            raise Mismatch(f"it shows {shown(item.value)}, but {shown(key)} was absent", key)
        if cell is not None:
            raise Mismatch(f"it shows nothing, but {shown(key)} was {shown(cell.value)}", key)
        return
    if item.value is not None and item.value != cell.value:
        raise Mismatch(f"it shows {shown(item.value)}, expected {shown(cell.value)}", key)
    if item.version is not None and item.version != cell.version:
        raise Mismatch(f"it shows version {item.version}, expected {cell.version}", key)
    if item.mod_revision is not None and cell.mod and item.mod_revision != cell.mod:
        raise Mismatch(f"it shows mod_revision {item.mod_revision}, expected {cell.mod}", key)
    created = item.create_revision
    if created is not None and cell.create and created != cell.create:
        raise Mismatch(f"it shows create_revision {created}, expected {cell.create}", key)
    if item.lease is not None and item.lease != cell.lease:
        raise Mismatch(f"it shows lease {item.lease:x}, expected {cell.lease:x}", key)
