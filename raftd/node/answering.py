"""A frame of queries, answered in slices. Owner's thread."""

from __future__ import annotations

import operator
from collections.abc import Callable

from raftd.core.types import Index
from raftd.node.apply_jobs import Query
from raftd.node.outcomes import Answered
from raftd.wire.batch import QUERY_ANSWER_BYTES_MAX


class Answering:
    """One state answers all of a frame: nothing is applied until it is through."""

    __slots__ = ("_left", "_results", "_size", "job")

    def __init__(self, job: Query) -> None:
        self.job = job
        self._left = iter(job.queries)
        self._results: list[tuple[int, bytes]] = []
        self._size = 0

    @property
    def left(self) -> int:
        """Queries that are not answered yet. Any thread."""
        return operator.length_hint(self._left)

    def go_on(
        self,
        query: Callable[[bytes, bytes], tuple[int, bytes]],
        now: Callable[[], float],
        deadline: float,
    ) -> bool:
        """True when all are answered, or so many that there is no room for more: there may be
        thousands in a frame, and all of their answers no room. False: the slice is used up.
        """
        principal = self.job.principal
        for request in self._left:
            result = query(request, principal)
            self._results.append(result)
            self._size += len(result[1])
            if self._size > QUERY_ANSWER_BYTES_MAX:
                return True
            if now() >= deadline:
                return not self.left
        return True

    def answered(self, index: Index) -> Answered:
        return Answered(index, self._results)
