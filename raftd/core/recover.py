"""A node's log and snapshot as its disk left them."""

from __future__ import annotations

from raftd.core.effects import BrokenInvariant
from raftd.core.log import RaftLog
from raftd.core.types import Recovered, SnapshotMeta


def log_of(recovered: Recovered, snapshot: SnapshotMeta) -> RaftLog:
    if not recovered.entries:
        return RaftLog(snapshot.index, snapshot.term, ())
    first = recovered.entries[0].index
    if first > snapshot.index + 1:
        raise BrokenInvariant(
            f"the snapshot ends at {snapshot.index}, the log starts at {first}: entries are missing"
        )
    covered = snapshot.index + 1 - first
    if covered >= len(recovered.entries):
        last = recovered.entries[-1]
        if last.index != snapshot.index or last.term != snapshot.term:
            return RaftLog(snapshot.index, snapshot.term, ())
    if first == snapshot.index + 1:
        return RaftLog(snapshot.index, snapshot.term, recovered.entries)
    # A tail before the snapshot: its first entry only serves as the position before the rest.
    boundary = recovered.entries[0]
    return RaftLog(boundary.index, boundary.term, recovered.entries[1:])
