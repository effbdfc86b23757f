"""The check for long histories: every answer tells the store's revision, and revisions order all.

 1. Real time agrees with revisions: nothing has a lower revision than what had returned before it
    was called, and no write the same one.
 2. No revision belongs to two writes, and no two answers contradict each other.
 3. Walking up the revisions, every answer fits the state at its revision: gets, ranges, failed
    compares and the versions that writes were told.
 4. A revision of which no answer tells was made by an operation whose outcome is unknown, that was
    called early enough, changes something there, and fits what others saw of that revision. Often
    there is one such operation, or what was seen names it; else they are tried, likely ones first,
    and a choice that turns out wrong is taken back.

1-3 cost a sort. 4 is a search in principle: steps are counted, and there is a budget. Batches and
ranges are judged as what they are, one atomic step at one revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from raftd.check.anchors import Anchors
from raftd.check.cells import Cell, Changes, Mismatch
from raftd.check.gaps import Conflict, Gaps
from raftd.check.model import Model
from raftd.check.operations import CAS, DELETE, OK, RANGE, READS, TXN, UNKNOWN, Op
from raftd.check.plain import plain_fault
from raftd.check.telling import Telling
from raftd.check.timeline import Fault, Timeline


class Result(NamedTuple):
    """linearizable None: the budget ran out; `fault` is where the best attempt stood then.
    writers: of a history that can be explained, who made which revision.
    """

    linearizable: bool | None
    steps: int
    fault: Fault | None = None
    writers: Mapping[int, Op] = {}


def lacking(ops: Sequence[Op]) -> Op | None:
    """The first operation whose answer does not tell enough for this check."""
    for op in ops:
        if op.outcome == OK and (
            op.revision is None or (op.kind in (DELETE, CAS, TXN) and op.done is None)
        ):
            return op
    return None


def check(
    ops: Sequence[Op], model: Model, initial: dict[bytes, Cell], revision: int, budget: int
) -> Result:
    """`initial` is the store at `revision`, before all operations. Needs `lacking(ops) is None`."""
    known = [op for op in ops if op.outcome == OK]
    timeline = Timeline(known)
    fault = timeline.fault(revision) or plain_fault(known, timeline)
    if fault is not None:
        return Result(False, len(known), fault)
    return _Walk(ops, model, initial, revision, timeline, budget).run()


@dataclass(slots=True)
class _Choice:
    """A revision without a known writer: what was tried there, what is left to try, and what the
    failures after it were about.
    """

    revision: int
    left: list[Op]
    undo_length: int
    tried: list[Op] = field(default_factory=list)
    conflict: Conflict = field(default_factory=Conflict)


class _Walk:
    """Up the revisions with the state in hand; choices can be taken back."""

    def __init__(
        self,
        ops: Sequence[Op],
        model: Model,
        initial: dict[bytes, Cell],
        revision: int,
        timeline: Timeline,
        budget: int,
    ) -> None:
        self._model = model
        self._cells: dict[bytes, Cell] = dict(initial)
        self._revision = revision
        self._timeline = timeline
        self._budget = budget
        unknown = [op for op in ops if op.outcome == UNKNOWN and op.kind not in READS]
        unknown.sort(key=lambda op: op.call)
        self._anchors = Anchors([op for op in ops if op.outcome == OK], timeline.writer)
        self._gaps = Gaps(timeline, self._anchors, unknown, revision)
        self._used_at: dict[int, int] = {}
        self._steps = 0
        self._undo: list[tuple[bytes, Cell | None, Op | None]] = []
        self._made_by: dict[bytes, Op] = {}
        self._choices: list[_Choice] = []
        self._conflict = Conflict()
        failed = [op for op in ops if op.outcome not in (OK, UNKNOWN)]
        self._telling = Telling(self._gaps, self._anchors, failed)

    def run(self) -> Result:
        if self._gaps.hopeless:
            return self._hopeless()
        return self._walk()

    def _hopeless(self) -> Result:
        """More revisions than can have been made: look a little for where that shows first."""
        self._budget = min(self._budget, len(self._timeline.levels) * 2 + 10_000)
        result = self._walk()
        missing, unknown = self._gaps.missing, len(self._gaps.unknown)
        reason = (
            f"{missing} revisions were made by no answered operation, and only {unknown} writes "
            "have no answer"
        )
        return Result(False, result.steps, result.fault or Fault(reason, []))

    def _walk(self) -> Result:
        revision = self._revision
        standing = self._reads_fit(revision, None)
        while True:
            if self._steps + self._gaps.steps > self._budget:
                return Result(None, self._steps, self._telling.fault)
            if not standing:
                back = self._back()
                if back is None:
                    return Result(False, self._steps, self._telling.fault)
                revision, standing = back, True
                continue
            if revision >= self._timeline.last:
                made = {choice.revision: choice.tried[-1] for choice in self._choices}
                return Result(True, self._steps, writers={**self._timeline.writer, **made})
            revision += 1
            writer = self._timeline.writer.get(revision)
            if writer is not None:
                standing = self._advance(revision, writer)
            else:
                standing = self._choose(revision)

    # -- one revision ---------------------------------------------------------------------------

    def _advance(self, revision: int, writer: Op) -> bool:
        self._steps += 1
        try:
            changes = self._model.step(writer, self._cells.get, revision)
            if not changes:
                raise Mismatch("it changes nothing there, so it can have made no revision")
        except Mismatch as mismatch:
            self._telling.note(revision, writer, mismatch, self._made_by.get(mismatch.key))
            self._blame(revision, writer, mismatch, before=True)
            return False
        self._apply(changes, writer)
        return self._reads_fit(revision, writer)

    def _reads_fit(self, revision: int, writer: Op | None) -> bool:
        for op in self._timeline.readers.get(revision, ()):
            if op is writer:
                continue
            self._steps += 1
            try:
                if self._model.step(op, self._cells.get, revision):
                    raise Mismatch("it would have changed something, and made a revision")
            except Mismatch as mismatch:
                self._telling.note(revision, op, mismatch, self._made_by.get(mismatch.key))
                self._blame(revision, op, mismatch, before=False)
                return False
        return True

    def _apply(self, changes: Changes, writer: Op) -> None:
        keep = bool(self._choices)
        for key, cell in changes.items():
            if keep:
                self._undo.append((key, self._cells.get(key), self._made_by.get(key)))
            self._made_by[key] = writer
            self._put(key, cell)

    def _put(self, key: bytes, cell: Cell | None) -> None:
        if cell is None:
            self._cells.pop(key, None)
        else:
            self._cells[key] = cell

    # -- revisions that no answer tells of ------------------------------------------------------

    def _choose(self, revision: int) -> bool:
        left = self._candidates(revision)
        left.reverse()
        self._choices.append(_Choice(revision, left, len(self._undo)))
        self._conflict = Conflict({revision})
        return self._try_next()

    def _back(self) -> int | None:
        """Take back the last choice that can be to blame, and choose again. None: none is left."""
        while self._choices and self._steps + self._gaps.steps <= self._budget:
            choice = self._choices[-1]
            self._take_back(choice)
            if not self._conflict.everything and choice.revision not in self._conflict.gaps:
                self._choices.pop()
                continue
            choice.conflict.add(self._conflict)
            if self._try_next():
                return choice.revision
            if not choice.left and self._conflict is choice.conflict:
                self._choices.pop()
        return None if self._steps + self._gaps.steps <= self._budget else self._revision

    def _take_back(self, choice: _Choice) -> None:
        while len(self._undo) > choice.undo_length:
            key, cell, made_by = self._undo.pop()
            self._put(key, cell)
            if made_by is None:
                self._made_by.pop(key, None)
            else:
                self._made_by[key] = made_by
        for number, gap in list(self._used_at.items()):
            if gap >= choice.revision:
                del self._used_at[number]

    def _try_next(self) -> bool:
        """The next candidate of the last choice. False: it fails, or (then the conflict is the
        choice's own) there is none.
        """
        choice = self._choices[-1]
        self._skip_what_would_not_help(choice)
        if not choice.left:
            self._conclude(choice)
            self._conflict = choice.conflict
            return False
        op = choice.left.pop()
        choice.tried.append(op)
        self._used_at[id(op)] = choice.revision
        return self._advance(choice.revision, op)

    @staticmethod
    def _skip_what_would_not_help(choice: _Choice) -> None:
        """If nothing tried so far touched the keys that the failures are about, another operation
        that does not would fail in the same way.
        """
        conflict = choice.conflict
        if (
            choice.tried
            and not conflict.everything
            and not _any_touches(choice.tried, conflict.keys)
        ):
            while choice.left and not conflict.keys.intersection(choice.left[-1].named()):
                choice.left.pop()

    def _conclude(self, choice: _Choice) -> None:
        """Nothing is left to try there: which choices before it stood in the way of others?"""
        conflict = choice.conflict
        keys = conflict.keys
        open_to_all = conflict.everything or not choice.tried or _any_touches(choice.tried, keys)
        tried = {id(op) for op in choice.tried}
        for op in self._gaps.makers(choice.revision):
            named = op.named()
            if id(op) in tried or not (open_to_all or keys.intersection(named)):
                continue
            used_at = self._used_at.get(id(op))
            if used_at is not None:
                conflict.gaps.add(used_at)
            else:
                for key in named:
                    conflict.add(self._gaps.blame(key, choice.revision, before=True))
            conflict.keys.update(named)
        conflict.gaps.discard(choice.revision)

    def _blame(self, revision: int, op: Op, mismatch: Mismatch, *, before: bool) -> None:
        keys = [mismatch.key] if mismatch.key else op.named()
        self._conflict = Conflict(everything=not mismatch.key and op.kind in (RANGE, TXN))
        for key in keys:
            self._conflict.add(self._gaps.blame(key, revision, before=before))
        if revision not in self._timeline.writer:
            self._conflict.gaps.add(revision)

    def _candidates(self, revision: int) -> list[Op]:
        """Who can have made this revision in this state, likely ones first."""
        seen = self._anchors.seen_at(revision)
        found: list[tuple[int, int, Op]] = []
        makers = self._gaps.makers(revision)
        for number, op in enumerate(makers):
            if id(op) in self._used_at:
                continue
            try:
                changes = self._model.step(op, self._cells.get, revision)
            except Mismatch:
                continue
            if not changes or any(not _fits(changes.get(key), item) for key, item in seen.items()):
                continue
            likely = self._anchors.likely(changes, self._cells, revision)
            found.append((likely, -number, op))
        self._steps += len(makers)
        if not found:
            self._telling.note_gap(revision, self._used_at)
        return [op for _, _, op in sorted(found, key=lambda item: item[:2])]


def _any_touches(ops: Sequence[Op], keys: set[bytes]) -> bool:
    return any(keys.intersection(op.named()) for op in ops)


def _fits(cell: Cell | None, item: object) -> bool:
    """Whether what was seen of a revision is what a change made."""
    value, version = getattr(item, "value", None), getattr(item, "version", None)
    if cell is None:
        return False
    return (value is None or value == cell.value) and (version is None or version == cell.version)
