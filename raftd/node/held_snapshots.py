"""Snapshots that somebody is copying from this node: their files stay until the copy is done."""

from __future__ import annotations

from collections.abc import Callable

from raftd.core.types import SnapshotMeta
from raftd.node.driver import CoreDriver


class HeldSnapshots:
    """Network thread only. How many there may be is the business of whoever holds them."""

    def __init__(self, driver: CoreDriver, retain: Callable[[], None]) -> None:
        """retain: drops the files that nobody needs any more."""
        self._driver = driver
        self._retain = retain
        self._metas: list[SnapshotMeta] = []

    @property
    def metas(self) -> tuple[SnapshotMeta, ...]:
        return tuple(self._metas)

    def hold(self) -> SnapshotMeta | None:
        """The newest snapshot, whose file stays until `release`; None: there is none yet."""
        meta = self._driver.core.snapshot
        if not meta.index:
            return None
        self._metas.append(meta)
        return meta

    def release(self, meta: SnapshotMeta) -> None:
        """Once for each `hold`."""
        self._metas.remove(meta)
        if not self._driver.stopped:
            self._retain()
