"""What is done in slices: a frame of queries, a long query, a long entry. Owner's thread."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator
from types import GeneratorType

from raftd.core.types import Entry, Index, Term
from raftd.node.apply_jobs import Query
from raftd.node.outcomes import Answered
from raftd.wire.batch import QUERY_ANSWER_BYTES_MAX

Result = tuple[int, bytes]
"""(status, answer)."""


Pieces = Generator[None, None, None]
Apply = Callable[[Index, Term, bytes], bytes | Generator[None, None, bytes]]


class Underway:
    """An entry that takes long, applied in slices: nothing else is done before it is through."""

    def __init__(self) -> None:
        self.pieces: Generator[None, None, bytes] | None = None
        """Of the entry; None: there is none."""
        self.after: Pieces | None = None
        """What is left to do now that it is applied; None: it is not, or nothing is."""
        self.results = b""
        """Of the entry."""

    @property
    def busy(self) -> bool:
        return self.pieces is not None or self.after is not None

    def through(self, now: Callable[[], float], deadline: float) -> bool:
        """False: the slice is used up."""
        if self.after is not None and went_on(self.after, now, deadline):
            self.after = None
        return self.after is None

    def go_on(self, apply: Apply, entry: Entry, now: Callable[[], float], deadline: float) -> bool:
        """True: `results` is there. False: the slice is used up."""
        if self.pieces is None:
            results = apply(entry.index, entry.term, entry.payload)
            if isinstance(results, bytes):
                self.results = results
                return True
            self.pieces = results
        while now() < deadline:
            try:
                next(self.pieces)
            except StopIteration as end:
                self.pieces, self.results = None, end.value
                return True
        return False


def went_on(work: Pieces, now: Callable[[], float], deadline: float) -> bool:
    """True when it is through; False: the slice is used up."""
    while now() < deadline:
        try:
            next(work)
        except StopIteration:
            return True
    return False


def pieces_of(left: object) -> Pieces | None:
    """What a hook of a machine returned, if that is work to be done."""
    return left if isinstance(left, GeneratorType) else None


class Answering:
    """One state answers all of a frame: nothing is applied until it is through."""

    __slots__ = ("_left", "_pieces", "_results", "_size", "job")

    def __init__(self, job: Query) -> None:
        self.job = job
        self._left = iter(job.queries)
        self._results: list[Result] = []
        self._pieces: Generator[None, None, Result] | None = None
        self._size = 0

    @property
    def left(self) -> int:
        """Queries that are not answered yet. Any thread."""
        return operator.length_hint(self._left) + (self._pieces is not None)

    def go_on(
        self,
        query: Callable[[bytes, bytes], Result | Generator[None, None, Result]],
        now: Callable[[], float],
        deadline: float,
    ) -> bool:
        """True when all are answered, or so many that there is no room for more: there may be
        thousands in a frame, and all of their answers no room. False: the slice is used up.
        """
        while True:
            if self._pieces is None:
                request = next(self._left, None)
                if request is None:
                    return True
                result = query(request, self.job.principal)
                if isinstance(result, tuple):
                    self._take(result)
                else:
                    self._pieces = result
            else:
                self._next_piece()
            if self._size > QUERY_ANSWER_BYTES_MAX:
                return True
            if now() >= deadline:
                return not self.left

    def _next_piece(self) -> None:
        assert self._pieces is not None
        try:
            next(self._pieces)
        except StopIteration as end:
            self._pieces = None
            self._take(end.value)

    def _take(self, result: Result) -> None:
        self._results.append(result)
        self._size += len(result[1])

    def answered(self, index: Index) -> Answered:
        return Answered(index, self._results)
