"""Is there a leader? For streams whose caller wants to be told when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LeaderLooks:
    """Looks at the leader now and then, while somebody waits. Network thread only."""

    def __init__(self, known: Callable[[], bool], patience_seconds: float) -> None:
        """known: does this member know a leader now? patience_seconds: how long it may know none,
        for a stream that was opened before; etcd's is three election timeouts.
        """
        self._known = known
        self._patience = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None

    async def lost(self) -> None:
        """Returns at once if there is no leader, else when there has been none for long."""
        if not self._known():
            return
        waiting = self._loop.create_future()
        self._waiting.add(waiting)
        if self._timer is None:
            self._since = None
            self._look()
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _look(self) -> None:
        now = self._loop.time()
        if self._known():
            self._since = None
        elif self._since is None:
            self._since = now
        if self._since is not None and now - self._since >= self._patience:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)
        self._timer = None
        if self._waiting:
            self._timer = self._loop.call_later(self._patience / 4, self._look)
