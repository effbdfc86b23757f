"""A segment after one without a seal: was it being made when the power went, or is the seal gone?

When a segment is full, the next one is made, synced, and only then named by the seal. So one that
was being made holds nothing behind its header, and all that its header names is in the segment
before, for that had been synced. Anything else proves that acknowledged data is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from raftd.storage.fs import FileSystem
from raftd.storage.segment import BadHeader, Header, holds_more, load_header


def refusal(
    fs: FileSystem, path: str, directory_id: int, number: int, checksums: Mapping[int, int]
) -> str:
    """Why this file may not be thrown away; empty if it may. Raises UnknownFormat, OSError.

    checksums: sequence -> checksum of the batches in the segment before; first that of its header.
    """
    header: Header | None = None
    file = fs.open(path)
    try:
        with suppress(BadHeader):  # torn while it was made, unless something lies behind it
            header = load_header(file, path)
        used = holds_more(file, 0 if header is None else header.size, directory_id)
    finally:
        file.close()
    if used:
        return f"no seal here, but segment {number} was in use: the end of this one is damaged"
    if header is None:
        return ""
    if (header.directory, header.number) != (directory_id, number):
        return f"the file after it, {path}, is segment {header.number} of another data directory"
    newest = header.sequence - 2
    if checksums.get(newest) != header.seed:
        return (
            f"batch {newest} is damaged or missing, and the header of segment {number} says that "
            "it had been synced"
        )
    return ""
