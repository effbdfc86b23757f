"""The smallest set of operations that cannot be explained, out of many that cannot.

Leaving out a read, or forgetting when a write happened and what it was told, only makes a history
easier to explain. So whatever still cannot be explained, with all but a few operations forgotten in
that way, shows the fault in those few.
"""

from __future__ import annotations

from collections.abc import Sequence

from raftd.check.cells import Cell
from raftd.check.model import Model
from raftd.check.operations import READS, Op, relaxed
from raftd.check.search import Search

TRIALS_MAX = 400
STEPS_A_TRIAL = 20_000
STEPS_MAX = 1_500_000


def smallest(
    ops: Sequence[Op], model: Model, initial: dict[bytes, Cell], blocked: Op | None
) -> list[Op]:
    """A part of `ops`, in order of their calls, that shows the violation by itself.

    No single operation of it can be spared, unless the bounds on the work above were reached.
    blocked: an operation that belongs to it, as far as known.
    """
    shrinking = _Shrinking(sorted(ops, key=lambda op: (op.call, op.ret)), model, initial)
    core = shrinking.ops
    if blocked is not None:
        until = [op for op in core if op.call <= blocked.ret]
        if shrinking.fails(until):
            core = until
    size = max(1, len(core) // 2)
    while True:
        at, shrunk = 0, False
        while at < len(core):
            rest = core[:at] + core[at + size :]
            if rest and shrinking.fails(rest):
                core, shrunk = rest, True
            else:
                at += size
        if size == 1 and not shrunk:
            return core
        if size > 1:
            size = max(1, size // 2)
        if shrinking.exhausted:
            return core


class _Shrinking:
    def __init__(self, ops: list[Op], model: Model, initial: dict[bytes, Cell]) -> None:
        self.ops = ops
        self._model = model
        self._initial = initial
        self._trials = TRIALS_MAX
        self._steps = STEPS_MAX

    @property
    def exhausted(self) -> bool:
        return self._trials <= 0 or self._steps <= 0

    def fails(self, strict: Sequence[Op]) -> bool:
        """Certainly not to be explained with all others forgotten."""
        if self.exhausted:
            return False
        self._trials -= 1
        kept = {id(op) for op in strict}
        others = [relaxed(op) for op in self.ops if id(op) not in kept and op.kind not in READS]
        search = Search([*strict, *others], self._model, self._initial, None)
        outcome = search.run(STEPS_A_TRIAL)
        self._steps -= outcome.steps
        return outcome.linearizable is False
