"""The verdict on a history: by revisions where all answers tell them, else by search; then the
rules of leases, holds and watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from raftd.check import revisions, rules, watching
from raftd.check.cells import Cell
from raftd.check.history import History
from raftd.check.model import Model
from raftd.check.notices import Notice
from raftd.check.operations import ASIDE, COMPACT, FAIL, INFINITY, OK, RANGE, READS, UNKNOWN, Op
from raftd.check.search import Search, judged, objects
from raftd.check.window import smallest

Method = Literal["auto", "revisions", "search"]
METHODS: Final = ("auto", "revisions", "search")
STEPS_DEFAULT: Final = 100_000_000
"""Minutes of work; a usual history of a million operations takes a few million steps."""

STEPS_AGAIN: Final = 200_000
"""Without what watchers saw, to say what is wrong in fewer words."""

LINEARIZABLE: Final = "LINEARIZABLE"
NOT_LINEARIZABLE: Final = "NOT LINEARIZABLE"
UNDECIDED: Final = "UNDECIDED"
RULE_BROKEN: Final = "RULE BROKEN"


@dataclass(slots=True)
class Verdict:
    """result: one of the four words above. UNDECIDED (the step budget ran out) is no acquittal.

    reason, window: why not, and operations that show it, in order of their calls. minimal: none of
    the window can be spared; else a search shows only where its longest explanation ended. beside:
    how many others overlap the window in time. notices: what a watcher was told that shows it.
    watched: events that watchers were given.
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
    notices: list[Notice] = field(default_factory=list)
    watched: int = 0

    def lines(self) -> list[str]:
        """For people: the verdict first, one line, and then what shows it."""
        counts = ", ".join(f"{number} {name}" for name, number in self.counts.items())
        total = sum(self.counts.values())
        text = (
            f"{self.result}: {total} operations ({counts}) on {self.keys} keys, "
            f"by {self.method}, {self.steps} steps"
        )
        if self.watched:
            text += f"; {self.watched} events watched"
        lines = [text]
        if self.reason:
            lines.append(self.reason)
        if self.window:
            begin = _begin(self.window)
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
        return lines + [f"  {notice}" for notice in self.notices]


def judge(
    history: History, method: Method = "auto", steps: int = STEPS_DEFAULT, *, minimise: bool = False
) -> Verdict:
    """Any thread; takes some 10 us an operation by revisions. Never raises for what is in it.

    method "revisions" with an answer that tells too little gives UNDECIDED and names it. minimise:
    find the smallest window after a search that found a violation, which costs up to 400 searches.
    """
    ops, seen = judged(history.ops), watching.witnesses(history.watches)
    initial = {
        key: Cell(
            item.value or b"", item.version or 1, item.mod_revision or 0,
            item.create_revision or 0, item.lease or 0,
        )
        for key, item in history.initial.items()
    }  # fmt: skip
    model = Model([*initial, *(key for op in (*ops, *seen) for key in rules.named_by(op))])
    rules.touch(history.ops, model)
    counts = {name: sum(op.outcome == name for op in history.ops) for name in (OK, UNKNOWN, FAIL)}
    verdict = Verdict(UNDECIDED, method, counts, len(model.keys), 0)
    verdict.watched = sum(len(notice.changes) for notice in history.watches)
    lacking = revisions.lacking(ops)
    if method == "auto":
        verdict.method = "search" if lacking is not None else "revisions"
    ops += rules.ends(history.ops, seen)
    past = next((op for op in ops if op.at is not None), None)
    if _breaks_a_rule(verdict, history):
        pass
    elif verdict.method == "search":
        _by_search(verdict, ops, model, initial, steps, minimise)
        if verdict.result == LINEARIZABLE and (past is not None or history.watches):
            verdict.result = UNDECIDED
            verdict.reason = "watches and reads of the past are judged by revisions only"
            verdict.window = [past] if past is not None else []
    elif lacking is not None:
        verdict.reason = "an answer tells too little to go by revisions: use the search"
        verdict.window = [lacking]
    else:
        _by_revisions(verdict, [*ops, *_failed(history.ops)], model, initial, history, steps)
    if verdict.window:
        verdict.window.sort(key=lambda op: (op.call, op.ret))
        verdict.beside = _beside(verdict.window, history.ops)
    return verdict


def _breaks_a_rule(verdict: Verdict, history: History) -> bool:
    """What shows without knowing who made which revision."""
    fault = rules.broken(history.ops)
    if fault is not None:
        verdict.result, verdict.reason, verdict.window = RULE_BROKEN, fault.reason, [*fault.ops]
        return True
    return _breaks_a_watch_rule(verdict, history, None)


def _breaks_a_watch_rule(
    verdict: Verdict, history: History, events: watching.Events | None
) -> bool:
    cuts = (op.at or 0 for op in history.ops if op.kind == COMPACT and op.outcome != FAIL)
    try:
        watching.check(history.watches, events, max(cuts, default=0))
    except watching.Broken as broken:
        verdict.result, verdict.reason = RULE_BROKEN, str(broken)
        verdict.notices = broken.notices
        return True
    return False


def _failed(ops: Sequence[Op]) -> list[Op]:
    """They count for nothing, but explain where a value came from that should not be there."""
    return [op for op in ops if op.outcome == FAIL and op.kind not in (*READS, *ASIDE)]


def _by_revisions(
    verdict: Verdict,
    ops: list[Op],
    model: Model,
    initial: dict[bytes, Cell],
    history: History,
    steps: int,
) -> None:
    seen = watching.witnesses(history.watches)
    result = revisions.check([*ops, *seen], model, initial, history.revision, steps)
    if result.linearizable is False and seen:  # is it a watcher that tells what never happened?
        few = min(steps, STEPS_AGAIN)
        alone = revisions.check(ops, model, initial, history.revision, few)
        if alone.linearizable:
            events = watching.events_of(alone.writers, model, initial)
            if _breaks_a_watch_rule(verdict, history, events):
                verdict.steps = alone.steps
                return
        elif alone.linearizable is False:
            result = alone
    verdict.steps = result.steps
    if result.linearizable:
        verdict.result = LINEARIZABLE
        if history.watches:
            events = watching.events_of(result.writers, model, initial)
            _breaks_a_watch_rule(verdict, history, events)
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


def _begin(window: Sequence[Op]) -> float:
    """A watcher's witness has no call."""
    return min((op.call for op in window if op.call != -INFINITY), default=window[0].ret)


def _beside(window: Sequence[Op], ops: Sequence[Op]) -> int:
    begin = _begin(window)
    end = max((op.ret for op in window if op.ret != INFINITY), default=INFINITY)
    own = {id(op) for op in window}
    return sum(
        op.call <= end and (op.ret >= begin or op.outcome == UNKNOWN) and id(op) not in own
        for op in ops
    )
