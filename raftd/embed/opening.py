"""From a configuration to an open data directory."""

from __future__ import annotations

import errno
import hashlib
import secrets
from collections.abc import Iterable

from raftd.config import Config
from raftd.embed.security import Security, SecurityProblem, security_of
from raftd.storage.directory import DataDirectory, open_directory
from raftd.storage.errors import (
    NO_FILES_ERRNOS,
    NO_SPACE_ERRNOS,
    Locked,
    NoFiles,
    NoSpace,
    NotWritable,
    StorageError,
    WrongIdentity,
)
from raftd.storage.fs import OsFileSystem
from raftd.storage.identity import Founding, load_identity

SPARES = 16
"""Descriptors kept open for the log and the snapshots, should all others be taken."""

USAGE_ERRORS = (Locked, WrongIdentity, NoSpace, NoFiles, NotWritable)
"""What the operator can put right at once."""

LATER_ERRORS = (Locked, NoSpace, NoFiles, NotWritable)
LATER_ERRNOS = NO_SPACE_ERRNOS | NO_FILES_ERRNOS | {errno.EROFS, errno.EBUSY}
"""What is put right beside the node: the same start may do then."""


class CannotStart(Exception):
    """The node cannot start. One line: the file or the port, why, the next step.

    of_data: it is about the data itself; nothing was changed, and starting again will not help.
    later: the same start may do later: a port, a name, an address, a node, a directory or room on a
    disk was not there, or a certificate, a key or the secret was not there or not right.
    """

    def __init__(self, line: str, *, of_data: bool = False, later: bool = False) -> None:
        super().__init__(line)
        self.of_data = of_data
        self.later = later


def read_security(config: Config) -> Security:
    """Raises CannotStart."""
    try:
        return security_of(config)
    except SecurityProblem as problem:
        raise CannotStart(str(problem), later=problem.later) from None


def open_data(config: Config) -> DataDirectory:
    """Lock the data directory, or make it. Main thread. Raises CannotStart."""
    try:
        fs = OsFileSystem(SPARES)
        cluster, founding = cluster_id(config.cluster_token, config.peers), founding_of(config)
        if config.join and load_identity(fs, config.data_dir) is None:
            cluster, founding = _cluster_to_join(config), Founding((), founding.token)
        return open_directory(
            fs,
            config.data_dir,
            cluster=cluster,
            node=config.id,
            new_incarnation=lambda: secrets.token_hex(8),
            founding=founding,
            segment_bytes=config.segment_bytes,
            reserve_bytes=config.disk_reserve,
            snapshot_size_max=config.snapshot_size_max,
        )
    except StorageError as error:
        raise refusal(error) from None
    except OSError as error:
        where = error.filename or config.data_dir
        later = error.errno in LATER_ERRNOS
        raise CannotStart(f"data_dir: {where}: {error.strerror}", later=later) from None


def _cluster_to_join(config: Config) -> str:
    """The id of the cluster that runs. Raises CannotStart."""
    # It brings the client library, which a node that joins nobody starts without.
    from raftd.embed.joining import CannotJoin, NobodyAnswers, cluster_to_join

    try:
        return cluster_to_join(config)
    except CannotJoin as error:
        raise CannotStart(str(error), later=isinstance(error, NobodyAnswers)) from None


def refusal(error: StorageError | OSError) -> CannotStart:
    """What recovery raised, for whoever starts the node."""
    line = " ".join(str(error).split())
    later = isinstance(error, LATER_ERRORS)
    return CannotStart(line, of_data=not isinstance(error, USAGE_ERRORS), later=later)


def founding_of(config: Config) -> Founding:
    """What a new data directory is made with: `peers` are the first voters of a new cluster."""
    token = hashlib.sha256(config.cluster_token.encode()).hexdigest()[:16]
    return Founding(tuple(sorted(config.peers)), token)


def cluster_id(token: str, voters: Iterable[str]) -> str:
    """The id of a new cluster: all its nodes make the same one without talking to each other.

    Two clusters never mix: addresses do not count, the token and the voters' ids do.
    """
    text = token + "\n" + "\n".join(sorted(voters))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
