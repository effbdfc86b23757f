"""Make a seed that fails smaller, as long as it breaks the same invariant.

One thing after another is left out: events, operations, clients, nodes, kinds of faults and of
load. Without a kind every accident after it is another one, so such an attempt may throw the dice a
few times; which throw failed is part of what is printed. The same seed shrinks in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.sim.cut import Cut, active
from tests.sim.plan import Plan, draw
from tests.sim.swarm import Result, run_seed

DICE = 3
"""Further throws for each attempt to do without something."""
RUNS_MAX = 600
"""A minute, mostly. What is found by then is small enough to look at."""
EVENTS_STEP = 50
NODES = 3

Say = Callable[[str], None]


@dataclass(slots=True)
class Small:
    """A run that fails, and how to have it again."""

    result: Result
    events: int
    cut: Cut
    runs: int = 1


def shrink(seed: int, events: int, cut: Cut, say: Say, dice: int = DICE) -> Small | None:
    """The smallest that was found; None: the seed does not fail."""
    result = run_seed(seed, events, cut=cut)
    if not result.invariant:
        return None
    shrinking = _Shrinking(Small(result, _needed(events, result), cut), say, dice)
    while shrinking.once() and shrinking.small.runs < RUNS_MAX:
        pass
    return shrinking.small


class _Shrinking:
    def __init__(self, small: Small, say: Say, dice: int) -> None:
        self.small = small
        self._say = say
        self._dice = dice

    def once(self) -> bool:
        """Try everything once. True: something could be left out."""
        before = self.small.events, self.small.cut
        self._events()
        self._operations()
        for clients in range(1, self._plan().clients):
            if self._try(cut=replace(self.small.cut, clients=clients)):
                break
        if self._plan().nodes > NODES:
            self._try(cut=replace(self.small.cut, nodes=NODES))
        for kind in active(self._plan()):
            self._try(cut=replace(self.small.cut, without=(*self.small.cut.without, kind)))
        return (self.small.events, self.small.cut) != before

    def _plan(self) -> Plan:
        plan = draw(self.small.result.seed)
        self.small.cut.apply(plan)
        return plan

    def _events(self) -> None:
        for events in _fewer(lambda: self.small.events, EVENTS_STEP):
            self._try(events=events)

    def _operations(self) -> None:
        for ops in _fewer(lambda: self.small.cut.ops or self.small.result.stats["ops begun"], 1):
            self._try(cut=replace(self.small.cut, ops=ops))

    def _try(self, *, events: int | None = None, cut: Cut | None = None) -> bool:
        """Whether it still fails in the same way; then it is the smallest so far."""
        small = self.small
        events = small.events if events is None else events
        cut = small.cut if cut is None else cut
        throws = [cut.dice]
        if cut.without != small.cut.without or cut.nodes != small.cut.nodes:
            throws += [throw for throw in range(self._dice + 1) if throw != cut.dice]
        for throw in throws:
            if small.runs >= RUNS_MAX:
                return False
            thrown = replace(cut, dice=throw)
            small.runs += 1
            result = run_seed(small.result.seed, events, cut=thrown)
            if result.invariant == small.result.invariant:
                events = _needed(events, result)
                self.small = Small(result, events, thrown, small.runs)
                self._say(f"still {result.invariant}: --events {events}{thrown.options()}")
                return True
        return False


def _needed(events: int, result: Result) -> int:
    """A run that failed on its way never got as far as it was to."""
    return min(events, result.events + 1)


def _fewer(now: Callable[[], int], least: int) -> Iterator[int]:
    """Numbers below the present one, by large steps first; half a step after each that failed."""
    step = now() // 2
    while step >= least:
        before = now()
        if before > step:
            yield before - step
        if now() == before:
            step //= 2
