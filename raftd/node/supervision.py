"""Threads that do not die quietly."""

from __future__ import annotations

import threading
from collections.abc import Callable

from raftd.node.ports import FatalPort


class Worker:
    """A named thread round `run`. An exception in it is fatal to the node, whatever it is.

    start and join: any thread. `run` is expected to return when the worker's own stop flag is set.
    """

    def __init__(self, name: str, run: Callable[[], None], fatal: FatalPort) -> None:
        self._run = run
        self._fatal = fatal
        self._thread = threading.Thread(target=self._body, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """True if the thread has ended within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _body(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  # a thread's top: nothing may be swallowed
            self._fatal.fatal(f"thread {self._thread.name} died", error)
