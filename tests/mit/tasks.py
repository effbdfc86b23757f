"""Concurrent callers on simulated time: a task is a generator that yields what it waits for.

`yield seconds` sleeps; `yield promise` waits for the promise's value, which the yield then returns.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tests.sim.world import World

Steps = Generator[Any, Any, Any]


class Promise:
    """One value, to come: the first `give` counts."""

    __slots__ = ("_task", "_world", "given", "value")

    def __init__(self, world: World) -> None:
        self._world = world
        self._task: Task | None = None
        self.given = False
        self.value: Any = None

    def give(self, value: Any) -> None:
        if self.given:
            return
        self.given, self.value = True, value
        if self._task is not None:
            self._world.after(0.0, self._task.resume, value)

    def wake(self, task: Task) -> None:
        self._task = task
        if self.given:
            self._world.after(0.0, task.resume, self.value)


class Task:
    """A running generator; `done` and `result` say when and how it ended."""

    def __init__(self, world: World, steps: Steps) -> None:
        self._world = world
        self._steps = steps
        self.done = False
        self.result: Any = None
        world.after(0.0, self.resume, None)

    def resume(self, value: Any) -> None:
        self._world.events += 1
        try:
            waits_for = self._steps.send(value)
        except StopIteration as end:
            self.done, self.result = True, end.value
            return
        if isinstance(waits_for, Promise):
            waits_for.wake(self)
        else:
            self._world.after(waits_for, self.resume, None)
