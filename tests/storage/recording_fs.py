"""Who syncs what, from where; and what happens if one of the syncs is left out.

`Recorder` is a hook for a MemoryFileSystem. A site is the chain of calls inside raftd/storage that
led to the sync (so the sync of a commit and that of a seal are two), and for a directory its path.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import NamedTuple

import raftd.storage
from tests.storage.memory_fs import MemoryFileSystem, Muted, Operation

STORAGE = str(Path(raftd.storage.__file__).parent)
SYNCS = frozenset({"datasync", "sync", "sync_directory"})


class Site(NamedTuple):
    """chain: module.function:line, outermost first."""

    operation: str
    chain: tuple[str, ...]
    directory: str

    @property
    def line(self) -> str:
        """module:line of the call itself."""
        innermost = self.chain[-1]
        return f"{innermost.split('.')[0]}:{innermost.split(':')[1]}"

    def __str__(self) -> str:
        names = " > ".join(self.chain)
        return f"{self.operation} {self.directory}in {names}".replace("  ", " ")


class Recorder:
    """Set as `fs.before`; notes every sync, and lets that of site `mute` do nothing."""

    def __init__(self, mute: Site | None = None) -> None:
        self.sites: dict[Site, int] = {}
        self.muted = 0
        self._mute = mute

    def __call__(self, operation: Operation) -> None:
        if operation.name not in SYNCS:
            return
        directory = f"{operation.path} " if operation.name == "sync_directory" else ""
        site = Site(operation.name, call_chain(), directory)
        self.sites[site] = self.sites.get(site, 0) + 1
        if site == self._mute:
            self.muted += 1
            raise Muted


def call_chain() -> tuple[str, ...]:
    """The frames of raftd/storage above this call, outermost first."""
    chain: list[str] = []
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(STORAGE):
            name = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}"
            chain.append(f"{name}:{frame.f_lineno}")
        if frame.f_back is None:
            break
        frame = frame.f_back
    return tuple(reversed(chain))


def written_syncs() -> set[str]:
    """Every call of a sync in the source of raftd/storage, as module:line. fs.py only passes on."""
    found = set()
    for path in Path(STORAGE).glob("*.py"):
        if path.stem == "fs":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in SYNCS
            ):
                found.add(f"{path.stem}:{node.lineno}")
    return found


def unsynced_promises(fs: MemoryFileSystem) -> list[str]:
    """What a finished commit may not leave behind: unsynced log, names, identity or snapshot."""
    return [
        path
        for path in fs.unsynced()
        if path.endswith((".wal", ".snap", "identity", "/data/", "/data/n1/")) or path == "/"
    ]
