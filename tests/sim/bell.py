"""How a worker's condition wakes it by an event, and what ends whoever runs in a dead process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Died(BaseException):
    """The process has ended: whoever is running in it stops where he is."""


class Bell(threading.Condition):
    """The condition of one worker: it wakes by an event, and never waits."""

    def __init__(
        self,
        rung: Callable[[], None],
        waited: Callable[[float], None] | None = None,
        lock: threading.Lock | None = None,
    ) -> None:
        super().__init__(lock or threading.Lock())
        self._rung = rung
        self._waited = waited

    def notify(self, n: int = 1) -> None:
        self._rung()

    def wait(self, timeout: float | None = None) -> bool:
        raise AssertionError("a worker was run with nothing to do")

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """A pause in the middle of work: what is posted after it comes so much later."""
        assert self._waited is not None
        assert timeout is not None
        self._waited(timeout)
        return predicate()
