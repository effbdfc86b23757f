"""Where batches and marks lie in a segment, so that no single block holds a batch and its proof.

What says that a batch was synced is the batch after it, or a mark. If they shared a block with it,
one rotten block would make an acknowledged batch look like a torn write. So batches lie in two
lanes: those with an even sequence and those with an odd one never share a block.

    | header | even | odd | odd | even | even | ... | free

A batch goes behind the last one of its lane if that block has room, else to the first free block
(`frontier`), whose rest is then its lane's. When nothing is written for a while, a mark is put into
both places where the next batch may go: it overwrites one of them at most, so even while that batch
is being written the other one stands. Room for a mark is kept at the end of each lane.

Nothing is written twice for it and nothing is synced for it: a batch is one write of one piece.
`Packed` is version 1: one batch behind the other, without marks.
"""

from __future__ import annotations

from raftd.storage.framing import FORMAT, MARK

MARK_BYTES = MARK.size
BLOCK_BYTES = 4096
"""Bytes that are taken to go bad together: a page, and the sector of today's disks."""
BLOCK_BYTES_MIN = 128
BLOCK_BYTES_MAX = 1 << 20


class Lanes:
    """The places in one segment. Reader and writer follow the same rule by the same object.

    start: where the header ends. allocated: size of the segment, a multiple of the block; both in
    bytes, as all offsets are.
    """

    version = FORMAT

    def __init__(self, start: int, allocated: int, block_bytes: int) -> None:
        self._block = block_bytes
        self._allocated = allocated
        first = up(start, block_bytes)
        self._cursors = [first, first + block_bytes]
        self._ends = [first + block_bytes, first + 2 * block_bytes]
        self._frontier = first + 2 * block_bytes

    def places(self, sequence: int) -> tuple[int, ...]:
        """Where that batch may begin, whatever its size. Marks go there until it is written."""
        return (self._cursors[sequence & 1], self._frontier)

    def place(self, sequence: int, size_bytes: int) -> int:
        """Where that batch begins, if it has that size, header included."""
        lane = sequence & 1
        cursor = self._cursors[lane]
        return cursor if cursor + size_bytes + MARK_BYTES <= self._ends[lane] else self._frontier

    def take(self, sequence: int, offset: int, end: int) -> None:
        """The batch lies there."""
        lane = sequence & 1
        self._cursors[lane] = end
        if offset == self._frontier:
            self._frontier = self._ends[lane] = up(end + MARK_BYTES, self._block)

    def rests(self) -> tuple[tuple[int, int], ...]:
        """Start and end of all that a batch under way may have touched."""
        lanes = zip(self._cursors, self._ends)
        return (*lanes, (self._frontier, self._allocated))

    def fits(self, sequence: int, size_bytes: int) -> bool:
        """Whether the block at the end stays free: it is the seal's."""
        offset = self.place(sequence, size_bytes)
        if offset != self._frontier:
            return True
        end = up(offset + size_bytes + MARK_BYTES, self._block)
        return end <= self._allocated - self._block


class Packed:
    """A segment of version 1."""

    version = 1

    def __init__(self, start: int, allocated: int) -> None:
        self._offset = start
        self._allocated = allocated

    def places(self, sequence: int) -> tuple[int, ...]:
        return (self._offset,)

    def place(self, sequence: int, size_bytes: int) -> int:
        return self._offset

    def take(self, sequence: int, offset: int, end: int) -> None:
        self._offset = end

    def rests(self) -> tuple[tuple[int, int], ...]:
        return ((self._offset, self._allocated),)


def up(size_bytes: int, block_bytes: int) -> int:
    """Rounded up to whole blocks."""
    return -(-size_bytes // block_bytes) * block_bytes


def segment_bytes_for(header_bytes: int, batch_bytes: int, wish_bytes: int, block: int) -> int:
    """Size of a segment that takes a batch of `batch_bytes`: header, lanes, batch, seal."""
    need = up(header_bytes, block) + up(batch_bytes + MARK_BYTES, block) + 3 * block
    return max(up(wish_bytes, block), need)
