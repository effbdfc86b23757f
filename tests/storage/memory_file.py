"""Open files of the file system in memory, and what a hook may do to an operation."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from raftd.storage.fs import Buffer
from tests.storage.memory_inode import Inode

if TYPE_CHECKING:
    from tests.storage.memory_fs import MemoryFileSystem


class PowerCut(BaseException):
    """Raised inside storage code: nothing after it, not even clean-up, reaches the disk."""


class ShortWrite(Exception):
    """Raised by a hook: the write stops after `count` bytes with `error`."""

    def __init__(self, count: int, error: OSError) -> None:
        super().__init__(f"{count} bytes, then {error}")
        self.count = count
        self.error = error


class Muted(Exception):
    """Raised by a hook: the operation reports success and does nothing. For syncs."""


class Operation(NamedTuple):
    """name: create, open, listdir, mkdir, rename, unlink, sync_directory, lock, size;

    and of open files: read, write, datasync, sync, preallocate, forget, close.
    """

    number: int
    name: str
    path: str
    size: int


Hook = Callable[[Operation], None]

CHANGING = frozenset(
    {
        "create",
        "mkdir",
        "rename",
        "unlink",
        "sync_directory",
        "write",
        "datasync",
        "sync",
        "truncate",
        "preallocate",
    }
)
"""Operations after which the disk may be another one."""


class MemoryFile:
    """An open file; worthless after a crash."""

    def __init__(self, fs: MemoryFileSystem, path: str, inode: Inode, writable: bool) -> None:
        self._fs = fs
        self._path = path
        self._inode = inode
        self._writable = writable
        self._life = fs.life
        self._closed = False

    def _enter(self, name: str, size: int = 0) -> None:
        if self._life != self._fs.life or self._closed:
            raise OSError(errno.EBADF, "the file is closed, or older than the last crash")
        self._fs.enter(name, self._path, size)
        if name in CHANGING and not self._writable:
            raise OSError(errno.EBADF, "not open for writing")

    def read(self, offset: int, size: int) -> bytes:
        self._enter("read", size)
        return bytes(self._inode.data[offset : offset + size])

    def write(self, offset: int, data: Buffer) -> None:
        content = bytes(data)
        try:
            self._enter("write", len(content))
        except ShortWrite as short:
            if short.count:
                self._inode.write(offset, content[: short.count])
            raise short.error from None
        self._fs.take(offset + len(content) - len(self._inode.data))
        self._inode.write(offset, content)

    def datasync(self) -> None:
        self._sync("datasync")

    def sync(self) -> None:
        self._sync("sync")

    def _sync(self, name: str) -> None:
        try:
            self._enter(name)
        except Muted:
            return
        except OSError:
            self._inode.fail_sync()
            raise
        self._inode.sync()

    def size(self) -> int:
        self._enter("size")
        return len(self._inode.data)

    def preallocate(self, size: int) -> None:
        self._enter("preallocate", size)
        self._fs.take(size - len(self._inode.data))
        self._inode.resize(max(size, len(self._inode.data)))

    def forget(self) -> None:
        self._enter("forget")
        self._inode.forget()

    def close(self) -> None:
        self._closed = True


class MemoryLock:
    def __init__(self, fs: MemoryFileSystem, path: str) -> None:
        self._fs = fs
        self._path = path
        self._life = fs.life

    def release(self) -> None:
        if self._life == self._fs.life:
            self._fs.locks.discard(self._path)
