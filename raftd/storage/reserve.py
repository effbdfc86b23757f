"""Room kept back on the disk: a file that is given up when nothing else is left.

A full disk heals by a snapshot, and that needs room itself: for its file, for what is queued for
the log before its mark, and for the mark. Somebody else may have filled the disk to the last byte,
so a number that nobody may go below would not do: the room has to be taken beforehand.
"""

from __future__ import annotations

from contextlib import suppress

from raftd.storage.fs import FileSystem

RESERVE_NAME = "reserve"
DISK_SHARE = 16
"""At most this part of the whole disk: a small one must not be filled by what is kept back."""

AGAIN_FACTOR = 2
"""Once given up it is taken again when so much of it is free: else it would come and go."""


class Reserve:
    """One file in a data directory. Whoever has claimed the log: one thread at a time."""

    def __init__(self, fs: FileSystem, directory: str, size_bytes: int) -> None:
        """size_bytes: 0 is none at all."""
        self._fs = fs
        self._path = f"{directory}/{RESERVE_NAME}"
        self._directory = directory
        self._most_bytes = size_bytes
        self._held = False
        self._given_up = False

    @property
    def missing(self) -> bool:
        """It is wanted, and is not there."""
        return self._most_bytes > 0 and not self._held

    def take(self) -> bool:
        """Have it, if there is room. True: it is there, or none is wanted. Never raises OSError."""
        if not self.missing:
            return True
        try:
            self._held = self._take()
        except OSError:  # a full disk, a quota: it is tried again
            self._remove()
        return self._held

    def _take(self) -> bool:
        free, total = self._fs.room(self._directory)
        size = min(self._most_bytes, total // DISK_SHARE)
        with suppress(FileNotFoundError):
            if self._fs.size(self._path) >= size:
                return True  # of an earlier life
        if free < size * (AGAIN_FACTOR if self._given_up else 1):
            return False
        self._remove()
        file = self._fs.create(self._path)
        try:
            file.preallocate(size)
        finally:
            file.close()
        return True

    def give_up(self) -> bool:
        """True: it was there, and its room is free now."""
        if not self._held:
            return False
        self._held, self._given_up = False, True
        self._remove()
        return True

    def _remove(self) -> None:
        with suppress(OSError):
            self._fs.unlink(self._path)
