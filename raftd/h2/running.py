"""A coroutine that is carried on by callbacks: what a task does, for a fraction of its cost.

It begins at once, in the caller's turn of the loop, so a method that need not wait has answered
when `begin` returns. To asyncio it is the current task while it runs, so time-outs work in it. In
Python 3.11 a task costs some 10 us, as much as HTTP/2 does for a whole call.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task  # made for tasks of other libraries
from collections.abc import Coroutine
from typing import Any


class Running:
    """Its loop's thread only. The coroutine must deal with every Exception itself."""

    __slots__ = ("__weakref__", "_asked", "_cancel", "_coroutine", "_loop", "_over", "_waits_for")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]):
        self._loop = loop
        self._coroutine = coroutine
        self._waits_for: Any = None
        self._over = self._cancel = False
        self._asked = 0

    def begin(self) -> None:
        if asyncio.current_task(self._loop) is None:
            self.step()
        else:
            self._loop.call_soon(self.step)

    def give_up(self) -> None:
        self.cancel()

    def step(self, _: Any = None) -> None:
        """Go on until the next wait, or to the end. Called by what was waited for."""
        self._waits_for = None
        as_task: Any = self
        _enter_task(self._loop, as_task)
        try:
            if self._cancel:
                self._cancel = False
                waits_for = self._coroutine.throw(asyncio.CancelledError())
            else:
                waits_for = self._coroutine.send(None)
        except (StopIteration, asyncio.CancelledError):
            self._over = True
            return
        except BaseException:
            self._over = True
            raise
        finally:
            _leave_task(self._loop, as_task)
        if waits_for is None:
            self._loop.call_soon(self.step)
            return
        waits_for._asyncio_future_blocking = False
        waits_for.add_done_callback(self.step)
        self._waits_for = waits_for
        if self._cancel and waits_for.cancel():
            self._cancel = False

    # --- what asyncio asks of a task --------------------------------------------------------

    def cancel(self, msg: Any = None) -> bool:
        if self._over:
            return False
        self._asked += 1
        if self._waits_for is None or not self._waits_for.cancel():
            self._cancel = True
        return True

    def cancelling(self) -> int:
        return self._asked

    def uncancel(self) -> int:
        self._asked = max(0, self._asked - 1)
        return self._asked

    def done(self) -> bool:
        return self._over
