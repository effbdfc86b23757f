"""How much history is kept before the leader proposes to compact it.

What one node is told to keep decides only what it proposes while it leads: all replicas compact at
the same entry, whatever their settings. Machine's thread.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from raftd.machine.kv.history import History
from raftd.machine.kv.lessor import Lessor
from raftd.machine.protocol import NodeHandle
from raftd.wire.leases import encode_compact

LOOK_SECONDS: Final = 1.0
SAMPLES: Final = 10
"""Looks at the revision within the age that is kept."""
PROPOSE_AGAIN_SECONDS: Final = 1.0


class Keep(NamedTuple):
    """bytes: of what was replaced, roughly; 0: no limit. revisions, age_s: 0: no limit.

    A snapshot holds the history, and one has to fit into what is kept back of a full disk
    (`disk_reserve`): with 128 MiB a volume of 160 MB that was full with 1 MB of state never healed.
    """

    bytes: int = 8 << 20
    revisions: int = 0
    age_s: float = 0.0


DEFAULT: Final = Keep()


class Retention:
    """Proposes compactions while this node leads."""

    def __init__(self, keep: Keep, history: History, lessor: Lessor) -> None:
        self._keep = keep
        self._history = history
        self._lessor = lessor
        self._node: NodeHandle | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._term = 0
        self._proposed = (0, 0.0)

    def attach(self, node: NodeHandle) -> None:
        self._node = node

    def on_event(self) -> None:
        """After the lessor has heard it: begin to look when this node has begun to lead."""
        term = self._lessor.term
        if term != self._term:
            self._term = term
            self._samples.clear()
            self._proposed = (0, 0.0)
            if term:
                self._look(term)

    def rolled(self) -> None:
        """The history has grown by a chunk."""
        if not self._term:
            return
        history, keep = self._history, self._keep
        if keep.bytes and history.bytes > keep.bytes:
            self._propose(history.revision_keeping(keep.bytes // 2))
        if keep.revisions and history.last - history.first >= keep.revisions + keep.revisions // 10:
            self._propose(history.last - keep.revisions)

    def _look(self, term: int) -> None:
        node = self._node
        if node is None or self._term != term:
            return
        self.rolled()
        if self._keep.age_s:
            self._by_age(node.now())
        node.call_later(LOOK_SECONDS, lambda: self._look(term))

    def _by_age(self, now: float) -> None:
        samples, age_s = self._samples, self._keep.age_s
        if not samples or now - samples[-1][0] >= age_s / SAMPLES:
            samples.append((now, self._history.last))
        old = 0
        while samples and now - samples[0][0] >= age_s:
            old = samples.popleft()[1]
        if old:
            self._propose(old)

    def _propose(self, revision: int) -> None:
        """Once, until it is applied or seems lost."""
        if revision <= self._history.compacted or self._node is None:
            return
        now = self._node.now()
        known, at = self._proposed
        if known > self._history.compacted and now - at < PROPOSE_AGAIN_SECONDS:
            return
        self._proposed = revision, now
        self._node.propose(encode_compact(revision), self._term)
