"""The verdict on a history: by revisions where all answers tell them, else by search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from raftd.check import revisions
from raftd.check.history import History
from raftd.check.model import Cell, Model
from raftd.check.operations import FAIL, INFINITY, OK, RANGE, READS, UNKNOWN, Op
from raftd.check.search import Search, judged, objects
from raftd.check.window import smallest

Method = Literal["auto", "revisions", "search"]
METHODS: Final = ("auto", "revisions", "search")
STEPS_DEFAULT: Final = 100_000_000
"""Minutes of work; a usual history of a million operations takes a few million steps."""

LINEARIZABLE: Final = "LINEARIZABLE"
NOT_LINEARIZABLE: Final = "NOT LINEARIZABLE"
UNDECIDED: Final = "UNDECIDED"


@dataclass(slots=True)
class Verdict:
    """result: one of the three words above. UNDECIDED (the step budget ran out) is no acquittal.

    reason, window: why not, and operations that show it, in order of their calls. minimal: none of
    the window can be spared; else a search shows only where its longest explanation ended. beside:
    how many others overlap the window in time.
    """

    result: str
    method: str
    counts: dict[str, int]
    keys: int
    steps: int
    reason: str = ""
    window: list[Op] = field(default_factory=list)
    beside: int = 0
    minimal: bool = True

    def lines(self) -> list[str]:
        """For people: the verdict first, one line, and then what shows it."""
        counts = ", ".join(f"{number} {name}" for name, number in self.counts.items())
        total = sum(self.counts.values())
        text = (
            f"{self.result}: {total} operations ({counts}) on {self.keys} keys, "
            f"by {self.method}, {self.steps} steps"
        )
        lines = [text]
        if self.reason:
            lines.append(self.reason)
        if self.window:
            begin = min(op.call for op in self.window)
            ends = [op.ret for op in self.window if op.ret != INFINITY]
            end = f"{max(ends):.6f}" if ends else "..."
            name = (
                "smallest offending window" if self.minimal else "the longest explanation ends at"
            )
            lines.append(
                f"{name}: {len(self.window)} operations, {begin:.6f} to {end} "
                f"({self.beside} others overlap it)"
            )
            lines += [f"  {op}" for op in self.window]
            if not self.minimal:
                lines.append("--minimise finds the fewest operations that show it")
        return lines


def judge(
    history: History, method: Method = "auto", steps: int = STEPS_DEFAULT, *, minimise: bool = False
) -> Verdict:
    """Any thread; takes some 10 us an operation by revisions. Never raises for what is in it.

    method "revisions" with an answer that tells too little gives UNDECIDED and names it. minimise:
    find the smallest window after a search that found a violation, which costs up to 400 searches.
    """
    ops = judged(history.ops)
    initial = {
        key: Cell(item.value or b"", item.version or 1, item.mod_revision or 0)
        for key, item in history.initial.items()
    }
    model = Model([*initial, *(key for op in ops for key in op.named())])
    counts = {name: sum(op.outcome == name for op in history.ops) for name in (OK, UNKNOWN, FAIL)}
    verdict = Verdict(UNDECIDED, method, counts, len(model.keys), 0)
    lacking = revisions.lacking(ops)
    if method == "auto":
        verdict.method = "search" if lacking is not None else "revisions"
    if verdict.method == "search":
        _by_search(verdict, ops, model, initial, steps, minimise)
    elif lacking is not None:
        verdict.reason = "an answer tells too little to go by revisions: use the search"
        verdict.window = [lacking]
    else:
        _by_revisions(verdict, [*ops, *_failed(history.ops)], model, initial, history, steps)
    if verdict.window:
        verdict.window.sort(key=lambda op: (op.call, op.ret))
        verdict.beside = _beside(verdict.window, history.ops)
    return verdict


def _failed(ops: Sequence[Op]) -> list[Op]:
    """They count for nothing, but explain where a value came from that should not be there."""
    return [op for op in ops if op.outcome == FAIL and op.kind not in READS]


def _by_revisions(
    verdict: Verdict,
    ops: list[Op],
    model: Model,
    initial: dict[bytes, Cell],
    history: History,
    steps: int,
) -> None:
    result = revisions.check(ops, model, initial, history.revision, steps)
    verdict.steps = result.steps
    if result.linearizable:
        verdict.result = LINEARIZABLE
        return
    if result.fault is not None:
        verdict.reason, verdict.window = result.fault.reason, list(result.fault.ops)
    if result.linearizable is None:
        verdict.reason = f"gave up after {result.steps} steps; last: {verdict.reason}"
    else:
        verdict.result = NOT_LINEARIZABLE


def _by_search(
    verdict: Verdict,
    ops: list[Op],
    model: Model,
    initial: dict[bytes, Cell],
    steps: int,
    minimise: bool,
) -> None:
    undecided = 0
    lonely = [op for op in ops if op.kind == RANGE and op.items and not model.covered(op)]
    groups = objects(ops, model)
    for group in sorted(groups, key=len):
        outcome = Search(group, model, initial, None).run(steps - verdict.steps)
        verdict.steps += outcome.steps
        if outcome.linearizable is None:
            undecided += 1
        elif not outcome.linearizable:
            verdict.result = NOT_LINEARIZABLE
            verdict.minimal = minimise
            if minimise:
                verdict.window = smallest(group, model, initial, outcome.blocked)
            elif outcome.blocked is not None:
                verdict.window = [outcome.blocked]
            verdict.reason = outcome.reason or "no order of these explains all answers"
            return
    if lonely:
        verdict.result = NOT_LINEARIZABLE
        verdict.reason, verdict.window = "a range shows keys outside of its prefix", lonely[:1]
    elif undecided:
        verdict.reason = (
            f"gave up after {verdict.steps} steps on {undecided} of {len(groups)} objects"
        )
    else:
        verdict.result = LINEARIZABLE


def _beside(window: Sequence[Op], ops: Sequence[Op]) -> int:
    begin = min(op.call for op in window)
    end = max((op.ret for op in window if op.ret != INFINITY), default=INFINITY)
    own = {id(op) for op in window}
    return sum(
        op.call <= end and (op.ret >= begin or op.outcome == UNKNOWN) and id(op) not in own
        for op in ops
    )
