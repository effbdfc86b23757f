"""The first segment of a log, and the next: what is tried, in which order, on a full disk."""

from __future__ import annotations

from collections.abc import Callable

from raftd.core.types import Index
from raftd.storage.errors import NoFiles, NoSpace, is_no_files
from raftd.storage.fs import File, FileSystem
from raftd.storage.lanes import BLOCK_BYTES
from raftd.storage.reserve import Reserve
from raftd.storage.segment import Books, Header, make_segment, segment_name

SHORT_SHARE = 16
"""A short segment has this part of a full one's size, or what its first batch needs."""

Made = tuple[File, Header]


def create_log(
    fs: FileSystem,
    directory: str,
    directory_id: int,
    segment_bytes: int,
    block_bytes: int = BLOCK_BYTES,
) -> None:
    """The first segment of a new log, synced; its name is not. Raises NoSpace."""
    path = f"{directory}/{segment_name(1)}"
    file, _ = make_segment(
        fs, path, directory_id, 1, segment_bytes, 1, 0, 0, Books(), block=block_bytes
    )
    file.close()


def next_segment(
    make: Callable[[int], Made], full_bytes: int, relieve: Callable[[], bool], reserve: Reserve
) -> Made:
    """A full one or, on a disk without room for that, a short one.

    make: of so many bytes. relieve: let go what may go; False: nothing went. Raises NoSpace if all
    was in vain, and what `make` raises besides.
    """
    short_bytes = full_bytes // SHORT_SHARE
    attempts: tuple[tuple[int, Callable[[], bool]], ...] = (
        (full_bytes, lambda: True),
        (full_bytes, relieve),
        (short_bytes, lambda: True),
        (short_bytes, reserve.give_up),
    )
    lacking: NoSpace | None = None
    for size_bytes, prepare in attempts:
        if not prepare():
            continue
        try:
            return make(size_bytes)
        except NoSpace as error:
            lacking = error
    assert lacking is not None, "the first attempt is always made"
    raise lacking


def make_named(
    fs: FileSystem, directory: str, directory_id: int, number: int, size_bytes: int, sequence: int,
    seed: int, last_index: Index, books: Books, batch_bytes: int, block_bytes: int,
) -> Made:  # fmt: skip
    """`make_segment`, and its name synced too.

    Raises NoSpace, NoFiles with nothing left behind, OSError.
    """
    path = f"{directory}/{segment_name(number)}"
    file: File | None = None
    try:
        file, header = make_segment(
            fs, path, directory_id, number, size_bytes, sequence, seed, last_index, books,
            batch_bytes, block_bytes,
        )  # fmt: skip
        fs.sync_directory(directory)
    except OSError as error:
        if not is_no_files(error):
            raise
        if file is not None:  # the directory could not be opened to be synced: once more, later
            file.close()
            fs.unlink(path)
        raise NoFiles(path, error) from error
    return file, header
