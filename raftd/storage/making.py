"""A data directory that is made with something in it: of a backup, or of another directory.

The identity comes last, as in every directory that is made. Before it a mark says that something is
missing: whoever would start from the directory refuses it, where a half-made empty one is made
anew, and so does whoever would make another one in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from raftd.core.types import HardState, SnapshotMarker, SnapshotMeta, Write
from raftd.storage.directory import (
    LOCK_NAME,
    SNAPSHOTS_NAME,
    UNFINISHED_NAME,
    finished,
    lock_root,
    make_directories,
    sync_above,
)
from raftd.storage.errors import StorageError
from raftd.storage.fs import FileSystem
from raftd.storage.identity import IdentityFile, directory_id, save_identity
from raftd.storage.rolling import create_log
from raftd.storage.snapshots import SnapshotFiles
from raftd.storage.wal import SEGMENT_BYTES, Wal

HARMLESS_NAMES = frozenset({LOCK_NAME, "lost+found"})


class InUse(StorageError):
    """A directory that is not empty. Nothing was changed."""

    def __init__(self, root: str, name: str) -> None:
        super().__init__(f"{root} is not empty ({name}): name a directory that is new or empty")


def make_directory(
    fs: FileSystem,
    root: str,
    file: IdentityFile,
    fill: Callable[[Wal, SnapshotFiles], None],
    segment_bytes: int = SEGMENT_BYTES,
) -> None:
    """Make the directory `root`, have `fill` write what shall be in it, then say whose it is.

    fill: gets a log that is open and empty; its first write has the number 1. What it raises passes
    through. Raises InUse, Locked, NoSpace, OSError. After an error, or a power cut on the way,
    there may be a rest, which is refused like a damaged directory; the sync of the root that
    follows the identity's name covers all other names.
    """
    refuse_used(fs, root)
    make_directories(fs, root)
    lock = lock_root(fs, f"{root}/{LOCK_NAME}")
    try:
        refuse_used(fs, root)  # by whoever had the lock
        fs.create(f"{root}/{UNFINISHED_NAME}").close()
        fs.sync_directory(root)
        sync_above(fs, root)
        fs.mkdir(f"{root}/{SNAPSHOTS_NAME}")
        create_log(fs, root, directory_id(file.identity), segment_bytes)
        snapshots = SnapshotFiles(fs, f"{root}/{SNAPSHOTS_NAME}")
        wal = Wal(fs, root, directory_id(file.identity), segment_bytes=segment_bytes, lock=lock)
    except BaseException:
        lock.release()
        raise
    try:
        wal.open()
        fill(wal, snapshots)
        save_identity(fs, root, file)
        finished(fs, root)
    finally:
        wal.close()


def refuse_used(fs: FileSystem, root: str) -> None:
    """Raises InUse, OSError."""
    with suppress(FileNotFoundError):
        for name in fs.listdir(root):
            if name not in HARMLESS_NAMES:
                raise InUse(root, name)


def begin_with(wal: Wal, meta: SnapshotMeta) -> None:
    """The log's first write: it begins after this snapshot, in its term, with no vote given."""
    state = HardState(meta.term, None)
    wal.commit([Write(1, hard_state=state, marker=SnapshotMarker(meta, reset=True))])
