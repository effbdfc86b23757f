"""One survivor of a lost majority becomes a new cluster of one.

Raft cannot do this: without a majority nobody knows what was acknowledged. So it is an operator's
decision, and everything the survivor has is kept, whether a majority had it or not. The new cluster
has another id, so that none of the old nodes, should one come back, ever talks to it.

A whole directory is made beside the old one, of the same snapshot and entries under the new
identity; then both change names. The old one is kept. Between the two names there is no directory
at the old place: who is cut off there goes on by recovering once more. All along its history the
new cluster's only voter is this node: changes of the old cluster's members become entries without
content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from raftd.core.configuration_format import decode_configuration
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    HardState,
    Identity,
    Incarnation,
    Recovered,
    SnapshotMarker,
    SnapshotMeta,
    Write,
)
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.fs import FileSystem
from raftd.storage.identity import Founding, IdentityFile, load_identity
from raftd.storage.making import make_directory
from raftd.storage.snapshots import SnapshotFiles
from raftd.storage.wal import SEGMENT_BYTES, Wal

RECOVERED_SUFFIX = ".recovered"
BEFORE_SUFFIX = ".before-recovery"
WRITE_BYTES = 1 << 20
READ_BYTES = 1 << 20


class CannotRecover(Exception):
    """One line: why not, and what to do instead. The directory is as it was."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """What a directory has. last_index, last_term: of its log, or of its snapshot. members: of the
    last configuration in it, as a node goes by it from the moment it is in its log.
    """

    identity: Identity
    last_index: int
    last_term: int
    snapshot_index: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewCluster:
    """cluster: its id. kept: where the old directory is now."""

    cluster: str
    kept: str


def survivor(fs: FileSystem, root: str) -> Survivor:
    """What `recover` would keep. Locks the directory for a moment.

    Raises CannotRecover, StorageError, OSError.
    """
    root = root.rstrip("/")
    kept = root + BEFORE_SUFFIX
    _refuse_anew(fs, root)
    directory, _ = _open(fs, kept if _between_names(fs, root) else root)
    with closing(directory):
        recovered = directory.recover()
        return _survivor(directory.identity, directory.first, recovered)


def recover(
    fs: FileSystem, root: str, incarnation: Incarnation, segment_bytes: int = SEGMENT_BYTES
) -> NewCluster:
    """Make a cluster of one of the stopped node in `root`. incarnation: random, 16 hex digits.

    Raises CannotRecover, StorageError (also if the directory is in use), OSError.
    """
    root = root.rstrip("/")
    made, kept = root + RECOVERED_SUFFIX, root + BEFORE_SUFFIX
    _refuse_anew(fs, root)
    if whole := _between_names(fs, root):
        cluster = whole.identity.cluster
    else:
        cluster = _make(fs, root, incarnation, segment_bytes)
        fs.rename(root, kept)
        fs.sync_directory(_parent(root))  # before the second name: there must not be that one alone
    fs.rename(made, root)
    fs.sync_directory(_parent(root))
    return NewCluster(cluster, kept)


def _between_names(fs: FileSystem, root: str) -> IdentityFile | None:
    """Of the directory that was made, if an earlier attempt was cut off before it got its name."""
    if _exists(fs, root) or not _exists(fs, root + BEFORE_SUFFIX):
        return None
    return load_identity(fs, root + RECOVERED_SUFFIX)


def _refuse_anew(fs: FileSystem, root: str) -> None:
    """Raises CannotRecover if an attempt was cut off, and its directory's place is taken since."""
    made, kept = root + RECOVERED_SUFFIX, root + BEFORE_SUFFIX
    if _exists(fs, root) and _exists(fs, kept) and load_identity(fs, made) is not None:
        raise CannotRecover(
            f"{root} was made anew after an attempt that was cut off, perhaps by a node that was "
            f"started on it: move it away, leave {made} and {kept}, and recover once more"
        )


def _make(fs: FileSystem, root: str, incarnation: Incarnation, segment_bytes: int) -> str:
    """The new directory, beside the old one; returns the cluster's id."""
    made, kept = root + RECOVERED_SUFFIX, root + BEFORE_SUFFIX
    for path in (made, kept):
        if _exists(fs, path):
            raise CannotRecover(f"{path} is there already, of another attempt: move it away first")
    directory, founding = _open(fs, root)
    with closing(directory):
        recovered = directory.recover()
        old = directory.identity
        _survivor(old, directory.first, recovered)
        text = f"recovered\n{old.cluster}\n{incarnation}"
        cluster = hashlib.sha256(text.encode()).hexdigest()[:16]
        file = IdentityFile(
            Identity(cluster, old.node, incarnation), Founding((old.node,), founding.token)
        )

        def fill(wal: Wal, snapshots: SnapshotFiles) -> None:
            _copy(directory, recovered, file, wal, snapshots)

        make_directory(fs, made, file, fill, segment_bytes)
    return cluster


def _open(fs: FileSystem, root: str) -> tuple[DataDirectory, Founding]:
    found = load_identity(fs, root)
    if found is None:
        raise CannotRecover(f"{root} holds no node's data: name the data_dir of a stopped node")
    who = found.identity
    directory = open_directory(fs, root, cluster=who.cluster, node=who.node, new_incarnation=_never)
    return directory, found.founding or Founding()


def _never() -> str:
    raise CannotRecover("the identity is gone")


def _survivor(who: Identity, first: Configuration, recovered: Recovered) -> Survivor:
    meta, entries = recovered.snapshot, recovered.entries
    if meta is None and not entries:
        raise CannotRecover(f"{who.node} has nothing to keep: start a new cluster instead")
    snapshot = meta or SnapshotMeta(0, 0, first)
    last, configuration = (snapshot.index, snapshot.term), snapshot.configuration
    for entry in entries:
        if entry.index > snapshot.index:
            last = (entry.index, entry.term)
            if entry.type is EntryType.CONFIGURATION:
                configuration = decode_configuration(entry.payload)
    return Survivor(who, *last, snapshot.index, configuration.members())


def _copy(
    directory: DataDirectory,
    recovered: Recovered,
    file: IdentityFile,
    wal: Wal,
    snapshots: SnapshotFiles,
) -> None:
    state, marker, after = HardState(recovered.hard_state.term, None), None, 0
    if recovered.snapshot is not None:
        alone = Configuration((file.identity.node,))
        meta = _copy_snapshot(directory.snapshots, recovered.snapshot, alone, snapshots)
        marker, after = SnapshotMarker(meta, reset=True), meta.index
    wal.commit([Write(1, hard_state=state, marker=marker)])
    entries = tuple(_alone(entry) for entry in recovered.entries if entry.index > after)
    for number, some in enumerate(_slices(entries), 2):
        wal.commit([Write(number, entries=some)])


def _copy_snapshot(
    old: SnapshotFiles, meta: SnapshotMeta, configuration: Configuration, new: SnapshotFiles
) -> SnapshotMeta:
    sessions, body = old.open_body(meta)
    with body:
        sink = new.create(meta.index, meta.term, configuration, sessions)
        try:
            while data := body.read(READ_BYTES):
                sink.write(data)
            return sink.commit()
        except BaseException:
            sink.discard()
            raise


def _alone(entry: Entry) -> Entry:
    if entry.type is EntryType.CONFIGURATION:
        return entry._replace(type=EntryType.NOOP, payload=b"")
    return entry


def _slices(entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, ...]]:
    """Of WRITE_BYTES at most, or of one entry."""
    begin, size_bytes = 0, 0
    for at, entry in enumerate(entries):
        if at > begin and size_bytes + entry.size_bytes > WRITE_BYTES:
            yield entries[begin:at]
            begin, size_bytes = at, 0
        size_bytes += entry.size_bytes
    if begin < len(entries):
        yield entries[begin:]


def _exists(fs: FileSystem, path: str) -> bool:
    try:
        fs.listdir(path)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True
    return True


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
