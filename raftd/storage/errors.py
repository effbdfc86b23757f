"""What can be wrong with a data directory. One-line messages: what, where, the next step."""

from __future__ import annotations

import errno

NO_SPACE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Full disk, full quota, file size limit: all heal when somebody makes room."""

NO_FILES_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE})
"""No file descriptor left, of the process or of the machine: heals when somebody closes some."""

REPAIR_HINT = (
    "do not edit it: keep a copy, then give this node an empty directory and a new node id, "
    "or restore the disk"
)


class StorageError(Exception):
    """The data directory cannot be used as it is. Starting anyway could lose acknowledged data."""

    retryable = False
    """True: nothing was changed, and the same call may be made again later."""

    start_over = False
    """True: of a snapshot that is being received it only says that the transfer has to begin anew.
    """


class CorruptLog(StorageError):
    """Bytes that were once durable have changed, or a file is missing.

    offset: in bytes from the start of the file. index: the last log index known to be good.
    """

    def __init__(self, path: str, offset: int, index: int, what: str) -> None:
        super().__init__(
            f"log is damaged: {path} at offset {offset}, after log index {index}: {what}; "
            f"{REPAIR_HINT}"
        )
        self.path = path
        self.offset = offset
        self.index = index
        self.what = what


class CorruptSnapshot(StorageError):
    """A snapshot file is missing, short or has another checksum than the log says."""

    start_over = True

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"snapshot is damaged: {path}: {what}; {REPAIR_HINT}")
        self.path = path
        self.what = what


class CorruptIdentity(StorageError):
    """The identity file cannot be believed, or is missing where there are records."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"identity is damaged: {path}: {what}; {REPAIR_HINT}")
        self.path = path
        self.what = what


class WrongIdentity(StorageError):
    """The directory belongs to another node or another cluster."""

    def __init__(self, path: str, what: str, found: str, expected: str) -> None:
        super().__init__(
            f"{path} belongs to {what} {found!r}, but this is {what} {expected!r}: "
            f"use that node's own directory, or correct the configuration"
        )
        self.path = path
        self.found = found
        self.expected = expected


class UnknownFormat(StorageError):
    """Written by a newer raftd."""

    start_over = True

    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"{path} has format version {found}, this raftd knows up to {known}: use a newer raftd"
        )
        self.path = path
        self.found = found


class Locked(StorageError):
    """Another process uses the directory."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is locked by another process: stop that raftd first, or use another directory"
        )
        self.path = path


class NoSpace(StorageError):
    """No room, found before anything was written: make room, then the same call works."""

    retryable = True

    def __init__(self, path: str, need_bytes: int, error: OSError) -> None:
        super().__init__(
            f"no room for {path} ({need_bytes} bytes): {error.strerror or error}; "
            "make room on that disk"
        )
        self.path = path
        self.need_bytes = need_bytes


class NoFiles(StorageError):
    """No file descriptor, found before anything was written: the same call works later."""

    retryable = True

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(
            f"no file descriptor for {path}: {error.strerror or error}; "
            "close connections to this node, or raise its limit of open files (ulimit -n)"
        )
        self.path = path


class NotWritable(StorageError):
    """A directory of ours that takes no new names from us."""

    retryable = True

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is not writable: give it to the user that raftd runs as (with mode 0700), "
            "and mount its disk for writing"
        )
        self.path = path


class TooLarge(StorageError):
    """A snapshot that is announced with more bytes than this node takes. Nothing was written."""

    retryable = True
    start_over = True

    def __init__(self, size_bytes: int, limit_bytes: int, sender: str) -> None:
        super().__init__(
            f"{sender} announces a snapshot of {size_bytes} bytes, snapshot_size_max is "
            f"{limit_bytes}: raise it here if the state is really that large"
        )


class LogFailed(StorageError):
    """An earlier write or sync failed. What the disk holds is unknown until the next start."""

    def __init__(self, path: str, cause: BaseException | None) -> None:
        super().__init__(
            f"log in {path} has failed before ({cause}) and takes nothing more: restart the node"
        )
        self.path = path


def is_no_space(error: OSError) -> bool:
    return error.errno in NO_SPACE_ERRNOS


def is_no_files(error: OSError) -> bool:
    return error.errno in NO_FILES_ERRNOS
