"""A file system in memory that forgets what was not synced: a `FileSystem` for tests.

Deterministic: every draw comes from the `random.Random` that a caller hands in. After a power cut
each 512-byte sector of an unsynced write is old, new or (with garbage=True) zeros or noise; names
made, renamed or removed since their directory was synced survive or not, each by itself.

    fs = MemoryFileSystem()
    fs.before = hook          # called before every operation; may raise OSError, ShortWrite
    fs.crash(rng)             # the power goes; then use the same object as the disk after restart
    fs.kill()                 # only the process goes: everything written is still there
"""

from __future__ import annotations

import copy
import errno
import random
from collections.abc import Mapping

from raftd.storage.fs import File, Lock
from tests.storage.memory_file import (
    CHANGING,
    Hook,
    MemoryFile,
    MemoryLock,
    Muted,
    Operation,
    PowerCut,
    ShortWrite,
)
from tests.storage.memory_inode import Directory, Inode, Loss

__all__ = [
    "CHANGING",
    "Hook",
    "MemoryFileSystem",
    "Muted",
    "Operation",
    "PowerCut",
    "ShortWrite",
    "disk_of",
]


class MemoryFileSystem:
    """See the module. capacity_bytes: beyond it, writes raise ENOSPC; None: no bound.

    sector_bytes: what a power cut leaves whole; smaller is nastier than any real disk.
    """

    def __init__(self, capacity_bytes: int | None = None, sector_bytes: int = 512) -> None:
        self.capacity_bytes = capacity_bytes
        self.sector_bytes = sector_bytes
        self.read_only: set[str] = set()
        """Directories that say so; whether they take names all the same is a hook's business."""
        self.before: Hook | None = None
        self.life = 0
        self.locks: set[str] = set()
        self.operations = 0
        self._root = Directory()
        self._dead = False

    # What storage calls.

    def create(self, path: str) -> File:
        self.enter("create", path)
        parent, name = self._parent(path)
        if name in parent.entries:
            raise FileExistsError(errno.EEXIST, "file exists", path)
        inode = Inode()
        parent.apply({name: inode})
        return MemoryFile(self, path, inode, writable=True)

    def open(self, path: str, *, writable: bool = False) -> File:
        self.enter("open", path)
        return MemoryFile(self, path, self._inode(path), writable)

    def listdir(self, path: str) -> list[str]:
        self.enter("listdir", path)
        return sorted(self._directory(path).entries)

    def mkdir(self, path: str) -> None:
        self.enter("mkdir", path)
        parent, name = self._parent(path)
        if name in parent.entries:
            raise FileExistsError(errno.EEXIST, "file exists", path)
        parent.apply({name: Directory()})

    def size(self, path: str) -> int:
        self.enter("size", path)
        return len(self._inode(path).data)

    def rename(self, old: str, new: str) -> None:
        self.enter("rename", new)
        parent, name = self._parent(old)
        target, new_name = self._parent(new)
        assert parent is target, "storage renames within one directory only"
        parent.apply({name: None, new_name: self._inode(old)})

    def unlink(self, path: str) -> None:
        self.enter("unlink", path)
        parent, name = self._parent(path)
        self._inode(path)
        parent.apply({name: None})

    def sync_directory(self, path: str) -> None:
        try:
            self.enter("sync_directory", path)
        except Muted:
            return
        self._directory(path).sync()

    def lock(self, path: str) -> Lock:
        self.enter("lock", path)
        if path in self.locks:
            raise BlockingIOError(errno.EAGAIN, "locked", path)
        parent, name = self._parent(path)
        if name not in parent.entries:
            parent.apply({name: Inode()})
        self.locks.add(path)
        return MemoryLock(self, path)

    def may_write(self, path: str) -> bool:
        return path.rstrip("/") not in self.read_only

    def room(self, path: str) -> tuple[int, int]:
        if self.capacity_bytes is None:
            return 1 << 40, 1 << 40
        return max(0, self.capacity_bytes - self.used_bytes()), self.capacity_bytes

    # What tests do to it.

    def crash(self, rng: random.Random, keep: float | None = None, garbage: bool = True) -> None:
        """The power goes and comes back. keep: the chance of each unsynced piece to survive

        (0.0: none does, 1.0: all do; None: drawn, with both ends likely).
        """
        if keep is None:
            keep = rng.choice((0.0, 1.0, rng.random(), rng.random()))
        loss = Loss(rng, keep, garbage, self.sector_bytes)
        self._crash_directory(self._root, loss, set())
        self.kill()

    def kill(self) -> None:
        """The process goes, the machine stays: nothing written is lost, locks are free."""
        self.life += 1
        self.locks.clear()
        self.before = None
        self._dead = False

    def files(self) -> dict[str, bytes]:
        """Every file that the process sees, path -> content."""
        found: dict[str, bytes] = {}
        _walk(self._root, "", found)
        return found

    def unsynced(self) -> list[str]:
        """Files with unsynced bytes, and directories (with a final /) with unsynced names."""
        return sorted(_unsynced(self._root, ""))

    def used_bytes(self) -> int:
        return sum(len(content) for content in self.files().values())

    def poke(self, path: str, offset: int, data: bytes) -> None:
        """Bit rot: change synced bytes behind everybody's back."""
        inode = self._inode(path)
        inode.data[offset : offset + len(data)] = data
        inode.sync()

    def put(self, path: str, content: bytes) -> None:
        """Replace or make a file, durably."""
        parent, name = self._parent(path)
        inode = Inode()
        inode.data = bytearray(content)
        parent.apply({name: inode})
        parent.sync()

    def remove(self, path: str) -> None:
        """Remove a file, durably."""
        parent, name = self._parent(path)
        parent.apply({name: None})
        parent.sync()

    def clone(self) -> MemoryFileSystem:
        """An independent copy, without the hook. Open files stay with the original."""
        hook, self.before = self.before, None
        try:
            return copy.deepcopy(self)
        finally:
            self.before = hook

    def cut_power(self) -> None:
        """From inside a hook: this operation and all that follow raise PowerCut until `crash`."""
        self._dead = True
        raise PowerCut

    # Inside.

    def enter(self, name: str, path: str, size: int = 0) -> None:
        if self._dead:
            raise PowerCut
        self.operations += 1
        if self.before is not None:
            self.before(Operation(self.operations, name, path, size))

    def take(self, more: int) -> None:
        if self.capacity_bytes is None or more <= 0:
            return
        if self.used_bytes() + more > self.capacity_bytes:
            raise OSError(errno.ENOSPC, "no space left on device")

    def _node(self, path: str) -> Inode | Directory:
        node: Inode | Directory = self._root
        for part in _parts(path):
            if not isinstance(node, Directory):
                raise NotADirectoryError(errno.ENOTDIR, "not a directory", path)
            if part not in node.entries:
                raise FileNotFoundError(errno.ENOENT, "no such file or directory", path)
            node = node.entries[part]
        return node

    def _directory(self, path: str) -> Directory:
        node = self._node(path)
        if not isinstance(node, Directory):
            raise NotADirectoryError(errno.ENOTDIR, "not a directory", path)
        return node

    def _inode(self, path: str) -> Inode:
        node = self._node(path)
        if isinstance(node, Directory):
            raise IsADirectoryError(errno.EISDIR, "is a directory", path)
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        *above, name = _parts(path)
        return self._directory("/".join(above)), name

    def _crash_directory(self, directory: Directory, loss: Loss, seen: set[int]) -> None:
        directory.crash(loss)
        for _, node in sorted(directory.entries.items()):
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, Directory):
                self._crash_directory(node, loss, seen)
            else:
                node.crash(loss)


def disk_of(files: Mapping[str, bytes], *directories: str) -> MemoryFileSystem:
    """A disk that holds these files, durably. directories: those they are in, outer ones first."""
    fs = MemoryFileSystem()
    for path in directories:
        fs.mkdir(path)
    for path, content in files.items():
        fs.put(path, content)
    return fs


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _walk(directory: Directory, prefix: str, found: dict[str, bytes]) -> None:
    for name, node in sorted(directory.entries.items()):
        if isinstance(node, Directory):
            _walk(node, f"{prefix}/{name}", found)
        else:
            found[f"{prefix}/{name}"] = bytes(node.data)


def _unsynced(directory: Directory, prefix: str) -> list[str]:
    found = [f"{prefix}/"] if directory.pending else []
    for name, node in directory.entries.items():
        if isinstance(node, Directory):
            found += _unsynced(node, f"{prefix}/{name}")
        elif node.pending or node.disk is not None:
            found.append(f"{prefix}/{name}")
    return found
