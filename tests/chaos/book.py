"""What the clients of one process write down, in one file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TextIO

from raftd.check.notices import Notice
from raftd.check.operations import Op
from raftd.check.writing import line_of, notice_line
from raftd.client import OutcomeUnknown, RaftdError


class Book:
    """One file for all threads. `now` is read outside of its lock."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self.revision = 0
        """The newest that anybody was told of."""

    def write(self, op: Op) -> None:
        self.revision = max(self.revision, op.revision or 0)
        self._line(line_of(op) + "\n")

    def notice(self, notice: Notice) -> None:
        self._line(notice_line(notice) + "\n")

    def _line(self, line: str) -> None:
        with self._lock:
            self._out.write(line)

    def flush(self) -> None:
        with self._lock:
            self._out.flush()

    def do(self, op: Op, act: Callable[[], None]) -> bool:
        """Time the call, and write down how it ended. False: it was not answered."""
        op.call = time.monotonic()
        try:
            act()
        except OutcomeUnknown:
            pass  # as it is: unknown, without a return
        except RaftdError:
            op.ret, op.outcome = time.monotonic(), "fail"
        else:
            op.ret, op.outcome = time.monotonic(), "ok"
        self.write(op)
        return op.outcome == "ok"
