"""Where the zeros at the end begin: the same answer as bytes.rstrip, over all edges of blocks."""

from __future__ import annotations

import pytest

from raftd.storage.zeros import used_end

BLOCK = 1 << 16
SIZE = 4 * BLOCK + 77


def plain(data: bytes, start: int, end: int) -> int:
    return start + len(data[start:end].rstrip(b"\0"))


@pytest.mark.parametrize(
    "at", [0, 1, 76, 77, BLOCK - 1, BLOCK, BLOCK + 76, BLOCK + 77, 3 * BLOCK, SIZE - 1, None]
)
def test_it_is_where_rstrip_would_stop(at: int | None) -> None:
    data = bytearray(SIZE)
    if at is not None:
        data[at] = 1
    whole = bytes(data)
    edges = {0, 1, 77, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77, SIZE - 1, SIZE}
    edges |= {at, at + 1} if at is not None else set()
    for start in edges:
        for end in edges:
            if start <= end:
                assert used_end(whole, start, end) == plain(whole, start, end), (start, end)


def test_of_data_that_ends_early() -> None:
    assert used_end(b"ab\0\0", 1, 100) == 2
    assert used_end(b"\0\0", 0, 100) == 0
    assert used_end(b"", 0, 100) == 0
    assert used_end(b"ab", 5, 100) == 5
