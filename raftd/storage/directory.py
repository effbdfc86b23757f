"""One data directory: made in an order that a crash cannot spoil, then opened by its owner only.

    <root>/lock  identity  0000000000000001.wal ...  snapshots/...

The identity comes last, so a directory without one has never taken part in anything: if a crash
left it half made it is made anew. With records but without identity it is damaged.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from raftd.core.types import Configuration, Identity, Incarnation, NodeId, Recovered
from raftd.storage.errors import CorruptIdentity, Locked, NoSpace
from raftd.storage.fs import FileSystem, Lock
from raftd.storage.identity import (
    IDENTITY_NAME,
    IDENTITY_TEMPORARY,
    Founding,
    IdentityFile,
    check_identity,
    directory_id,
    load_identity,
    save_identity,
)
from raftd.storage.lanes import BLOCK_BYTES
from raftd.storage.rolling import create_log
from raftd.storage.segment import (
    SEGMENT_NAME,
    BadHeader,
    Books,
    holds_more,
    load_header,
    segment_name,
)
from raftd.storage.snapshots import SIZE_MAX_BYTES, SNAPSHOT_NAME, SnapshotFiles
from raftd.storage.wal import SEGMENT_BYTES, Wal

LOCK_NAME = "lock"
SNAPSHOTS_NAME = "snapshots"
UNFINISHED_NAME = "unfinished"
"""There from the first step of a restore to its last (making.py)."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """What `open_directory` found or made.

    created: so nobody knows this incarnation yet.
    first: the configuration before the first log entry; without voters for a node that joins.
    """

    root: str
    identity: Identity
    first: Configuration
    created: bool
    wal: Wal
    snapshots: SnapshotFiles

    def recover(self) -> Recovered:
        """Open the log, and see that the snapshot it names is whole. Main thread, once.

        Leftovers (snapshots that no marker names, partial files) are removed. Raises StorageError,
        OSError.
        """
        recovered = self.wal.open()
        if recovered.snapshot is not None:
            self.snapshots.check(recovered.snapshot)
        self.snapshots.clean(recovered.snapshot)
        self.snapshots.check_writable()
        return recovered

    def close(self) -> None:
        """Close the log and unlock."""
        self.wal.close()


def open_directory(
    fs: FileSystem,
    root: str,
    *,
    cluster: str,
    node: NodeId,
    new_incarnation: Callable[[], Incarnation],
    founding: Founding | None = None,
    segment_bytes: int = SEGMENT_BYTES,
    block_bytes: int = BLOCK_BYTES,
    reserve_bytes: int = 0,
    snapshot_size_max: int = SIZE_MAX_BYTES,
    now: Callable[[], float] | None = None,
    observe: Callable[[float], None] | None = None,
) -> DataDirectory:
    """Lock a data directory and load its identity, or make both. Then call `recover`.

    cluster, founding: what a new directory gets; one of version 1 must be of that very cluster, and
    is given the founding; any other one keeps its own. Without a founding nothing is upgraded.
    new_incarnation: asked once if the directory is new; random, 16 hex digits. The rest: see Wal.
    Raises Locked, WrongIdentity, CorruptIdentity, NoSpace, OSError.
    """
    make_directories(fs, root)
    lock = lock_root(fs, f"{root}/{LOCK_NAME}")
    try:
        found = load_identity(fs, root)
        created = found is None
        if found is None:
            found = IdentityFile(Identity(cluster, node, new_incarnation()), founding or Founding())
            _create(fs, root, found, segment_bytes, block_bytes)
        else:
            check_identity(root, found, cluster, node, "" if founding is None else founding.token)
            found = _upgraded(fs, root, found, founding)
            finished(fs, root)
            fs.sync_directory(root)
        identity = found.identity
        wal = Wal(
            fs,
            root,
            directory_id(identity),
            segment_bytes=segment_bytes,
            block_bytes=block_bytes,
            reserve_bytes=reserve_bytes,
            lock=lock,
            now=now,
            observe=observe,
        )
        snapshots = SnapshotFiles(fs, f"{root}/{SNAPSHOTS_NAME}", snapshot_size_max)
    except BaseException:
        lock.release()
        raise
    first = (found.founding or founding or Founding()).configuration
    return DataDirectory(root, identity, first, created, wal, snapshots)


def finished(fs: FileSystem, root: str) -> None:
    """With an identity the directory is whole, whatever the mark says."""
    with suppress(FileNotFoundError):
        fs.unlink(f"{root}/{UNFINISHED_NAME}")


def _upgraded(
    fs: FileSystem, root: str, found: IdentityFile, founding: Founding | None
) -> IdentityFile:
    """A file of version 1 becomes one of the present version; without room it does so later."""
    if found.founding is not None or founding is None:
        return found
    newer = IdentityFile(found.identity, founding)
    try:
        save_identity(fs, root, newer)
    except NoSpace:
        with suppress(FileNotFoundError):
            fs.unlink(f"{root}/{IDENTITY_TEMPORARY}")
    return newer


def make_directories(fs: FileSystem, path: str) -> None:
    """The directory and whatever is missing above it."""
    with suppress(FileNotFoundError):
        fs.listdir(path)
        return
    parent = os.path.dirname(path.rstrip("/"))
    if parent:
        make_directories(fs, parent)
    with suppress(FileExistsError):
        fs.mkdir(path)


def lock_root(fs: FileSystem, path: str) -> Lock:
    try:
        return fs.lock(path)
    except BlockingIOError:
        raise Locked(path) from None


def _create(
    fs: FileSystem, root: str, file: IdentityFile, segment_bytes: int, block_bytes: int
) -> None:
    _refuse_used(fs, root)
    names = fs.listdir(root)
    for name in names:
        if SEGMENT_NAME.fullmatch(name) or name == IDENTITY_TEMPORARY:
            fs.unlink(f"{root}/{name}")
    if SNAPSHOTS_NAME not in names:
        fs.mkdir(f"{root}/{SNAPSHOTS_NAME}")
    sync_above(fs, root)
    create_log(fs, root, directory_id(file.identity), segment_bytes, block_bytes)
    fs.sync_directory(root)
    save_identity(fs, root, file)


def sync_above(fs: FileSystem, path: str) -> None:
    """Make the names of a directory and of all above it durable, whoever made them and when."""
    while path.strip("/."):
        path = os.path.dirname(path.rstrip("/"))
        with suppress(PermissionError):  # what we may not read we have not made
            fs.sync_directory(path or ".")


def _refuse_used(fs: FileSystem, root: str) -> None:
    """Raises CorruptIdentity if somebody has written here under an identity that is now gone."""
    names = fs.listdir(root)
    if UNFINISHED_NAME in names:
        raise CorruptIdentity(
            f"{root}/{IDENTITY_NAME}",
            "it is missing, since what was being restored here was cut off: remove the directory "
            "and restore it once more",
        )
    for name in names:
        if SEGMENT_NAME.fullmatch(name) and _was_used(fs, root, name):
            _refuse(root, name)
    if SNAPSHOTS_NAME in names:
        for name in fs.listdir(f"{root}/{SNAPSHOTS_NAME}"):
            if SNAPSHOT_NAME.fullmatch(name):
                _refuse(root, f"{SNAPSHOTS_NAME}/{name}")


def _was_used(fs: FileSystem, root: str, name: str) -> bool:
    """Whether this is more than the first segment as a directory that is being made has it."""
    path = f"{root}/{name}"
    file = fs.open(path)
    try:
        try:
            header = load_header(file, path)
        except BadHeader:
            return holds_more(file, 0, None)
        first = (header.number, header.sequence, header.books) == (1, 1, Books())
        return not first or name != segment_name(1) or holds_more(file, header.size, None)
    finally:
        file.close()


def _refuse(root: str, name: str) -> None:
    raise CorruptIdentity(f"{root}/{IDENTITY_NAME}", f"it is missing, but {name} holds records")
