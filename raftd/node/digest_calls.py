"""Digests of the whole state that somebody asks for. Network thread."""

from __future__ import annotations

from raftd.core.types import Index
from raftd.node.apply_jobs import Capture, Captured
from raftd.node.applying import Applying
from raftd.node.driver import CoreDriver
from raftd.node.outcomes import Answered, Done, Refusal, Refused, answer
from raftd.node.snapshot_worker import SnapshotWorker

DIGESTS_MAX = 16
"""Being computed at a time: each is a walk over the whole state."""


class DigestCalls:
    def __init__(
        self, driver: CoreDriver, applying: Applying, snapshot_worker: SnapshotWorker
    ) -> None:
        self._driver = driver
        self._applying = applying
        self._snapshot_worker = snapshot_worker
        self._open: dict[int, Done] = {}
        self._count = 0

    def ask(self, done: Done) -> None:
        """Answered(applied index, [(0, SHA-256 of sessions and machine)])."""
        if self._driver.stopped:
            done(Refused(Refusal.UNAVAILABLE, self._driver.stopped))
            return
        if len(self._open) >= DIGESTS_MAX:
            text = f"{DIGESTS_MAX} digests are being computed: try again later"
            done(Refused(Refusal.OVERLOADED, text))
            return
        self._count += 1
        number = self._count
        self._open[number] = done

        def captured(what: Captured) -> None:
            self._snapshot_worker.digest(what, lambda value: self._ended(number, what[0], value))

        self._applying.put(Capture(captured))
        self._applying.go_on()

    def _ended(self, number: int, index: Index, value: bytes) -> None:
        done = self._open.pop(number, None)
        if done is not None:
            done(Answered(index, [(0, value)]))

    def stop(self, why: str) -> None:
        waiting = list(self._open.values())
        self._open.clear()
        answer(waiting, Refused(Refusal.UNAVAILABLE, why))
