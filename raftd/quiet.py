"""Lines of the log that a stranger, or a broken peer, could repeat a thousand times a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

INTERVAL_SECONDS = 5.0
STACK_INTERVAL_SECONDS = 60.0
"""A stack has forty lines and more."""
KEYS_MAX = 1024


CUT_CALL = "ExecuteBatchError raised in core by servicer method [/raftd."


class QuietLog:
    """Says the first of each kind at once, then at most one every INTERVAL_SECONDS, with a count.

    One thread only. `now`: a monotonic clock.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._now = now
        self._said: dict[Hashable, tuple[float, int]] = {}

    def warning(self, key: Hashable, message: str) -> None:
        again = self.again(key, INTERVAL_SECONDS)
        if again is not None:
            self._logger.warning("%s%s", message, again)

    def error(self, message: str, error: BaseException | None, kind: str = "") -> None:
        """An error that nobody declared, with its stack: once a minute from each place that raises
        it. kind: of a message that is another one each time.

        The story without it: a stranger who finds one calls that method again and again, and the
        stacks fill the disk that the node's log is on.
        """
        again = self.again((kind or message, *_origin(error)), STACK_INTERVAL_SECONDS)
        if again is not None:
            self._logger.error("%s%s", message, again, exc_info=error)

    def again(self, key: Hashable, seconds: float) -> str | None:
        """None: its like was said less than so long ago. Else how often it was held back since."""
        now = self._now()
        at, held_back = self._said.get(key, (float("-inf"), 0))
        if now - at < seconds:
            self._said[key] = (at, held_back + 1)
            return None
        if len(self._said) >= KEYS_MAX:
            self._said.clear()
        self._said[key] = (now, 0)
        return f" ({held_back} more like it since)" if held_back else ""


def _origin(error: BaseException | None) -> tuple[object, ...]:
    """Its type, and where it was raised: the words may be the caller's."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return (type(error),)
    return type(error), trace.tb_frame.f_code.co_filename, trace.tb_lineno


def hush_grpc() -> None:
    """gRPC logs a stack for each call whose connection ends before its answer has left, and for
    each error of a method that the method does not declare.
    """
    logger = logging.getLogger("grpc._cython.cygrpc")
    if not any(isinstance(known, _Hushed) for known in logger.filters):
        logger.addFilter(_Hushed(logger))


class _Hushed(logging.Filter):
    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._quiet = QuietLog(logger)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(CUT_CALL):
            return False
        if not record.exc_info:
            return True
        key = (message, *_origin(record.exc_info[1]))
        again = self._quiet.again(key, STACK_INTERVAL_SECONDS)
        if again:
            record.msg, record.args = f"{message}{again}", None
        return again is not None
