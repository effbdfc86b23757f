"""What may follow what in a log: refused before a byte is written."""

from __future__ import annotations

from collections.abc import Sequence

from raftd.core.effects import BrokenInvariant
from raftd.core.types import Index, Write, WriteSeq
from raftd.storage.replay import NOTHING_BELOW


def follow(
    writes: Sequence[Write], written: WriteSeq, last: Index, floor: Index
) -> tuple[Index, Index]:
    """(last index after them, the lowest index that they override). Raises BrokenInvariant.

    written: the number of the write before them. last: where the log ends. floor: the index of its
    newest snapshot.
    """
    cut, number = NOTHING_BELOW, written
    for write in writes:
        number += 1
        if write.seq != number:
            raise BrokenInvariant(
                f"write {write.seq} comes after write {number - 1}: the log takes every write, in "
                "order; after one that was given up it takes none"
            )
        if write.marker is not None:
            meta = write.marker.meta
            if meta.index < floor:
                raise BrokenInvariant(f"snapshot {meta.index} after snapshot {floor}")
            floor = meta.index
            if write.marker.reset or floor > last:
                last, cut = floor, 1
        if write.entries:
            first = write.entries[0].index
            if first <= floor or first > last + 1:
                raise BrokenInvariant(
                    f"entry {first} in a log that ends at {last}, with snapshot {floor}"
                )
            if first <= last:
                cut = min(cut, first)
            last = first + len(write.entries) - 1
    return last, cut
