"""How much history is kept before the leader proposes to compact it, and for whom some is held.

What one node is told to keep decides only what it proposes while it leads: all replicas compact at
the same entry, whatever their settings. What a node holds for its own watchers beyond that is seen
by nobody else. Machine's thread.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple, Protocol

from raftd.machine.kv.history import History
from raftd.machine.kv.lessor import Lessor
from raftd.machine.protocol import NodeHandle
from raftd.wire.leases import encode_compact

LOOK_SECONDS: Final = 1.0
SAMPLES: Final = 10
"""Looks at the revision within the age that is kept."""
PROPOSE_AGAIN_SECONDS: Final = 1.0
HELD_BYTES_MAX: Final = 32 << 20
"""Of the history that is compacted: who needs more than that has lost its place."""


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


class Mark:
    """A chunk of the history that so many have to read next. start: its first revision."""

    __slots__ = ("count", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.count = 0


class Reading(Protocol):
    """A watcher. next: it needs nothing below. mark: for Behind alone; None at first."""

    next: int
    mark: Mark | None


class Behind:
    """What has been compacted is held for those that are behind and had not taken it.

    The story without it: one command deleted 60,000 keys; two puts later the history, which by that
    had come to its limit, was compacted, and whoever watched them had lost its place after the
    first thousand.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._marks: dict[int, Mark] = {}
        history.needed = self.needed

    def clear(self) -> None:
        """Another history was restored: `join` whoever is behind."""
        self._marks.clear()

    def join(self, who: Reading) -> None:
        """It is behind, or has come further."""
        if who.mark is None and who.next < self._history.first:
            return
        start = self._history.start_of(who.next)
        mark = self._marks.get(start)
        if mark is None:
            mark = self._marks[start] = Mark(start)
        if who.mark is not mark:
            self.leave(who)
            who.mark, mark.count = mark, mark.count + 1

    def leave(self, who: Reading) -> None:
        mark, who.mark = who.mark, None
        if mark is not None:
            mark.count -= 1
            if not mark.count and self._marks.get(mark.start) is mark:
                del self._marks[mark.start]

    def lacks(self, who: Reading) -> bool:
        """Is what comes next for it gone? What is held is not there for those who come anew."""
        history, mark = self._history, who.mark
        return who.next < (history.first if mark is None else history.held()[0])

    def needed(self) -> int:
        """The first revision that is held. Beyond the limit the slowest hold nothing any more."""
        history = self._history
        floor = history.first_within(HELD_BYTES_MAX)
        *held, next_one = history.held()
        for start in held:
            if start >= floor and start in self._marks:
                return start
            self._marks.pop(start, None)
        return next_one
