"""Something that is done again and again while a fault holds, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Stirring:
    """`strike` every `pause()` seconds until the block ends. What it raises is raised there."""

    def __init__(self, strike: Callable[[], None], pause: Callable[[], float]) -> None:
        self.strikes = 0
        self._strike = strike
        self._pause = pause
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stirring", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        if self._error is not None and error is None:
            raise self._error

    def wait(self, seconds: float) -> None:
        """For a strike that lasts: returns early when the block ends."""
        self._stop.wait(seconds)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._strike()
                self.strikes += 1
                self._stop.wait(self._pause())
        except BaseException as error:  # noqa: BLE001 - raised again where the block ends
            self._error = error
