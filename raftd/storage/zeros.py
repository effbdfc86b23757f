"""Where what was written ends and the zeros of an allocated file begin.

A segment of 64 MiB that was just begun is all zeros but a few pages, and every start looks at all
of them. `bytes.rstrip` looks at one byte at a time: a third of a second of processor time, more
than any other step of a start. Compared block by block with zeros it is a fiftieth of that.
"""

from __future__ import annotations

_BLOCK = bytes(1 << 16)


def used_end(data: bytes, start: int, end: int) -> int:
    """The end of what is not zero in data[start:end]; `start` if all of it is."""
    end = min(end, len(data))
    while end - start >= len(_BLOCK) and data.startswith(_BLOCK, end - len(_BLOCK)):
        end -= len(_BLOCK)
    first = max(start, end - len(_BLOCK))
    end = first + len(data[first:end].rstrip(b"\0"))
    return max(start, end)
