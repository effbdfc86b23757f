"""Warnings that a broken peer or client could repeat a thousand times a second."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

INTERVAL_SECONDS = 5.0
KEYS_MAX = 1024


CUT_CALL = "ExecuteBatchError raised in core by servicer method [/raftd."


def hush_cut_calls() -> None:
    """gRPC logs a stack for each call whose connection ends before its answer has left."""
    logger = logging.getLogger("grpc._cython.cygrpc")
    if not any(isinstance(known, _NoCutCalls) for known in logger.filters):
        logger.addFilter(_NoCutCalls())


class _NoCutCalls(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(CUT_CALL)


class QuietLog:
    """Says the first of each kind at once, then at most one every INTERVAL_SECONDS, with a count.

    One thread only. `now`: a monotonic clock.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        self._logger = logger
        self._now = now
        self._said: dict[Hashable, tuple[float, int]] = {}

    def warning(self, key: Hashable, message: str) -> None:
        now = self._now()
        at, held_back = self._said.get(key, (float("-inf"), 0))
        if now - at < INTERVAL_SECONDS:
            self._said[key] = (at, held_back + 1)
            return
        if len(self._said) >= KEYS_MAX:
            self._said.clear()
        self._said[key] = (now, 0)
        again = f" ({held_back} more like it since)" if held_back else ""
        self._logger.warning("%s%s", message, again)
