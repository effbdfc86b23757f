"""Who waits for which entry.

Keyed by (index, term): another term's entry at that index is no answer.
"""

from __future__ import annotations

from raftd.core.types import Entry, Index, NodeId, Term
from raftd.node.outcomes import Applied, Done, Unknown


class Waiters:
    """Submitted batches that are in the log and not answered. Network thread only."""

    def __init__(self) -> None:
        self._by_index: dict[Index, tuple[Term, int, Done]] = {}
        self.bytes = 0
        self.failed = 0
        """Answered with something else than a result, ever."""

    def __len__(self) -> int:
        return len(self._by_index)

    def add(self, index: Index, term: Term, size_bytes: int, done: Done) -> None:
        stale = self._pop(index)
        if stale is not None:
            self.failed += 1
            stale[2](Unknown("the entry was overridden by another leader's"))
        self._by_index[index] = (term, size_bytes, done)
        self.bytes += size_bytes

    def applied(self, entry: Entry, results: bytes) -> None:
        """`entry` was applied: answer whoever waits at its index."""
        waiter = self._pop(entry.index)
        if waiter is None:
            return
        if waiter[0] == entry.term:
            waiter[2](Applied(entry.index, entry.term, results))
        else:
            self.failed += 1
            waiter[2](Unknown("the entry was overridden by another leader's"))

    def fail_above(self, index: Index, message: str, leader: NodeId | None) -> None:
        """Leadership is lost: what is not committed by now may be applied later, or never."""
        for at in [at for at in self._by_index if at > index]:
            self._fail(at, message, leader)

    def fail_up_to(self, index: Index, message: str) -> None:
        """A snapshot jumps over these: they were applied somewhere, but their answers are not
        here.
        """
        for at in [at for at in self._by_index if at <= index]:
            self._fail(at, message, None)

    def _fail(self, index: Index, message: str, leader: NodeId | None) -> None:
        waiter = self._pop(index)
        if waiter is not None:
            self.failed += 1
            waiter[2](Unknown(message, leader))

    def _pop(self, index: Index) -> tuple[Term, int, Done] | None:
        waiter = self._by_index.pop(index, None)
        if waiter is not None:
            self.bytes -= waiter[1]
        return waiter
