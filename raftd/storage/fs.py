"""The file system, as little of it as storage needs. Nobody else syncs, renames or unlinks.

Storage is written against the two protocols here. The daemon gives it `OsFileSystem`; tests and the
simulator give it one in memory that loses whatever was not synced. Paths are strings with "/".

Two kinds of durability: bytes of a file survive a power cut once `datasync` (or `sync`) of that
file returned; a name (created, renamed or unlinked) survives once `sync_directory` of its
directory returned. A failed sync must never be repeated: the kernel may have marked the lost pages
clean, and the second one would lie.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from typing import Protocol

from raftd.storage.spares import Spares

ZEROS = bytes(1 << 20)
MODE_FILE = 0o600
MODE_DIRECTORY = 0o700
F_FULLFSYNC = 51
"""macOS: fsync(2) stops at the drive's cache there; this fcntl goes through it (sys/fcntl.h)."""

Buffer = bytes | bytearray | memoryview


class File(Protocol):
    """An open file. One thread at a time, except `read`."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file. Raises OSError."""
        ...

    def write(self, offset: int, data: Buffer) -> None:
        """All of `data` at `offset`, growing the file. After an OSError anything may be written."""
        ...

    def datasync(self) -> None:
        """Make the bytes durable, and the size as far as reading them needs it (fdatasync)."""
        ...

    def sync(self) -> None:
        """Make bytes and all metadata durable (fsync): after `preallocate`."""
        ...

    def size(self) -> int: ...

    def preallocate(self, size: int) -> None:
        """Grow to `size` bytes that read as zeros and that later writes need no room for."""
        ...

    def forget(self) -> None:
        """Ask that later reads come from the device: after a failed sync the cache lies.

        Only of use right after a sync; may do nothing.
        """
        ...

    def close(self) -> None: ...


class Lock(Protocol):
    def release(self) -> None: ...


SPREAD_BYTES = 8 << 20
"""One sync of 300 MB, at the end of a snapshot, held up the log's on that disk for half a second;
one of so much does for a few hundredths."""


class Spread:
    """For a long file that is written beside a log: its syncs, a step at a time.

    Nothing rests on these. The last one, after all is written, is still its writer's to call.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._bytes = 0

    def wrote(self, size: int) -> None:
        """So many bytes more. Raises OSError: give the file up, no later sync of it means much."""
        self._bytes += size
        if self._bytes >= SPREAD_BYTES:
            self._bytes = 0
            self._file.datasync()


class FileSystem(Protocol):
    """Raises OSError as the system calls do: FileNotFoundError, FileExistsError, ..."""

    def create(self, path: str) -> File:
        """A new empty file, open for reading and writing. Raises FileExistsError."""
        ...

    def open(self, path: str, *, writable: bool = False) -> File:
        """An existing regular file; never waits. Raises OSError, with the path, for others."""
        ...

    def listdir(self, path: str) -> list[str]:
        """Names, sorted."""
        ...

    def mkdir(self, path: str) -> None:
        """One directory; its parent must exist. Raises FileExistsError."""
        ...

    def size(self, path: str) -> int:
        """Bytes. Raises FileNotFoundError."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Atomically, replacing `new`. Both in one directory."""
        ...

    def unlink(self, path: str) -> None: ...

    def sync_directory(self, path: str) -> None:
        """Make the names in it durable."""
        ...

    def lock(self, path: str) -> Lock:
        """An exclusive lock on a file, made if missing. Raises BlockingIOError."""
        ...

    def may_write(self, path: str) -> bool:
        """May this process make and remove names in the directory?"""
        ...

    def room(self, path: str) -> tuple[int, int]:
        """(free for us, in all), in bytes, of the disk that `path` is on."""
        ...


class OsFile:
    """A file descriptor. path: for errors."""

    __slots__ = ("_fd", "_path")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def read(self, offset: int, size: int) -> bytes:
        try:
            return self._read(offset, size)
        except OSError as error:
            error.filename = self._path
            raise

    def _read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._fd, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        got = len(data)
        while got < size:  # one pread may stop early: at a signal, or at 2 GiB
            data = os.pread(self._fd, size - got, offset + got)
            if not data:
                break
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def write(self, offset: int, data: Buffer) -> None:
        done = os.pwrite(self._fd, data, offset)
        if done == len(data):
            return
        view = memoryview(data)
        while done < len(view):
            wrote = os.pwrite(self._fd, view[done:], offset + done)
            if wrote <= 0:
                raise OSError(errno.EIO, "the system wrote nothing of what it was given")
            done += wrote

    if sys.platform == "darwin":

        def datasync(self) -> None:
            fcntl.fcntl(self._fd, F_FULLFSYNC)

        def sync(self) -> None:
            fcntl.fcntl(self._fd, F_FULLFSYNC)

    else:

        def datasync(self) -> None:
            os.fdatasync(self._fd)

        def sync(self) -> None:
            os.fsync(self._fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def preallocate(self, size: int) -> None:
        start = self.size()
        if start >= size:
            return
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._fd, start, size - start)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
            else:
                return
        while start < size:  # macOS, and file systems without fallocate: the room is taken by zeros
            part = ZEROS[: size - start]
            self.write(start, part)
            start += len(part)

    def forget(self) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _open_regular(path: str, flags: int) -> int:
    """A file descriptor of a file as storage makes them. Raises OSError for anything else.

    To open a FIFO would wait for whoever writes to it, to read a device might never end.
    """
    fd = os.open(path, flags | os.O_NONBLOCK, MODE_FILE)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "this is not a regular file: move it out of the way", path)
    return fd


class OsLock:
    """flock(2): belongs to the open file, so it dies with the process however that ends."""

    def __init__(self, path: str) -> None:
        self._fd = _open_regular(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class OsFileSystem:
    """The real one. Any thread."""

    def __init__(self, spares: int = 0) -> None:
        """spares: descriptors kept back for when there are no others."""
        self._spares = Spares(spares)

    def create(self, path: str) -> File:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        return OsFile(self._spares.use(lambda: os.open(path, flags, MODE_FILE)), path)

    def open(self, path: str, *, writable: bool = False) -> File:
        flags = os.O_RDWR if writable else os.O_RDONLY
        return OsFile(self._spares.use(lambda: _open_regular(path, flags)), path)

    def listdir(self, path: str) -> list[str]:
        return sorted(self._spares.use(lambda: os.listdir(path)))

    def mkdir(self, path: str) -> None:
        os.mkdir(path, MODE_DIRECTORY)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        fd = self._spares.use(lambda: os.open(path, os.O_RDONLY | os.O_DIRECTORY))
        try:
            if sys.platform == "darwin":
                fcntl.fcntl(fd, F_FULLFSYNC)
            else:
                os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self, path: str) -> Lock:
        return OsLock(path)

    def may_write(self, path: str) -> bool:
        return os.access(
            path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
        )

    def room(self, path: str) -> tuple[int, int]:
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
