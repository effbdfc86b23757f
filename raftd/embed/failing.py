"""What happens when a node cannot go on: it stops taking part, once, and its host is told."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

import raftd
from raftd.node.ports import FatalPort
from raftd.quiet import QuietLog

LOG = logging.getLogger("raftd.node")
OURS = os.path.join(os.path.dirname(raftd.__file__), "")
"""Where our own code is. The image has Python's packages in /opt/raftd: with any directory of that
name, an error of grpcio's own that nobody heard of stopped the node there, and nowhere else.
"""


class SayIt:
    """The FatalPort of a host that gave none: one log line. The node has stopped taking part."""

    def fatal(self, what: str, error: BaseException | None) -> None:
        """Any thread."""
        LOG.critical("the node has stopped: %s", what, exc_info=error)


class Failing:
    """The node's own FatalPort, before the host's. Any thread."""

    def __init__(self, host: FatalPort, stop: Callable[[], None]) -> None:
        """stop: makes the node stop taking part, soon; any thread."""
        self._host = host
        self._stop = stop
        self._once = threading.Lock()
        self._quiet = QuietLog(LOG)
        self.what = ""
        """Why the node failed; empty while it has not."""

    def fatal(self, what: str, error: BaseException | None) -> None:
        """The first report is the cause; the host hears all. Returns if the host's port does."""
        if self._once.acquire(blocking=False):
            self.what = f"{what}: {error}" if error is not None else what
            self._stop()
        self._host.fatal(what, error)

    def loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the loop would only print. Fatal if code of ours was at work."""
        error = context.get("exception")
        message = str(context.get("message", "asyncio"))
        if isinstance(error, BaseException) and _has_frame_of_ours(error.__traceback__):
            self.fatal(f"network thread: {message}", error)
        kind = " ".join(message.split()[:3])  # as in "Exception in callback <...>"
        self._quiet.error(f"network thread: {message}", error, kind)


def _has_frame_of_ours(trace: TracebackType | None) -> bool:
    return any(frame.filename.startswith(OURS) for frame in traceback.extract_tb(trace))
