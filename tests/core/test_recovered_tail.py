"""A restart brings back no longer tail behind the snapshot than a running node keeps."""

from __future__ import annotations

import random

import pytest

from raftd.core.core import RaftCore
from raftd.core.types import (
    Configuration,
    Entry,
    EntryType,
    HardState,
    Identity,
    Recovered,
    Settings,
    SnapshotMeta,
)

NODES = Configuration(("n1", "n2", "n3"))


def _core(keep_entries: int, last: int) -> RaftCore:
    """Segments still hold 1 .. last; the snapshot covers 90."""
    entries = tuple(Entry(index, 1, EntryType.BATCH, b"x" * 20) for index in range(1, last + 1))
    recovered = Recovered(HardState(1, None), True, (), SnapshotMeta(90, 1, NODES), entries)
    settings = Settings(keep_entries=keep_entries)
    identity = Identity("0" * 16, "n1", "a" * 16)
    return RaftCore(identity, settings, NODES, recovered, random.Random(1), 0.0)


@pytest.mark.parametrize("last", [90, 100])
@pytest.mark.parametrize(("keep_entries", "first"), [(0, 91), (10, 81), (5000, 2)])
def test_the_tail_is_as_long_as_in_a_running_node(last: int, keep_entries: int, first: int) -> None:
    log = _core(keep_entries, last).log
    assert log.first_index == first
    assert log.last_index == last
    assert log.bytes == sum(entry.size_bytes for entry in log.between(first, last))
