"""raftd whose disk, clock or version is what a file says: run it in the place of the daemon.

`hurt.json` in the working directory, read again whenever something is asked of it:
sync_seconds    a sync of the log takes at least so long
no_space        no file gets room
clock_seconds   the wall clock is so far ahead (below 0: behind)
version         the release that this node says it is; at the start
oldest          the oldest protocol that it understands; at the start
"""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import raftd
from raftd.storage.fs import OsFile

PROGRAM = "harness.hurt"
NAME = "hurt.json"


def hurt(directory: Path, **what: object) -> None:
    """From now on the node in this directory has these faults, and no others."""
    made = directory / f"{NAME}.new"
    made.write_text(json.dumps(what))
    made.rename(directory / NAME)


def told(name: str, otherwise: Any) -> Any:
    try:
        return json.loads(Path(NAME).read_text()).get(name, otherwise)
    except FileNotFoundError:
        return otherwise


def main() -> int:
    raftd.__version__ = told("version", raftd.__version__)
    _slow_disk()
    _full_disk()
    _other_clock()
    from raftd.cli.raftd_main import main as serve
    from raftd.rpc import server

    plain: Callable[..., Any] = server.about

    def about(*addresses: str) -> Any:
        said = plain(*addresses)
        said.protocol_oldest = told("oldest", said.protocol_oldest)
        return said

    from raftd.embed import thread

    setattr(thread, "about", about)  # noqa: B010 - the daemon's own, not the harness's
    return serve()


def _slow_disk() -> None:
    sync: Callable[[OsFile], None] = OsFile.datasync

    def slow(file: OsFile) -> None:
        time.sleep(told("sync_seconds", 0.0))
        sync(file)

    setattr(OsFile, "datasync", slow)  # noqa: B010


def _full_disk() -> None:
    allocate = OsFile.preallocate

    def full(file: OsFile, size: int) -> None:
        if told("no_space", False):
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(file, size)

    setattr(OsFile, "preallocate", full)  # noqa: B010


def _other_clock() -> None:
    now = time.time_ns
    time.time_ns = lambda: now() + int(told("clock_seconds", 0.0) * 1e9)


if __name__ == "__main__":
    sys.exit(main())
