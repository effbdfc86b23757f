"""The end of a process that cannot go on safely: said once, then immediate."""

from __future__ import annotations

import logging
import os
import sys
import threading
from types import TracebackType

from raftd.admin.vitals import Vitals
from raftd.logs import QueueingHandler

LOG = logging.getLogger("raftd.daemon")

EXIT_FATAL = 70


class EndProcess:
    """The daemon's FatalPort. Nothing is cleaned up: a crash is what recovery is made for."""

    def __init__(self, vitals: Vitals, handler: QueueingHandler) -> None:
        self._vitals = vitals
        self._handler = handler
        self._once = threading.Lock()

    def fatal(self, what: str, error: BaseException | None) -> None:
        """Any thread. Logs, then ends the process with exit code 70. Does not return."""
        if not self._once.acquire(blocking=False):
            threading.Event().wait()  # another thread is ending the process
        line = f"{what}: {one_line(error)}" if error is not None else what
        self._vitals.fatal = line
        LOG.critical("cannot go on: %s", line, exc_info=error if _is_bug(error) else None)
        self._handler.stop()
        os._exit(EXIT_FATAL)

    def watch_everything(self) -> None:
        """No thread dies quietly: what nobody caught comes here."""
        sys.excepthook = self._uncaught
        threading.excepthook = self._thread_died

    def _uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self.fatal("main thread died", error)

    def _thread_died(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "a thread"
        self.fatal(f"thread {name} died", args.exc_value)


def one_line(error: BaseException) -> str:
    """An exception's message on one line; its type too if the message alone says too little."""
    text = " ".join(str(error).split())
    if _is_bug(error):
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text


def _is_bug(error: BaseException | None) -> bool:
    """Whether the stack helps: not for a full disk or a damaged file."""
    if error is None or isinstance(error, OSError):
        return False
    return not type(error).__module__.startswith(("raftd.storage.errors", "raftd.machine.protocol"))
