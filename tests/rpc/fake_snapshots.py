"""The part of a fake node that backups are made of, and what else it only has to take."""

from __future__ import annotations

from collections.abc import Callable

from raftd.core.types import SnapshotMeta


class FakeSnapshots:
    """snapshot: what there is to hold. held: how many times it is held now."""

    def __init__(self) -> None:
        self.snapshot: SnapshotMeta | None = None
        self.snapshot_file = b""
        self.held = 0

    def hold_snapshot(self) -> SnapshotMeta | None:
        self.held += self.snapshot is not None
        return self.snapshot

    def release_snapshot(self, meta: SnapshotMeta) -> None:
        self.held -= 1

    async def read_snapshot(self, meta: SnapshotMeta, offset: int) -> bytes:
        return self.snapshot_file[offset : offset + 5]

    def admit_by(self, refusal: Callable[[bytes], str]) -> None:
        """Harmless: this node proposes nothing."""
