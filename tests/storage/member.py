"""A node of the three on its disk in memory, and the book of what was committed anywhere."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from raftd.core.core import RaftCore
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    Index,
    NodeId,
    Recovered,
    Settings,
)
from raftd.storage.directory import DataDirectory, open_directory
from tests.storage.memory_fs import MemoryFileSystem, disk_of
from tests.storage.model import BLOCK_BYTES

ROOT = "/data"
NAMES: tuple[NodeId, ...] = ("n1", "n2", "n3")
CONFIGURATION = Configuration(NAMES)
SETTINGS = Settings(
    election_timeout_min=1.0,
    election_timeout_max=2.0,
    heartbeat_interval=0.1,
    keep_entries=4,
    snapshot_chunk_bytes=200,
)
Image = Mapping[str, bytes]
"""A data directory at rest: path -> content."""


def disk_with(image: Image) -> MemoryFileSystem:
    return disk_of(image, ROOT, f"{ROOT}/snapshots")


def opened(fs: MemoryFileSystem, name: NodeId, segment_bytes: int) -> DataDirectory:
    return open_directory(
        fs,
        ROOT,
        cluster="c0ffee",
        node=name,
        new_incarnation=lambda: f"00112233aabbcc{name}",
        segment_bytes=segment_bytes,
        block_bytes=BLOCK_BYTES,
    )


class Steady(random.Random):
    """Timeouts at one place of their range: a test says who is first, not the dice."""

    def __init__(self, place: float) -> None:
        super().__init__(0)
        self._place = place

    def random(self) -> float:
        return self._place


@dataclass
class Ledger:
    """What was committed at each index, anywhere, in any life; and who contradicted it."""

    chosen: dict[Index, Entry] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def copy(self) -> Ledger:
        return Ledger(dict(self.chosen))

    def note(self, name: NodeId, entry: Entry) -> None:
        if self.chosen.setdefault(entry.index, entry) != entry:
            self.wrong.append(f"{name} commits another entry {entry.index}")

    def state(self, index: Index) -> list[bytes]:
        """The machine after `index`."""
        chosen = [self.chosen[at] for at in range(1, index + 1)]
        return [entry.payload for entry in chosen if entry.type is EntryType.BATCH]


class Member:
    """One life of one node."""

    def __init__(self, name: NodeId, directory: DataDirectory, found: Recovered) -> None:
        self.name = name
        self.directory = directory
        self.found = found
        self.core: RaftCore
        self.state: list[bytes] = []
        self.applied: Index = 0
        self.read_at: Index | None = None
        self.due = 0.0
        """When the core wants to be ticked; asked for after each call into it."""
