"""How much of a snapshot is risked at a time."""

from __future__ import annotations

from raftd.core import messages as m
from raftd.core.types import Configuration, SnapshotMeta
from raftd.rpc.peers.senders import ChunkSize


def test_chunks_shrink_with_failures_and_grow_again() -> None:
    """A line that carries 100 KiB before the deadline must not be sent a megabyte for ever."""
    meta = SnapshotMeta(7, 3, Configuration(("n1", "n2")), size_bytes=1 << 20)
    whole = m.SnapshotRequest(3, "n1", meta, 0, data=bytes(1 << 20))
    size = ChunkSize()
    lengths: list[int] = []
    for _ in range(12):
        sent = len(size.cut(whole).data)
        lengths.append(sent)
        if sent > 100 << 10:
            size.failed()
        else:
            size.arrived()
    assert lengths[0] == 1 << 20
    assert min(lengths) <= 100 << 10
    assert all(length <= 256 << 10 for length in lengths[4:])
    for _ in range(20):
        size.cut(whole)
        size.failed()
    assert len(size.cut(whole).data) == 32 << 10, "not below"
    for _ in range(20):
        size.cut(whole)
        size.arrived()
    assert len(size.cut(whole).data) == 1 << 20
